"""The YAML v1 language: load, validate, compile to a Plan. Knows the domain only."""
