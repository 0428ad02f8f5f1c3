"""The pure workflow machine: (plan, state, event) to (state, commands). No I/O, clock or random."""
