"""Small functions, tools and specs that show how the platform is used."""
