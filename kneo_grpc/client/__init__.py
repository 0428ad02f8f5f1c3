"""The Python client over the generated stubs."""
