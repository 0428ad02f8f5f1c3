"""The files that specs are made of."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

SETTLED_NS = 1_000_000_000
"""Nanoseconds after which a file's times tell every further change of it: they are only as fine as
the system's ticks, so one that changed later may change again unnoticed.
"""


class SourceFile(NamedTuple):
    """A file as it was read. name: what to call it in messages."""

    name: str
    content: bytes


class Stamp(NamedTuple):
    """What the system tells of files without opening them. facts: equal while the files are the
    same and unchanged; changed_at: of the file that changed last, in nanoseconds since 1970.
    """

    facts: tuple[Any, ...]
    changed_at: int


class SpecFiles(Protocol):
    """Files below one folder, the root. Methods but for the stamps block."""

    def read(self, name: str, folders: Sequence[str] = ()) -> SourceFile:
        """Return a file by its path below the root, or else below the first of the folders, given
        below the root themselves, that has it.

        Of a file that is too large to be a spec or a bundle only the start is read. Raises
        SpecPathConfined for a path that leaves the root or is no plain file, InvalidInput where
        there is none.
        """

    def project(self) -> SourceFile | None:
        """Return the project config, None where there is none. Raises as read does."""

    def stamp(self, name: str, folders: Sequence[str] = ()) -> Stamp | None:
        """Return the stamp of what read would find, None where it would find nothing."""

    def project_stamp(self) -> Stamp | None:
        """Return the stamp of what project would find, also where that is nothing; None when that
        cannot be told.
        """
