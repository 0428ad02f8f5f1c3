"""Legs: a process drives a run from one pause to the next, under its lease."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from kneo_grpc.domain.change import Change, ExpectAttempt, Outcome
from kneo_grpc.domain.errors import LeaseLost, QueueFull, StoreUnavailable
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.run import Run, RunStatus, TokenUsage, read_usage
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import (
    Command,
    Decision,
    Event,
    RetryDue,
    RunStep,
    StepCompleted,
    WaitRetry,
)
from kneo_grpc.engine.state import State
from kneo_grpc.platform.changes import Key, find_landed, numbered, queued, response_of
from kneo_grpc.platform.decisions import ChangeWriter, Lease
from kneo_grpc.platform.leg import HeartbeatReport, LegProgress, LegSettings
from kneo_grpc.platform.steps import StepExecutor
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.store import Store

logger = logging.getLogger("kneo_grpc.legs")

Leg = asyncio.Task[Run | None]
"""Ends with the run as it was stored when the leg ended, or None when the lease was lost."""


@dataclass(slots=True, kw_only=True)
class _Driven:
    """A run under way. until: when its lease ends, as far as this process knows."""

    leg: Leg
    attempt: int
    until: float


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
        self._steps = steps
        self._writer = writer
        self._clock = clock
        self._settings = settings
        self._driven: dict[RunId, _Driven] = {}
        self._launches: set[Leg] = set()
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
        if len(self._driven) >= self._settings.runs_max:
            limit = self._settings.runs_max
            raise QueueFull(
                f"this process executes as many runs as it takes ({limit})",
                queue_depth=len(self._driven),
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
        driven by nobody. Raises StoreUnavailable when it cannot be found out whether it landed.
        """
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
        leg = LegProgress(run, plan, state, None, suspect)
        task = asyncio.create_task(self._drive(leg, commands, waited=waited))
        self._remember(run, task, until)
        return task

    async def end(self, run_id: RunId) -> None:
        """Stop a leg and wait until it has stopped; nothing where there is none."""
        driven = self._driven.get(run_id)
        if driven is not None:
            driven.leg.cancel()
            await asyncio.wait({driven.leg})

    def interrupt(self, run_id: RunId) -> None:
        """Stop a leg whose run was ended or taken over by somebody else."""
        driven = self._driven.get(run_id)
        if driven is not None:
            driven.leg.cancel()

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
            if _moved_on(run, driven.attempt) and self._driven.get(run_id) is driven:
                self.interrupt(run_id)
                lost += 1
        return lost

    def driven(self) -> frozenset[RunId]:
        """Return the runs under way."""
        return frozenset(self._driven)

    async def drain(self, limit: timedelta) -> int:
        """Take no further run, wait for those under way, stop what is left; return how many."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit.total_seconds()):
                while going := {*self._launches, *(one.leg for one in self._driven.values())}:
                    await asyncio.wait(going)
        left = [driven.leg for driven in self._driven.values()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        return len(left)

    def _remember(self, run: Run, task: Leg, until: float) -> None:
        self._driven[run.id] = _Driven(leg=task, attempt=run.attempt, until=until)
        task.add_done_callback(lambda done: self._forget(run.id, done))

    def _forget(self, run_id: RunId, task: Leg) -> None:
        driven = self._driven.get(run_id)
        if driven is not None and driven.leg is task:
            del self._driven[run_id]

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
        if not outcome.applied or change.run.status is not RunStatus.RUNNING:
            if not landed.done():
                landed.set_result((outcome, None))
            return None
        run = numbered(change, outcome)
        task = asyncio.current_task()
        assert task is not None
        self._remember(run, task, until)
        if not landed.done():
            landed.set_result((outcome, task))
        leg = LegProgress(run, plan, decision.state, key, suspect=False)
        leg.data = change.checkpoints[-1].state
        return await self._drive(leg, decision.commands, waited=False)

    async def _commit_new(self, change: Change) -> Outcome:
        try:
            (outcome,) = await self._store.commit([change])
            return outcome
        except StoreUnavailable:
            found = await find_landed(self._store, change)
            if found is None:
                raise
            return found

    async def _drive(
        self, leg: LegProgress, commands: tuple[Command, ...], *, waited: bool
    ) -> Run | None:
        run_id = leg.run.id
        work: set[asyncio.Task[Event]] = set()
        try:
            while len(commands) == 1:
                # Most runs do one thing at a time: no task and no set is needed for that.
                event = await self._event(leg, commands[0], waited=waited)
                commands, waited = await self._follow(leg, event, idle=True), False
            work |= {self._perform(leg, command, waited=waited) for command in commands}
            while work:
                done, work = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                events = [task.result() for task in done]
                while events:
                    following = await self._follow(leg, events.pop(), idle=not (events or work))
                    work |= {self._perform(leg, command) for command in following}
            return leg.run
        except LeaseLost:
            logger.info("lease lost", extra={"run_id": run_id})
            return None
        except asyncio.CancelledError:
            logger.info("leg interrupted", extra={"run_id": run_id})
            return None
        except Exception:
            logger.exception("leg failed", extra={"run_id": run_id})
            return None
        finally:
            for task in work:
                task.cancel()

    async def _follow(self, leg: LegProgress, event: Event, *, idle: bool) -> tuple[Command, ...]:
        """Decide, commit, and only then return what is to be performed. idle: nothing else is under
        way.
        """
        decision = decide(leg.plan, leg.state, event)
        facts = _facts(leg, event) if isinstance(event, StepCompleted) else {}
        change = self._writer.write(
            run=leg.run,
            plan=leg.plan,
            before=leg.state,
            decision=decision,
            expect=ExpectAttempt(leg.run.attempt),
            facts=facts,
            before_data=leg.data,
        )
        pause = self._long_pause(decision) if idle else None
        if pause is not None:
            change = queued(change, self._settings.lease.job(pause))
        ends = change.run.status is not RunStatus.RUNNING
        if ends and leg.key is not None:
            change = replace(change, complete=(*leg.key, response_of(change)))
        if leg.suspect and not ends:
            # Taking the lease anew in the commit of a result counts the holders from one again.
            job = self._settings.lease.job()
            change = replace(change, jobs=(*change.jobs, job))
        leg.suspect = False
        outcome = await self._commit(change)
        leg.run = numbered(change, outcome)
        leg.state = decision.state
        leg.data = change.checkpoints[-1].state
        if ends:
            return ()
        return tuple(
            command for command in decision.commands if isinstance(command, (RunStep, WaitRetry))
        )

    def _long_pause(self, decision: Decision) -> timedelta | None:
        """Return how long the run has nothing to do but to wait, when that is long."""
        waits = [command for command in decision.commands if isinstance(command, WaitRetry)]
        if not waits or len(waits) < len(decision.commands):
            return None
        pause = min(self._backoff(command) for command in waits)
        return pause if pause > self._settings.retry_here else None

    def _perform(
        self, leg: LegProgress, command: Command, *, waited: bool = False
    ) -> asyncio.Task[Event]:
        return asyncio.create_task(self._event(leg, command, waited=waited))

    async def _event(self, leg: LegProgress, command: Command, *, waited: bool) -> Event:
        """Perform a command and return what came of it."""
        if isinstance(command, RunStep):
            await self._check_lease(leg)
            return await self._steps.execute(leg.run.id, leg.run.attempt, leg.plan, command)
        assert isinstance(command, WaitRetry), "a person's answer comes from a request"
        if not waited:
            await self._clock.sleep(self._backoff(command))
        return RetryDue(path=command.path)

    async def _check_lease(self, leg: LegProgress) -> None:
        """Past the end of the lease, ask whether the run is still this process's: it may have been
        frozen, and others gone on. Raises LeaseLost.
        """
        run_id, loop = leg.run.id, asyncio.get_running_loop()
        driven = self._driven.get(run_id)
        while driven is None or loop.time() > driven.until:
            try:
                run = await self._store.load_run(run_id)
            except StoreUnavailable:
                await self._clock.sleep(self._settings.store_retry)
                continue
            if _moved_on(run, leg.run.attempt):
                raise LeaseLost("the run moved on while this process stood still", run_id=run_id)
            return

    def _backoff(self, command: WaitRetry) -> timedelta:
        return self._settings.retry_backoff * (command.attempt - 1)

    async def _commit(self, change: Change) -> Outcome:
        """Commit until the database answers; find out whether a commit without a reply landed."""
        uncertain = False
        while True:
            try:
                (outcome,) = await self._store.commit([change])
                if outcome.applied:
                    return outcome
                landed = await find_landed(self._store, change) if uncertain else None
                if landed is not None:
                    return landed
                raise LeaseLost("the run moved on", run_id=change.run_id)
            except StoreUnavailable:
                uncertain = True
                logger.warning("store unavailable, commit waits", extra={"run_id": change.run_id})
                await self._clock.sleep(self._settings.store_retry)


def _facts(leg: LegProgress, event: StepCompleted) -> Mapping[str, Any]:
    """Return what a step adds to the run's result: all that an agent tells where it is the whole
    run, and the tokens of its models on top of those of the steps before.
    """
    facts = event.metadata if leg.plan.root(leg.state.target).implicit else {}
    usage = read_usage(event.metadata.get("usage"))
    if usage is None:
        return facts
    before = read_usage(leg.run.result.get("usage"))
    return {**facts, "usage": ((before or TokenUsage()) + usage).facts()}


def _moved_on(run: Run | None, attempt: int) -> bool:
    """Tell whether somebody else ended a run or took it over."""
    return run is None or run.attempt != attempt or run.status is not RunStatus.RUNNING
