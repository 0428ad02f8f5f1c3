"""The kneo command."""
