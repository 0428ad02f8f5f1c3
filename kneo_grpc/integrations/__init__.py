"""The outside world but for the database."""
