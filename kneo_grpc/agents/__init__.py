"""The pure agent machine, of the same shape as the engine."""
