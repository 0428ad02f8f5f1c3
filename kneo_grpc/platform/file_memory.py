"""Remembers what was made of files for as long as these stay as they are."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.spec_files import SETTLED_NS, SpecFiles, Stamp

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """Which files were read: by these names, below the root or these folders, and the project."""

    names: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    """stamps: of the reading's files from before they were read; None where nobody looked."""

    reading: Reading
    stamps: tuple[Stamp, ...] | None
    made: T


class FileMemory(Generic[T]):
    """Asking costs one look at each file, which the system answers from memory, so it is done in
    the event loop, and once for all calls that the loop found waiting: a look taken after a call
    arrived is good for that call. The second reading of the same files is remembered, not the
    first: which files there are is known only then, and they have to be looked at before they are
    read.
    """

    def __init__(self, files: SpecFiles, clock: Clock, *, items_max: int = 256) -> None:
        self._files = files
        self._clock = clock
        self._items_max = items_max
        self._kept: OrderedDict[Hashable, _Kept[T]] = OrderedDict()
        self._unchanged: dict[Hashable, T] = {}

    def find(self, key: Hashable) -> T | None:
        """Return what was made of the files of a key, None when they may have changed. In the event
        loop.
        """
        unchanged = self._unchanged.get(key)
        if unchanged is not None:
            return unchanged
        kept = self._kept.get(key)
        if kept is None or kept.stamps is None or self._look(kept.reading) != kept.stamps:
            return None
        if not self._unchanged:
            asyncio.get_running_loop().call_soon(self._unchanged.clear)
        self._unchanged[key] = kept.made
        return kept.made

    def look(self, key: Hashable) -> tuple[Stamp, ...] | None:
        """Return the stamps of a key's files, to be given to `keep` when they have been read."""
        kept = self._kept.get(key)
        return None if kept is None else self._look(kept.reading)

    def keep(
        self, key: Hashable, reading: Reading, made: T, stamps: tuple[Stamp, ...] | None
    ) -> None:
        """Remember what was made of files. stamps: what `look` gave before they were read."""
        before = self._kept.get(key)
        if before is None or before.reading != reading:
            stamps = None
        settled = self._clock.now().timestamp() * 1e9 - SETTLED_NS
        if stamps is not None and any(stamp.changed_at >= settled for stamp in stamps):
            stamps = None
        self._kept[key] = _Kept(reading, stamps, made)
        while len(self._kept) > self._items_max:
            self._kept.popitem(last=False)

    def _look(self, reading: Reading) -> tuple[Stamp, ...] | None:
        stamps = (
            self._files.project_stamp(),
            *(self._files.stamp(name, reading.folders) for name in reading.names),
        )
        return _whole(stamps)


def _whole(stamps: Sequence[Stamp | None]) -> tuple[Stamp, ...] | None:
    found = tuple(stamp for stamp in stamps if stamp is not None)
    return found if len(found) == len(stamps) else None
