"""The chain of audit records: digests that make a change, a removal or an insertion visible.

Each sealed record has a number, counted from 1, the SHA-256 of its content, and a link: the SHA-256
of the link before, its number and its content's digest. Whoever knows a link can prove everything
up to it. docs/audit.md tells how to compute both without this module.
"""

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kneo_grpc.domain.change import AuditRecord

GENESIS = bytes(32)
"""The link before number 1."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FORMAT = "kneo-audit-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record exactly as it is stored. metadata: the JSON text."""

    id: str
    event_type: str
    run_id: str | None
    continuation_id: str | None
    actor: str | None
    metadata: str
    created_at: datetime

    def digest(self) -> bytes:
        """Return the SHA-256 of the content."""
        micros = (self.created_at - _EPOCH) // _MICROSECOND
        fields = (
            _FORMAT,
            self.id,
            self.event_type,
            self.run_id,
            self.continuation_id,
            self.actor,
            self.metadata,
            str(micros),
        )
        parts = [
            "-"
            if text is None
            else f"{len(text) if text.isascii() else len(text.encode())}:{text},"
            for text in fields
        ]
        return hashlib.sha256("".join(parts).encode()).digest()


REMOVED = hashlib.sha256(b"").digest()
"""Stands for the content of a record that was removed before it could be sealed."""


def link(before: bytes, number: int, content_digest: bytes) -> bytes:
    """Return the link of a record. before: the link of number - 1."""
    return hashlib.sha256(before + number.to_bytes(8, "big") + content_digest).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A record's place in the chain. record: None when it is gone; pruned: by retention."""

    number: int
    audit_id: str
    content_digest: bytes
    digest: bytes
    pruned: bool
    record: StoredRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEnd:
    """The last number and link that a sealer wrote. unsealed: records behind it, counted to 10,000,
    the oldest of them from oldest_unsealed_at.
    """

    number: int
    digest: bytes
    unsealed: int
    oldest_unsealed_at: datetime | None


class BreakKind(enum.StrEnum):
    """changed: the record is not what was sealed. removed: it is gone, and not by retention.
    missing: the seals of these numbers are gone. unlinked: the seal does not follow from the one
    before. unsealed: a record that no commit of the service wrote.
    """

    CHANGED = "changed"
    REMOVED = "removed"
    MISSING = "missing"
    UNLINKED = "unlinked"
    UNSEALED = "unsealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A place where the trail is not what was written. number, last_number: None for a record
    without a seal; the same but for `missing`.
    """

    kind: BreakKind
    number: int | None = None
    last_number: int | None = None
    audit_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chained:
    """A record of a list. number, digest: its seal; None until it has one."""

    record: AuditRecord
    number: int | None = None
    digest: bytes | None = None


def breaks(before: Seal | None, seals: Iterable[Seal]) -> list[Break]:
    """Return what is wrong with a part of the chain. seals: by number; before: the seal that they
    follow, taken as right; None for the chain's beginning.
    """
    found: list[Break] = []
    last_number, last_digest = (before.number, before.digest) if before else (0, GENESIS)
    for seal in seals:
        gap = seal.number - last_number - 1
        if gap:
            found.append(missing(last_number + 1, seal.number - 1))
        kind = _content_break(seal)
        if kind is None and not gap:
            expected = link(last_digest, seal.number, seal.content_digest)
            kind = None if expected == seal.digest else BreakKind.UNLINKED
        if kind is not None:
            found.append(
                Break(
                    kind=kind,
                    number=seal.number,
                    last_number=seal.number,
                    audit_id=seal.audit_id,
                )
            )
        last_number, last_digest = seal.number, seal.digest
    return found


def missing(first: int, last: int) -> Break:
    """Return the break of numbers without a seal."""
    return Break(kind=BreakKind.MISSING, number=first, last_number=last)


def _content_break(seal: Seal) -> BreakKind | None:
    if seal.record is None:
        return None if seal.pruned else BreakKind.REMOVED
    return None if seal.record.digest() == seal.content_digest else BreakKind.CHANGED
