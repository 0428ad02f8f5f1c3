"""Durable state in PostgreSQL or SQLite."""
