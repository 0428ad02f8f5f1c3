"""Measures the service against what the database allows on the same machine: `python -m bench`."""
