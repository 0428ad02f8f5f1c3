"""Use cases: load, decide, one Change."""
