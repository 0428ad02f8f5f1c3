"""Spans: what a trace's events are about. The spans of a run make a tree whose root is the run."""

from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=8192)  # a step's events come soon after one another, and all need the run's span
def span_id(run_id: str, path: str) -> str:
    """Return the span of a step, or of the run where path is "": 16 hexadecimal digits."""
    return blake2b(f"{run_id}/{path}".encode(), digest_size=8).hexdigest()


def parent_path(path: str) -> str:
    """Return the path of the step around a step, "" for the run."""
    return path.rpartition("/")[0]
