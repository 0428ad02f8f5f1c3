"""The audit trail: list it, verify it, and record acts that change no run."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kneo_grpc.domain.audit_chain import (
    Break,
    BreakKind,
    Chained,
    ChainEnd,
    Seal,
    breaks,
    missing,
)
from kneo_grpc.domain.change import AuditRecord
from kneo_grpc.domain.errors import PageTokenInvalid
from kneo_grpc.domain.ids import AuditId, RunId
from kneo_grpc.platform.spec_sources import SpecSource
from kneo_grpc.ports.audit import AuditFilter, AuditTrail
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.store import Page, PageRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class VerificationPhase(enum.StrEnum):
    """chain: the seals by number. records: then the records by time, whether each one has a seal or
    waits for it.
    """

    CHAIN = "chain"
    RECORDS = "records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What one part of a verification found. checked: seals, or records, looked at; pruned: seals
    whose record retention removed. next_page: where the next part begins; "" at the end.
    """

    phase: VerificationPhase
    checked: int
    pruned: int
    breaks: tuple[Break, ...]
    end: ChainEnd
    next_page: str


class Audit:
    """The use cases of the audit trail."""

    def __init__(self, trail: AuditTrail, clock: Clock, ids: IdSource) -> None:
        self._trail = trail
        self._clock = clock
        self._ids = ids

    async def list(self, where: AuditFilter, page: PageRequest) -> Page[Chained]:
        """Return a page of records."""
        return await self._trail.list_audit(where, page)

    async def record(
        self,
        actor: str | None,
        event_type: str,
        facts: Mapping[str, Any],
        *,
        run_id: RunId | None = None,
    ) -> None:
        """Write the record of an act that changes no run, before the act is answered."""
        record = AuditRecord(
            id=AuditId(self._ids.new("audit")),
            event_type=event_type,
            run_id=run_id,
            actor=actor,
            metadata=facts,
            created_at=self._clock.now(),
        )
        await self._trail.append_audit((record,))

    async def record_spec_act(
        self, actor: str, event_type: str, source: SpecSource, **facts: Any
    ) -> None:
        """Write that somebody looked at a spec; see record."""
        about = {
            "spec_path": source.spec_path,
            "inline_spec": source.spec is not None,
            "environment": source.environment,
            "overlays": list(source.overlays),
        }
        await self.record(actor, event_type, {**about, **facts})

    async def verify(self, page: str, limit: int) -> Verification:
        """Check a part of the trail: first the chain by number, then that no record is without a
        place in it. page: "" for the beginning, else next_page of the part before. Raises
        PageTokenInvalid on another page.
        """
        after_number, after_record = _read_page(page)
        end = await self._trail.chain_end()
        if after_record is None:
            return await self._verify_seals(after_number, limit, end)
        return await self._verify_records(after_record, limit, end)

    async def _verify_seals(self, after: int, limit: int, end: ChainEnd) -> Verification:
        seals = await self._trail.load_seals(max(after - 1, 0), limit + (after > 0))
        before: Seal | None = None
        if after and seals and seals[0].number == after:
            before, seals = seals[0], seals[1:]
        # Where even the seal before is gone, that was told with the part before.
        found = breaks(before, seals) if before or not after else breaks(None, seals)[1:]
        more = len(seals) >= limit
        last = seals[-1].number if seals else after
        if not more and last < end.number:
            found.append(missing(last + 1, end.number))
        if not more and not found and last == end.number and seals:
            found += _end_break(seals[-1], end)
        return Verification(
            phase=VerificationPhase.CHAIN,
            checked=len(seals),
            pruned=sum(seal.pruned for seal in seals),
            breaks=tuple(found),
            end=end,
            next_page=f"n{last}" if more else "t0.",
        )

    async def _verify_records(
        self, after: tuple[datetime, str], limit: int, end: ChainEnd
    ) -> Verification:
        records = await self._trail.span_audit(after, limit)
        found = [
            Break(kind=BreakKind.UNSEALED, audit_id=record.id)
            for record in records
            if not record.known
        ]
        next_page = ""
        if len(records) >= limit:
            micros = (records[-1].created_at - _EPOCH) // _MICROSECOND
            next_page = f"t{micros}.{records[-1].id}"
        return Verification(
            phase=VerificationPhase.RECORDS,
            checked=len(records),
            pruned=0,
            breaks=tuple(found),
            end=end,
            next_page=next_page,
        )


def _end_break(last: Seal, end: ChainEnd) -> list[Break]:
    """The sealer noted another end than the one that is there."""
    if last.digest == end.digest:
        return []
    return [
        Break(
            kind=BreakKind.UNLINKED,
            number=last.number,
            last_number=last.number,
            audit_id=last.audit_id,
        )
    ]


def _read_page(page: str) -> tuple[int, tuple[datetime, str] | None]:
    """Return the number behind which the seals go on, or the record behind which records do."""
    if not page:
        return 0, None
    kind, rest = page[0], page[1:]
    micros, _, record_id = rest.partition(".")
    digits = rest if kind == "n" else micros
    known = kind in "nt" and len(rest) < 256 and rest.isprintable()
    if known and digits.isascii() and digits.isdigit() and len(digits) < 18:
        if kind == "n":
            return int(digits), None
        return 0, (_EPOCH + timedelta(microseconds=int(digits)), record_id)
    raise PageTokenInvalid([("page_token", "is not one that this call gave")])
