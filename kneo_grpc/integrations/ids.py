"""Identifiers with time in them."""

import os
import threading
import time


class Uuid7Source:
    """UUIDv7 as in RFC 9562: 48 bits of milliseconds, a counter of 12 bits, 62 random bits.

    Ids made in one process sort in the order in which they were made, also within a millisecond.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def new(self, prefix: str) -> str:
        """Return `prefix_` and 36 characters."""
        ticks = (time.time_ns() * 4096) // 1_000_000
        with self._lock:
            ticks = max(ticks, self._last + 1)
            self._last = ticks
        millis, counter = ticks >> 12, ticks & 0xFFF
        random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
        value = (millis & ((1 << 48) - 1)) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | random
        text = f"{value:032x}"
        return f"{prefix}_{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
