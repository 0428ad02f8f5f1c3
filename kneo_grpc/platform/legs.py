"""Legs: a process drives a run from one pause to the next, under its lease."""

import asyncio
from collections.abc import Set
from datetime import timedelta

from kneo_grpc.domain.change import Change, Outcome
from kneo_grpc.domain.errors import QueueFull, StoreUnavailable
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.engine.messages import Command, Decision
from kneo_grpc.engine.state import State
from kneo_grpc.platform.changes import Key, find_landed, numbered
from kneo_grpc.platform.decisions import ChangeWriter, Lease
from kneo_grpc.platform.driver import Driver, moved_on
from kneo_grpc.platform.leg import HeartbeatReport, Leg, LegProgress, LegSettings
from kneo_grpc.platform.steps import StepExecutor
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.store import Store

_Landed = asyncio.Future[tuple[Outcome, Leg | None]]


class Legs:
    """The runs that this process executes right now."""

    def __init__(
        self,
        *,
        store: Store,
        steps: StepExecutor,
        writer: ChangeWriter,
        clock: Clock,
        settings: LegSettings,
    ) -> None:
        self._store = store
        self._settings = settings
        self._driver = Driver(
            store=store, steps=steps, writer=writer, clock=clock, settings=settings
        )
        self._driven: dict[RunId, LegProgress] = {}
        self._launches: set[Leg] = set()
        self._landing = 0
        self._draining = False

    @property
    def lease(self) -> Lease:
        """The lease under which this process takes runs."""
        return self._settings.lease

    @property
    def count(self) -> int:
        """How many runs are under way."""
        return len(self._driven)

    @property
    def draining(self) -> bool:
        """Whether this process takes no further run."""
        return self._draining

    def check_capacity(self) -> None:
        """Raises QueueFull when no further run is taken."""
        if self._draining:
            raise QueueFull("the service is shutting down", retry_after=5)
        taken = len(self._driven) + self._landing
        if taken >= self._settings.runs_max:
            limit = self._settings.runs_max
            raise QueueFull(
                f"this process executes as many runs as it takes ({limit})",
                queue_depth=taken,
                limit=limit,
                retry_after=5,
            )

    def lease_end(self) -> float:
        """Return when a lease taken now ends, on a clock that a frozen process's time counts on."""
        now = asyncio.get_running_loop().time()
        return now + self._settings.lease.lease_for.total_seconds()

    async def launch(
        self, change: Change, plan: Plan, decision: Decision, *, key: Key | None = None
    ) -> tuple[Outcome, Leg | None]:
        """Land a Change by which this process takes a run, and drive the run when it is running.

        Once begun, both are done even if the caller goes away: else the run would be leased and
        driven by nobody. Raises StoreUnavailable when it cannot be found out whether it landed, and
        QueueFull before anything is begun: others may have come since the caller looked.
        """
        self.check_capacity()
        self._landing += 1
        landed: _Landed = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._carry(change, plan, decision, key, landed))
        self._launches.add(task)
        task.add_done_callback(self._launches.discard)
        return await landed

    def start(
        self,
        run: Run,
        plan: Plan,
        state: State,
        commands: tuple[Command, ...],
        *,
        suspect: bool,
        waited: bool,
        until: float,
    ) -> Leg:
        """Drive a run whose lease this process took in the commit that led to `commands`.

        The task ends with the run as it was stored when the leg ended, or None when the lease was
        lost; it never raises. suspect: earlier holders of the run were lost; as soon as it gets on,
        it is none any more. waited: pauses before retries that are among the commands are over.
        until: as lease_end() said before the lease was taken.
        """
        leg = LegProgress(run, plan, state, None, suspect, until)
        leg.poked.set()
        task = asyncio.create_task(self._driver.drive(leg, commands, waited=waited))
        self._remember(leg, task)
        return task

    async def end(self, run_id: RunId) -> None:
        """Stop a leg and wait until it has stopped; nothing where there is none."""
        driven = self._driven.get(run_id)
        if driven is not None:
            driven.task.cancel()
            await asyncio.wait({driven.task})

    def interrupt(self, run_id: RunId) -> None:
        """Stop a leg whose run was ended or taken over by somebody else."""
        driven = self._driven.get(run_id)
        if driven is not None:
            driven.task.cancel()

    def poke(self, run_id: RunId) -> bool:
        """Have a leg look whether somebody decided a task of its run; False where there is none."""
        driven = self._driven.get(run_id)
        if driven is not None:
            driven.poked.set()
        return driven is not None

    def poke_asking(self) -> None:
        """Poke every leg of which a branch waits for a person: another process may have taken the
        decision.
        """
        for driven in self._driven.values():
            if driven.asks:
                driven.poked.set()

    async def heartbeat(self) -> HeartbeatReport:
        """Renew the leases of all legs in one statement; stop the legs that lost theirs.

        A lease without a leg is left to expire, so that another process takes the run.
        """
        driven = self.driven()
        if not driven:
            return HeartbeatReport(0, 0)
        lease = self._settings.lease
        until = self.lease_end()
        held = await self._store.renew_leases(lease.owner, lease.lease_for, driven)
        for run_id in held & self._driven.keys():
            self._driven[run_id].until = until
        lost = await self.stop_lost(driven - held)
        return HeartbeatReport(len(held), lost)

    async def stop_lost(self, suspects: Set[RunId]) -> int:
        """Stop the legs whose run was ended or taken over by somebody else; return how many.

        A leg may have ended, and given its lease back, since it became a suspect: the run decides.
        """
        lost = 0
        for run_id in suspects:
            driven = self._driven.get(run_id)
            if driven is None:
                continue
            run = await self._store.load_run(run_id)
            if moved_on(run, driven.run.attempt) and self._driven.get(run_id) is driven:
                self.interrupt(run_id)
                lost += 1
        return lost

    def driven(self) -> frozenset[RunId]:
        """Return the runs under way."""
        return frozenset(self._driven)

    async def drain(self, limit: timedelta) -> int:
        """Take no further run, wait for those under way, stop what is left; return how many."""
        self._draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + limit.total_seconds()
        while going := {*self._launches, *(one.task for one in self._driven.values())}:
            # Not asyncio.timeout: where the caller is being cancelled, as by Ctrl-C, it works from
            # Python 3.11.3 on only.
            ended, _ = await asyncio.wait(going, timeout=max(0.0, end - loop.time()))
            if not ended:
                break
        left = [driven.task for driven in self._driven.values()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        return len(left)

    def _remember(self, leg: LegProgress, task: Leg) -> None:
        leg.task = task
        self._driven[leg.run.id] = leg
        task.add_done_callback(lambda _: self._forget(leg))

    def _forget(self, leg: LegProgress) -> None:
        if self._driven.get(leg.run.id) is leg:
            del self._driven[leg.run.id]

    async def _carry(
        self,
        change: Change,
        plan: Plan,
        decision: Decision,
        key: Key | None,
        landed: _Landed,
    ) -> Run | None:
        """Land a Change, tell, and drive the run if it is running."""
        until = self.lease_end()
        try:
            outcome = await self._commit_new(change)
        except Exception as error:
            if not landed.done():
                landed.set_exception(error)
            return None
        except BaseException:
            landed.cancel()
            raise
        finally:
            self._landing -= 1
        if not outcome.applied or change.run.status is not RunStatus.RUNNING:
            if not landed.done():
                landed.set_result((outcome, None))
            return None
        run = numbered(change, outcome)
        task = asyncio.current_task()
        assert task is not None
        leg = LegProgress(run, plan, decision.state, key, suspect=False, until=until)
        self._remember(leg, task)
        if not landed.done():
            landed.set_result((outcome, task))
        leg.data = change.checkpoints[-1].state
        return await self._driver.drive(leg, decision.commands, waited=False)

    async def _commit_new(self, change: Change) -> Outcome:
        try:
            (outcome,) = await self._store.commit([change])
            return outcome
        except StoreUnavailable:
            found = await find_landed(self._store, change)
            if found is None:
                raise
            return found
