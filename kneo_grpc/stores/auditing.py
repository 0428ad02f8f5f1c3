"""The half of a store that faces the audit trail, the same over both databases."""

import abc
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from kneo_grpc.domain.audit_chain import (
    GENESIS,
    REMOVED,
    Chained,
    ChainEnd,
    Seal,
    StoredRecord,
    link,
)
from kneo_grpc.domain.change import AuditRecord
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.ports.audit import AuditFilter, SealerLook, SpannedRecord
from kneo_grpc.ports.store import Page, PageRequest
from kneo_grpc.stores import rows
from kneo_grpc.stores.codec import InstantDecoder, load_json
from kneo_grpc.stores.working import WorkReader

SealRow = tuple[int, str, object, bytes, bytes]
"""number, audit_id, created_at as stored, content_digest, digest."""

_APPEND_MAX = 500


class TrailReader(WorkReader):
    """AuditTrail, as ports.audit says."""

    _appending: "Appending | None" = None

    @abc.abstractmethod
    async def _append(self, records: Sequence[AuditRecord]) -> None:
        """Write records in one transaction. Raises StoreUnavailable."""

    @abc.abstractmethod
    async def _keep(self, name: str, *arguments: object) -> Sequence[rows.Row]:
        """Run a statement of the trail in a transaction of its own. Raises StoreUnavailable."""

    async def append_audit(self, records: Sequence[AuditRecord]) -> None:
        """Write records together with those of other callers."""
        if self._appending is None:
            self._appending = Appending(self._append)
        await self._appending.add(records)

    async def _finish_appending(self) -> None:
        """Write the records that wait, before the database is left."""
        if self._appending is not None:
            await self._appending.finish()

    async def list_audit(self, where: AuditFilter, page: PageRequest) -> Page[Chained]:
        """List records."""
        listing = self._lists.audit(where, page)
        return await self._page(listing, lambda row: _chained(row, self._instant))

    async def look_at_sealer(self, holder: str, at_least: timedelta) -> SealerLook:
        """Look at the sealer's row."""
        sql = self._statements["sealer_look"]
        (row,) = await self._fetch(sql, holder, self._encode_duration(at_least))
        return SealerLook(
            ours=bool(row["ours"]),
            others=bool(row["others"]),
            waiting=bool(row["waiting"]),
            number=row["number"],
            exported_number=row["exported_number"],
        )

    async def free_sealer(self, holder: str) -> None:
        """Give the lease back."""
        await self._keep("sealer_free", holder)

    async def set_exported(self, number: int) -> None:
        """Note what was exported."""
        await self._keep("sealer_exported", number)

    async def load_seals(self, after: int, limit: int) -> tuple[Seal, ...]:
        """Return a part of the chain."""
        found = await self._fetch(self._statements["seal_span"], after, limit)
        return tuple(
            Seal(
                number=row["number"],
                audit_id=row["audit_id"],
                content_digest=bytes(row["content_digest"]),
                digest=bytes(row["digest"]),
                pruned=row["pruned_at"] is not None,
                record=stored_record(row, self._instant),
            )
            for row in found
        )

    async def chain_end(self) -> ChainEnd:
        """Return the chain's end."""
        (row,) = await self._fetch(self._statements["trail_state"])
        return ChainEnd(
            number=row["number"] or 0,
            digest=GENESIS if row["digest"] is None else bytes(row["digest"]),
            unsealed=row["unsealed"],
            oldest_unsealed_at=self._instant(row["oldest_unsealed_at"]),
        )

    async def span_audit(
        self, after: tuple[datetime, str], limit: int
    ) -> tuple[SpannedRecord, ...]:
        """Return records in the order of time."""
        instant = self._encode_instant(after[0])
        found = await self._fetch(self._statements["audit_span"], instant, after[1], limit)
        return tuple(
            SpannedRecord(
                created_at=rows.present(self._instant(row["created_at"])),
                id=row["id"],
                known=bool(row["sealed"] or row["waiting"]),
            )
            for row in found
        )


class Appending:
    """Writes what came while the previous write was under way together, as commits do.

    waiting_max: calls that may wait.
    """

    def __init__(
        self,
        write: Callable[[Sequence[AuditRecord]], Awaitable[None]],
        *,
        waiting_max: int = 10_000,
    ) -> None:
        self._write = write
        self._waiting_max = waiting_max
        self._waiting: list[tuple[Sequence[AuditRecord], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, records: Sequence[AuditRecord]) -> None:
        """Write records; raises what the write of their batch raised, and StoreUnavailable when too
        many wait.
        """
        if len(self._waiting) >= self._waiting_max:
            raise StoreUnavailable("Too many audit records wait for the database.")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await future

    async def finish(self) -> None:
        """Wait until nothing waits any more."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def _drain(self) -> None:
        while self._waiting:
            batch = self._waiting[:_APPEND_MAX]
            del self._waiting[:_APPEND_MAX]
            error: BaseException | None = None
            try:
                await self._write([record for records, _ in batch for record in records])
            except BaseException as raised:
                error = raised
            for _, future in batch:
                if future.done():
                    continue
                if error is None:
                    future.set_result(None)
                elif isinstance(error, Exception):
                    future.set_exception(error)
                else:
                    # The loop is being torn down: nobody must wait for ever.
                    future.cancel()
            if error is not None and not isinstance(error, Exception):
                raise error


def seal_rows(
    found: Sequence[rows.Row], number: int, digest: bytes, instant: InstantDecoder
) -> list[SealRow]:
    """Return the seals of records in the order given. number, digest: where the chain ends."""
    made: list[SealRow] = []
    for row in found:
        record = stored_record(row, instant)
        content = REMOVED if record is None else record.digest()
        number += 1
        digest = link(digest, number, content)
        made.append((number, row["audit_id"], row["created_at"], content, digest))
    return made


def stored_record(row: rows.Row, instant: InstantDecoder) -> StoredRecord | None:
    """Return the record beside a seal; None when it is gone."""
    if row["id"] is None:
        return None
    return StoredRecord(
        id=row["id"],
        event_type=row["event_type"],
        run_id=row["run_id"],
        continuation_id=row["continuation_id"],
        actor=row["actor"],
        metadata=row["metadata"],
        created_at=rows.present(instant(row["created_at"])),
    )


def _chained(row: rows.Row, instant: InstantDecoder) -> Chained:
    record = AuditRecord(
        id=row["id"],
        event_type=row["event_type"],
        run_id=row["run_id"],
        continuation_id=row["continuation_id"],
        actor=row["actor"],
        metadata=load_json(row["metadata"]),
        created_at=rows.present(instant(row["created_at"])),
    )
    digest = None if row["digest"] is None else bytes(row["digest"])
    return Chained(record=record, number=row["number"], digest=digest)
