"""Identifiers with time in them."""

import os
import threading
import time

_IDS = 512
"""Ids for which random bits are fetched at once."""


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Uuid7Source:
    """UUIDv7 as in RFC 9562: 48 bits of milliseconds, a counter of 12 bits, 62 random bits.

    Ids made in one process sort in the order in which they were made, also within a millisecond.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._random: list[str] = []

    def new(self, prefix: str) -> str:
        """Return `prefix_` and 36 characters."""
        ticks = (time.time_ns() * 4096) // 1_000_000
        with self._lock:
            if ticks <= self._last:
                ticks = self._last + 1
            self._last = ticks
            if not self._random:
                self._random = _random_halves(_IDS)
            half = self._random.pop()
        # Twelve digits of milliseconds, three of the counter.
        digits = f"{ticks:015x}"
        return f"{prefix}_{digits[:8]}-{digits[8:12]}-7{digits[12:]}-{half}"


def _random_halves(count: int) -> list[str]:
    """Return the last two groups of ids. One call to the system for many of them: each would give
    up the interpreter.
    """
    text = os.urandom(8 * count).hex()
    halves = (text[start : start + 16] for start in range(0, len(text), 16))
    return [f"{_VARIANT[half[0]]}{half[1:4]}-{half[4:]}" for half in halves]
