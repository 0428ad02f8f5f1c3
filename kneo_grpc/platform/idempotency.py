"""Repeating a call with the same key does it once."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.change import IdempotencyRecord
from kneo_grpc.domain.data import from_data
from kneo_grpc.domain.errors import (
    IdempotencyKeyConflict,
    IdempotencyKeyInProgress,
    IdempotencyKeyInvalid,
)
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.store import Store

KEY_CHARS_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One call with a key: the record to insert with its effect, or the answer of the first
    call.
    """

    record: IdempotencyRecord | None = None
    replay: Run | None = None


class Idempotency:
    """Looks keys up. Records are written by the Change that has the effect."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def use(
        self, principal: str, scope: str, key: str | None, request: Mapping[str, Any]
    ) -> Use:
        """Tell what to do with a call about a run.

        Raises what look raises, and IdempotencyKeyInProgress.
        """
        record, known = await self.look(principal, scope, key, request)
        return Use(record=record, replay=None if known is None else await self._answer(known))

    async def look(
        self, principal: str, scope: str, key: str | None, request: Mapping[str, Any]
    ) -> tuple[IdempotencyRecord | None, IdempotencyRecord | None]:
        """Return the record to insert with a call's effect, and that of the key's first use: at
        most one of them. key: as sent; None or blank means that no key was sent.

        Raises IdempotencyKeyInvalid, IdempotencyKeyConflict.
        """
        key = (key or "").strip()
        if not key:
            return None, None
        if len(key) > KEY_CHARS_MAX or not key.isprintable():
            raise IdempotencyKeyInvalid(
                f"an idempotency key has at most {KEY_CHARS_MAX} printable characters"
            )
        digest = _hash(request)
        known = await self._store.load_idempotency(principal, scope, key)
        if known is None:
            record = IdempotencyRecord(
                principal=principal,
                scope=scope,
                key=key,
                request_hash=digest,
                created_at=self._clock.now(),
            )
            return record, None
        _check_same(known, digest)
        return None, known

    async def first_answer(self, record: IdempotencyRecord) -> Run | None:
        """Return the answer of the call that used a record's key first; None where there is none,
        or none any more.

        Raises what use raises.
        """
        known = await self._store.load_idempotency(record.principal, record.scope, record.key)
        if known is None:
            return None
        _check_same(known, record.request_hash)
        return await self._answer(known)

    async def _answer(self, known: IdempotencyRecord) -> Run:
        if known.response is not None:
            return from_data(Run, known.response)
        # The first call has not ended, or the process that served it died. In the second case the
        # run itself tells: once it rests, its present state is the answer.
        run = await self._store.load_run(known.run_id) if known.run_id else None
        if run is None and known.run_id:
            raise IdempotencyKeyConflict(
                "the run of this idempotency key has been removed; use another key",
                scope=known.scope,
            )
        if run is None or run.status in (RunStatus.RUNNING, RunStatus.QUEUED):
            raise IdempotencyKeyInProgress(
                "the first call with this idempotency key has not ended yet",
                scope=known.scope,
                retry_after=1,
                **({"run_id": known.run_id} if known.run_id else {}),
            )
        return run


def _check_same(known: IdempotencyRecord, digest: str) -> None:
    """Raises IdempotencyKeyConflict where a key was used first with another request."""
    if known.request_hash != digest:
        # Whoever sent the key learns of the run that it stands for, and of nobody else's.
        run = {"run_id": known.run_id} if known.run_id else {}
        text = "the idempotency key was used with another request"
        raise IdempotencyKeyConflict(text, scope=known.scope, **run)


def _hash(request: Mapping[str, Any]) -> str:
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
