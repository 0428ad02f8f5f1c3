"""Seals audit records soon after they were committed, and exports them if that is wished for."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kneo_grpc.domain.audit_chain import Seal
from kneo_grpc.ports.audit import AuditTrail

trail_log = logging.getLogger("kneo_grpc.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealerSettings:
    """lease: how long the chain is this process's without a sign of life. batch: records sealed in
    one transaction. pause: between two looks, and so how long a record may wait; standby: between
    looks while another process seals. export: log each sealed record, where log lines are kept.
    """

    lease: timedelta = timedelta(seconds=10)
    batch: int = 500
    pause: timedelta = timedelta(seconds=1)
    standby: timedelta = timedelta(seconds=2)
    export: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SealReport:
    """held: whether this process seals. sealed, exported: how many records. pause: until the next
    look.
    """

    held: bool
    sealed: int = 0
    exported: int = 0
    pause: timedelta


class Sealer:
    """Adds to the chain of audit records while it holds the lease on it."""

    def __init__(self, trail: AuditTrail, holder: str, settings: SealerSettings) -> None:
        self._trail = trail
        self._holder = holder
        self._settings = settings

    async def run_once(self) -> SealReport:
        """Seal and export a batch, where this is the process that does. An idle database costs one
        reading statement.
        """
        settings = self._settings
        look = await self._trail.look_at_sealer(self._holder, settings.lease / 2)
        if look.others:
            return SealReport(held=False, pause=settings.standby)
        sealed = 0
        if look.waiting or not look.ours:
            taken = await self._trail.seal(self._holder, settings.lease, limit=settings.batch)
            if taken is None:
                return SealReport(held=False, pause=settings.standby)
            sealed = taken
        exported = 0
        if settings.export and _listened_to() and (sealed or look.number > look.exported_number):
            exported = await self._export(look.exported_number)
        full = settings.batch in (sealed, exported)
        pause = timedelta(0) if full else settings.pause
        return SealReport(held=True, sealed=sealed, exported=exported, pause=pause)

    async def stop(self) -> None:
        """Seal what is left, if nobody else will, and give the lease back, so that others need not
        wait for its end.
        """
        look = await self._trail.look_at_sealer(self._holder, timedelta(0))
        if look.waiting and not look.others:
            await self._trail.seal(self._holder, self._settings.lease, limit=self._settings.batch)
        if look.ours or (look.waiting and not look.others):
            await self._trail.free_sealer(self._holder)

    async def _export(self, after: int) -> int:
        """Log a batch, then note it: after a crash some lines come again, none is left out."""
        seals = await self._trail.load_seals(after, self._settings.batch)
        for seal in seals:
            trail_log.info("audit event", extra={"audit": exported_data(seal)})
        if seals:
            await self._trail.set_exported(seals[-1].number)
        return len(seals)


def _listened_to() -> bool:
    """Tell whether a line of the trail goes anywhere: what is lost must not count as exported."""
    return trail_log.isEnabledFor(logging.INFO) and trail_log.hasHandlers()


def exported_data(seal: Seal) -> Mapping[str, Any]:
    """Return what a log line says of a sealed record."""
    facts: dict[str, Any] = {
        "number": seal.number,
        "id": seal.audit_id,
        "digest": seal.digest.hex(),
    }
    record = seal.record
    if record is None:
        return {**facts, "pruned": seal.pruned}
    given = {
        "event_type": record.event_type,
        "run_id": record.run_id,
        "continuation_id": record.continuation_id,
        "actor": record.actor,
        "metadata": record.metadata,
        "created_at": record.created_at.isoformat(),
    }
    return {**facts, **{key: value for key, value in given.items() if value is not None}}
