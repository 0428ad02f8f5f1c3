"""Nouns of the platform: frozen dataclasses, enums and the error tree. Standard library only."""
