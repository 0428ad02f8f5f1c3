"""The store's face for the audit trail: what lists, seals and verifies it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from kneo_grpc.domain.audit_chain import Chained, ChainEnd, Seal
from kneo_grpc.domain.change import AuditRecord
from kneo_grpc.ports.store import Page, PageRequest

AUDIT_SORT_KEYS = frozenset({"created_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """None means any."""

    event_type: str | None = None
    run_id: str | None = None
    continuation_id: str | None = None
    actor: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealerLook:
    """What a look at the sealer's row shows. ours: the caller holds it for long enough; others:
    another process holds it. waiting: something is unsealed. number, exported_number: of the last
    record that was sealed, and of the last one that was exported.
    """

    ours: bool
    others: bool
    waiting: bool
    number: int
    exported_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpannedRecord:
    """A record in the order of time. known: it has a seal or waits for one."""

    created_at: datetime
    id: str
    known: bool


class AuditTrail(Protocol):
    """Append-only. Every method raises StoreUnavailable when the database does not answer."""

    async def append_audit(self, records: Sequence[AuditRecord]) -> None:
        """Write the records of acts that change no run; other acts carry theirs in the Change."""

    async def list_audit(self, where: AuditFilter, page: PageRequest) -> Page[Chained]:
        """List records, sealed or not, by AUDIT_SORT_KEYS."""

    async def look_at_sealer(self, holder: str, at_least: timedelta) -> SealerLook:
        """Return what there is for a sealer to do; changes nothing. at_least: how much of a lease
        must be left to be called ours.
        """

    async def seal(self, holder: str, lease_for: timedelta, *, limit: int) -> int | None:
        """Take or keep the lease on the chain and add at most `limit` of the waiting records to
        it, in one transaction; return how many were taken. None when another process holds it.

        Of two holders at once one adds and the other gets None, so no record is sealed twice.
        """

    async def free_sealer(self, holder: str) -> None:
        """Give the lease back."""

    async def set_exported(self, number: int) -> None:
        """Note that all records up to a number were exported."""

    async def load_seals(self, after: int, limit: int) -> tuple[Seal, ...]:
        """Return the seals behind a number, with their records."""

    async def chain_end(self) -> ChainEnd:
        """Return where the chain ends and what waits behind it."""

    async def span_audit(
        self, after: tuple[datetime, str], limit: int
    ) -> tuple[SpannedRecord, ...]:
        """Return the records behind one, by created_at and id."""
