"""Identifiers with time in them."""

import os
import threading
import time

_RANDOM_BYTES = 4096


class Uuid7Source:
    """UUIDv7 as in RFC 9562: 48 bits of milliseconds, a counter of 12 bits, 62 random bits.

    Ids made in one process sort in the order in which they were made, also within a millisecond.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._random = b""
        self._used = 0

    def new(self, prefix: str) -> str:
        """Return `prefix_` and 36 characters."""
        ticks = (time.time_ns() * 4096) // 1_000_000
        with self._lock:
            ticks = max(ticks, self._last + 1)
            self._last = ticks
            # One call to the system for many ids: each of them would give up the interpreter.
            if self._used == len(self._random):
                self._random, self._used = os.urandom(_RANDOM_BYTES), 0
            self._used += 8
            random = int.from_bytes(self._random[self._used - 8 : self._used], "big") >> 2
        millis, counter = ticks >> 12, ticks & 0xFFF
        value = (millis & ((1 << 48) - 1)) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | random
        text = f"{value:032x}"
        return f"{prefix}_{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
