"""The process's environment."""

import os


def environment() -> dict[str, str]:
    """Return a copy of it."""
    return dict(os.environ)
