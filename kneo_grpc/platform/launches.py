"""Launches: a call makes a run begin or go on, here or by a worker, and is answered."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from kneo_grpc.domain.change import Change, IdempotencyRecord, Outcome, OutcomeKind
from kneo_grpc.domain.errors import IdempotencyKeyConflict, NotFound
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.engine.messages import Decision
from kneo_grpc.platform.changes import numbered, queued, with_key
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.leg import Leg
from kneo_grpc.platform.legs import Legs
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What a call that starts or resumes a run answers. replayed: it is the first call's answer."""

    run: Run
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSettings:
    """sync_wait: how long a call waits for its run to end or pause. executes: whether calls execute
    runs in this process. rest_poll: between looks at a run that others execute.
    """

    sync_wait: timedelta = timedelta(seconds=110)
    executes: bool = True
    rest_poll: timedelta = timedelta(milliseconds=50)


class Launches:
    """Lands the Changes by which calls make runs begin or go on, and waits for the runs."""

    def __init__(
        self,
        *,
        store: Store,
        legs: Legs,
        idempotency: Idempotency,
        clock: Clock,
        settings: LaunchSettings,
    ) -> None:
        self._store = store
        self._legs = legs
        self._idempotency = idempotency
        self._clock = clock
        self._settings = settings

    @property
    def executes(self) -> bool:
        """Whether calls execute their runs in this process."""
        return self._settings.executes

    def check_capacity(self) -> None:
        """Raises QueueFull when this process is to execute the run and takes no further one."""
        if self._settings.executes:
            self._legs.check_capacity()

    async def take(
        self, change: Change, plan: Plan, decision: Decision, record: IdempotencyRecord | None
    ) -> CallResult | None:
        """Land a Change whose decision has a run go on; execute the run here where this process
        does so, else leave it to a worker. Return the run when it ended, pauses or the wait is
        over; None when it was not as the Change expects.

        record: of the call's key. Raises IdempotencyKeyConflict, IdempotencyKeyInProgress where
        another call has used the key meanwhile.
        """
        if not self._settings.executes:
            return await self.leave(queued(change), record)
        change, key = with_key(change, record)
        outcome, leg = await self._legs.launch(change, plan, decision, key=key)
        return await self._answer(change, outcome, record, leg, waits=True)

    async def leave(
        self, change: Change, record: IdempotencyRecord | None, *, waits: bool = True
    ) -> CallResult | None:
        """Land a Change that leaves a run to the workers; answer as take does. waits: False
        answers at once with the queued run.
        """
        change, _ = with_key(change, record, ends=not waits)
        (outcome,) = await self._store.commit([change])
        return await self._answer(change, outcome, record, None, waits=waits)

    async def _answer(
        self,
        change: Change,
        outcome: Outcome,
        record: IdempotencyRecord | None,
        leg: Leg | None,
        *,
        waits: bool,
    ) -> CallResult | None:
        if outcome.kind is OutcomeKind.EXISTS:
            # Another call with the same key was faster; now its record can be seen.
            assert record is not None, "nothing but a key can be there already"
            first = await self._idempotency.first_answer(record)
            if first is None:
                raise IdempotencyKeyConflict(
                    "what was kept of the first call with this idempotency key has just been "
                    "removed; use another key",
                    scope=record.scope,
                )
            return CallResult(run=first, replayed=True)
        if not outcome.applied:
            return None
        run = numbered(change, outcome)
        until = self._clock.now() + self._settings.sync_wait
        if leg is not None:
            run = await self._settled(run.id, leg)
        if waits and run.status is RunStatus.QUEUED:
            run = await self._rested(run.id, until)
        return CallResult(run=run)

    async def _rested(self, run_id: RunId, until: datetime) -> Run:
        """Wait for a run that others execute to end or pause, but not in a process that stops."""
        while True:
            run = await self._load(run_id)
            resting = run.status not in (RunStatus.QUEUED, RunStatus.RUNNING)
            if resting or self._legs.draining or self._clock.now() >= until:
                return run
            await self._clock.sleep(self._settings.rest_poll)

    async def _settled(self, run_id: RunId, leg: Leg) -> Run:
        """Wait for a leg as long as a call may wait, then return the run as it is stored.

        A caller that goes away does not stop the leg.
        """
        loop = asyncio.get_running_loop()
        over = loop.create_future()

        def end(_: object = None) -> None:
            if not over.done():
                over.set_result(None)

        # What asyncio.wait does, without its sets: each sync create passes here.
        limit = loop.call_later(self._settings.sync_wait.total_seconds(), end)
        leg.add_done_callback(end)
        try:
            await over
        finally:
            limit.cancel()
            leg.remove_done_callback(end)
        ended = leg.result() if leg.done() and not leg.cancelled() else None
        return ended if ended is not None else await self._load(run_id)

    async def _load(self, run_id: RunId) -> Run:
        run = await self._store.load_run(run_id)
        if run is None:
            raise NotFound(f"there is no run {run_id[:80]}")
        return run
