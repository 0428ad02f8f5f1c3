"""The composition root: settings, wiring, processes."""
