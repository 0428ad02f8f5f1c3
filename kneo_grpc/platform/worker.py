"""The worker: takes runs that are ready and executes many at once."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from kneo_grpc.domain.change import ExpectAttempt
from kneo_grpc.domain.errors import KneoError, StoreUnavailable
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.engine.machine import decide, open_commands
from kneo_grpc.engine.messages import Started
from kneo_grpc.engine.state import initial
from kneo_grpc.platform.changes import numbered
from kneo_grpc.platform.decisions import ChangeWriter, state_after
from kneo_grpc.platform.endings import Ending, Endings
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.specs import Specs
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.queue import Claim, Queue
from kneo_grpc.ports.store import Store

logger = logging.getLogger("kneo_grpc.worker")


SUSPECT_PAUSE = timedelta(milliseconds=20)
SUSPECT_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """concurrency: runs at once. idle_poll: pause between looks where no hint comes.

    claims_max: a run claimed more often without coming to rest is dead-lettered, 0 never.
    suspects_from: after so many claims a run is executed alone, so that it harms no other.
    code_delay, code_patience: how long a run is left to other workers, and in all, when this
    one lacks its code. The workers that have it may be busy or about to be started again.
    """

    concurrency: int = 32
    idle_poll: timedelta = timedelta(seconds=1)
    claims_max: int = 5
    suspects_from: int = 3
    code_delay: timedelta = timedelta(seconds=2)
    code_patience: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What one look brought: runs started, given back for want of code, dead-lettered."""

    started: int = 0
    postponed: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """On the event loop's clock, when a run was refused first and until when it is left alone.
    checkpoint: its last one then.
    """

    first: float
    until: float
    checkpoint: int


class Worker:
    """Claims runs, drives them through Legs, and leaves what it cannot do to others."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        specs: Specs,
        legs: Legs,
        endings: Endings,
        writer: ChangeWriter,
        clock: Clock,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._queue = queue
        self._specs = specs
        self._legs = legs
        self._endings = endings
        self._writer = writer
        self._clock = clock
        self._settings = settings
        self._driving: dict[RunId, asyncio.Task[Run | None]] = {}
        self._alone: RunId | None = None
        self._suspect: Claim | None = None
        self._suspect_until = 0.0
        self._suspect_lease_end = 0.0
        self._suspect_tries: dict[RunId, int] = {}
        self._looked = 0.0
        self._refused: dict[RunId, _Refusal] = {}
        self._freed = asyncio.Event()

    @property
    def free(self) -> int:
        """How many further runs this worker takes."""
        if self._alone is not None or self._suspect is not None or self._legs.draining:
            return 0
        return self._settings.concurrency - len(self._driving)

    async def run_once(self) -> WorkReport:
        """Claim as many runs as there is room for and start them."""
        if self._suspect is not None:
            return await self._try_suspect(self._suspect)
        room = self.free
        if room <= 0:
            return WorkReport()
        now = asyncio.get_running_loop().time()
        if now - self._looked >= self._settings.idle_poll.total_seconds():
            self._looked = now
            self._suspect_lease_end = self._legs.lease_end()
            found = await self._claim(1, suspects=True)
            if found:
                self._suspect = found[0]
                self._suspect_until = now + self._legs.lease.lease_for.total_seconds() / 2
                return await self._try_suspect(found[0])
        until = self._legs.lease_end()
        claims = await self._claim(room, suspects=False)
        if claims and self._legs.draining:
            ids = [claim.run.id for claim in claims]
            await self._queue.postpone(self._legs.lease.owner, ids, timedelta(0))
            return WorkReport(postponed=len(ids))
        outcomes = await asyncio.gather(*(self._take(claim, until) for claim in claims))
        return WorkReport(
            started=outcomes.count("started"),
            postponed=outcomes.count("postponed"),
            dead=outcomes.count("dead"),
        )

    async def wait(self) -> None:
        """Wait until there may be something to do: a hint, a freed place, or the poll's time."""
        if self._suspect is not None:
            await self._clock.sleep(SUSPECT_PAUSE)
            return
        if self.free <= 0:
            self._freed.clear()
            await self._freed.wait()
            return
        await self._queue.wait_for_work(self._settings.idle_poll)

    async def _try_suspect(self, claim: Claim) -> WorkReport:
        """Start a suspect once nothing else is under way here.

        It is held for half a lease, in which nothing new is taken; then others may try. One that
        this process found no room for three times is taken beside others: to wait for ever would
        be worse.
        """
        run_id = claim.run.id
        tries = self._suspect_tries.get(run_id, 0)
        if self._legs.count and tries < SUSPECT_TRIES and not self._legs.draining:
            if asyncio.get_running_loop().time() < self._suspect_until:
                return WorkReport()
            self._suspect, self._suspect_tries[run_id] = None, tries + 1
            lease = self._legs.lease
            await self._queue.postpone(lease.owner, [run_id], lease.lease_for)
            return WorkReport(postponed=1)
        self._suspect = None
        self._suspect_tries.pop(run_id, None)
        if self._legs.draining:
            await self._queue.postpone(self._legs.lease.owner, [run_id], timedelta(0))
            return WorkReport(postponed=1)
        outcome = await self._take(claim, self._suspect_lease_end)
        return WorkReport(started=int(outcome == "started"), dead=int(outcome == "dead"))

    async def _claim(self, limit: int, *, suspects: bool) -> tuple[Claim, ...]:
        lease = self._legs.lease
        return await self._queue.claim_runs(
            lease.owner,
            lease.lease_for,
            limit=limit,
            suspects_from=self._settings.suspects_from,
            suspects=suspects,
            without=self._left_to_others(),
        )

    async def _take(self, claim: Claim, until: float) -> str:
        """Start a claimed run; what prevents that leaves it to its lease and is logged."""
        run = claim.run
        try:
            if 0 < self._settings.claims_max < claim.claims:
                return await self._dead_letter(run, claim.claims - 1)
            plan = await self._specs.plan(run.plan_digest)
            missing = self._specs.missing_code(plan)
            if missing:
                return await self._leave(run, missing)
            await self._start(claim, plan, until)
        except StoreUnavailable:
            logger.warning("a claimed run waits for the store", extra={"run_id": run.id})
            return "lost"
        except (KneoError, ValueError):
            logger.exception("a claimed run cannot be started", extra={"run_id": run.id})
            return "lost"
        return "started"

    async def _start(self, claim: Claim, plan: Plan, until: float) -> None:
        run = claim.run
        # This process may have lost the lease and taken the run again: the old leg must not go on.
        await self._legs.end(run.id)
        loaded = await self._store.load_state(run.id)
        state = state_after(run, loaded)
        if loaded.checkpoint_sequence:
            commands = open_commands(plan, state)
        else:
            now = self._clock.now().timestamp()
            decision = decide(plan, initial(run.target, run.input_text), Started(), now)
            change = self._writer.write(
                run=run,
                plan=plan,
                before=None,
                decision=decision,
                expect=ExpectAttempt(run.attempt),
            )
            (outcome,) = await self._store.commit([change])
            if not outcome.applied:
                return
            run, state, commands = numbered(change, outcome), decision.state, decision.commands
            if run.status is not RunStatus.RUNNING:
                return
        task = self._legs.start(
            run, plan, state, commands, suspect=claim.claims > 1, waited=True, until=until
        )
        self._driving[run.id] = task
        if claim.claims > self._settings.suspects_from:
            self._alone = run.id
        task.add_done_callback(lambda done: self._ended(run.id, done))

    def _ended(self, run_id: RunId, task: "asyncio.Task[Run | None]") -> None:
        if self._driving.get(run_id) is task:
            del self._driving[run_id]
        if self._alone == run_id:
            self._alone = None
        self._freed.set()

    def _left_to_others(self) -> list[RunId]:
        """Return the runs that this worker has not the code of and leaves alone for a while; forget
        those that were not to be had for long since: somebody executes them.
        """
        now = asyncio.get_running_loop().time()
        long = self._settings.code_patience.total_seconds() / 5
        for run_id, refusal in list(self._refused.items()):
            if now - refusal.until > long:
                del self._refused[run_id]
        return [run_id for run_id, refusal in self._refused.items() if now < refusal.until]

    async def _leave(self, run: Run, missing: Mapping[str, str]) -> str:
        """Give a run back whose code is not here; in the end it fails with that reason."""
        now = asyncio.get_running_loop().time()
        known = self._refused.get(run.id)
        if known is not None and known.checkpoint != run.checkpoint_sequence:
            known = None  # it got on: somebody has its code
        first = known.first if known is not None else now
        if now - first < self._settings.code_patience.total_seconds():
            delay = self._settings.code_delay.total_seconds()
            self._refused[run.id] = _Refusal(
                first=first, until=now + delay, checkpoint=run.checkpoint_sequence
            )
            await self._queue.postpone(self._legs.lease.owner, [run.id], timedelta(0))
            if known is None:
                logger.warning(
                    "a run is left to other workers: its code is not here",
                    extra={"run_id": run.id, "missing": "; ".join(missing.values())},
                )
            return "postponed"
        self._refused.pop(run.id, None)
        what = "; ".join(missing.values())
        ending = Ending(
            status=RunStatus.FAILED,
            error_type="code_missing",
            message=f"no worker has the run's code: {what}",
            event_type="run.dead_lettered",
            dead=True,
            attempt=run.attempt,
        )
        _, ended = await self._endings.end(run.id, ending)
        if not ended:
            return "lost"
        logger.error(
            "run dead-lettered: no worker has its code", extra={"run_id": run.id, "missing": what}
        )
        return "dead"

    async def _dead_letter(self, run: Run, attempts: int) -> str:
        """End a run that takes its workers down, unless somebody else has it meanwhile."""
        ending = Ending(
            status=RunStatus.FAILED,
            error_type="dead_letter",
            message=f"the run's worker was lost {attempts} times",
            event_type="run.dead_lettered",
            facts={"attempts": attempts, "limit": self._settings.claims_max},
            dead=True,
            attempt=run.attempt,
        )
        _, ended = await self._endings.end(run.id, ending)
        if not ended:
            return "lost"
        logger.error("run dead-lettered", extra={"run_id": run.id, "attempts": attempts})
        return "dead"
