"""Drives one leg: performs what the engine asks for, commits what follows, and goes on."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kneo_grpc.domain.change import Change, ExpectAttempt, Outcome
from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.errors import LeaseLost, StoreUnavailable
from kneo_grpc.domain.human import HumanTask
from kneo_grpc.domain.ids import ContinuationId
from kneo_grpc.domain.run import PendingRequest, Run, RunStatus, TokenUsage, read_usage
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import (
    AskHuman,
    Command,
    Decision,
    Event,
    EventRefused,
    HumanAnswered,
    RetryDue,
    RunStep,
    StepCompleted,
    StepFailed,
    WaitRetry,
)
from kneo_grpc.platform.changes import answer_event, find_landed, numbered, queued, response_of
from kneo_grpc.platform.decisions import ChangeWriter
from kneo_grpc.platform.leg import LegProgress, LegSettings
from kneo_grpc.platform.steps import StepExecutor
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.store import Store

logger = logging.getLogger("kneo_grpc.legs")


class Driver:
    """Drives legs."""

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

    async def drive(
        self, leg: LegProgress, commands: tuple[Command, ...], *, waited: bool
    ) -> Run | None:
        """Perform commands and what follows from them, until the run rests. Return the run as it
        was stored then, or None when the lease was lost; raise nothing.

        waited: pauses before retries that are among the commands are over.
        """
        run_id = leg.run.id
        work: dict[asyncio.Task[Event], str] = {}
        commands = performable(commands)
        try:
            while True:
                if len(commands) == 1 and not work and not leg.asks:
                    # Most runs do one thing at a time: no task and no set is needed for that.
                    event = await self._event(leg, commands[0], waited=waited)
                    commands, waited = await self._follow(leg, [event], idle=True), False
                    continue
                for command in commands:
                    work[self._perform(leg, command, waited=waited)] = command.path
                waited = False
                if not work:
                    return leg.run
                events = await self._next_events(leg, work)
                commands = await self._follow(leg, events, idle=not work)
                for task in [task for task, path in work.items() if path not in leg.state.active]:
                    # Its branch is not needed any more.
                    del work[task]
                    task.cancel()
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

    async def _next_events(
        self, leg: LegProgress, work: dict[asyncio.Task[Event], str]
    ) -> list[Event]:
        """Wait until something of the work is done, or a person has decided; take it out of the
        work.
        """
        poked = asyncio.create_task(leg.poked.wait()) if leg.asks else None
        try:
            waits = {*work} if poked is None else {*work, poked}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if poked is not None:
                poked.cancel()
        done = [task for task in work if task.done()]
        for task in done:
            del work[task]
        # A failure may end its workflow, so what others have brought by then comes first.
        events = [task.result() for task in done]
        events.sort(key=lambda event: isinstance(event, StepFailed))
        if leg.asks and leg.poked.is_set():
            leg.poked.clear()
            events.extend(await self._answers(leg))
        return events

    async def _answers(self, leg: LegProgress) -> list[Event]:
        """Return the decisions on tasks of the run that it has not been told yet; learn what was
        asked anew, for an escalation changes a question while the run works.
        """
        answers: list[Event] = []
        pending: list[PendingRequest] = []
        for item in leg.run.pending:
            task = await self._loaded_task(item.continuation_id)
            if task is not None and task.decision is not None:
                answers.append(answer_event(task, task.decision))
            pending.append(item if task is None else replace(item, request=task.request))
        leg.run = evolve(leg.run, pending=tuple(pending))
        return answers

    async def _loaded_task(self, continuation_id: ContinuationId) -> HumanTask | None:
        """Return a task as soon as the database answers: what the other branches do goes on."""
        while True:
            try:
                return await self._store.load_human_task(continuation_id)
            except StoreUnavailable:
                await self._clock.sleep(self._settings.store_retry)

    async def _follow(
        self, leg: LegProgress, events: Sequence[Event], *, idle: bool
    ) -> tuple[Command, ...]:
        """Decide, commit, and only then return what is to be performed. idle: nothing else is under
        way.
        """
        decision = self._decided(leg, events)
        if decision is not None and decision.state.status is RunStatus.BLOCKED and leg.run.pending:
            # Somebody may have decided meanwhile; then it is not blocked.
            answers = await self._answers(leg)
            if answers:
                events = [*events, *answers]
                decision = self._decided(leg, events)
        if decision is None:
            return ()
        change = self._change(leg, events, decision)
        pause = self._long_pause(decision) if idle else None
        if pause is not None:
            change = queued(change, self._settings.lease.job(pause))
        going = change.run.status is RunStatus.RUNNING
        if not going and change.run.status is not RunStatus.QUEUED and leg.key is not None:
            # Of a run that went back to the queue, its rest is the answer.
            change = replace(change, complete=(*leg.key, response_of(change)))
        if leg.suspect and going:
            # Taking the lease anew in the commit of a result counts the holders from one again.
            job = self._settings.lease.job()
            change = replace(change, jobs=(*change.jobs, job))
        leg.suspect = False
        outcome = await self._commit(change)
        leg.run = numbered(change, outcome)
        leg.state = decision.state
        leg.data = change.checkpoints[-1].state
        leg.note_asks()
        if not going:
            return ()
        return performable(decision.commands)

    def _decided(self, leg: LegProgress, events: Sequence[Event]) -> Decision | None:
        """Return what follows from events that came together, in one commit; None where nothing
        does. An event of a step that an earlier one has ended says nothing any more.
        """
        now = self._clock.now().timestamp()
        if len(events) == 1 and not leg.asks:
            return decide(leg.plan, leg.state, events[0], now)
        state, decisions = leg.state, []
        for event in events:
            with contextlib.suppress(EventRefused):
                decisions.append(decide(leg.plan, state, event, now))
                state = decisions[-1].state
        if not decisions:
            return None
        commands = (command for decision in decisions for command in decision.commands)
        return Decision(
            state=state,
            commands=tuple(command for command in commands if command.path in state.active),
            marks=tuple(mark for decision in decisions for mark in decision.marks),
            notes=tuple(note for decision in decisions for note in decision.notes),
        )

    def _change(self, leg: LegProgress, events: Sequence[Event], decision: Decision) -> Change:
        facts: Mapping[str, Any] = {}
        for event in events:
            if isinstance(event, StepCompleted) and leg.plan.root(leg.state.target).implicit:
                facts = event.metadata
            elif isinstance(event, HumanAnswered):
                facts = {"resumed_from_continuation_id": event.continuation_id}
        usage = _usage(leg.run, events)
        if usage is not None:
            facts = {**facts, "usage": usage.facts()}
        return self._writer.write(
            run=leg.run,
            plan=leg.plan,
            before=leg.state,
            decision=decision,
            expect=ExpectAttempt(leg.run.attempt),
            facts=facts,
            before_data=leg.data,
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
        while loop.time() > leg.until:
            try:
                run = await self._store.load_run(run_id)
            except StoreUnavailable:
                await self._clock.sleep(self._settings.store_retry)
                continue
            if moved_on(run, leg.run.attempt):
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


def _usage(run: Run, events: Sequence[Event]) -> TokenUsage | None:
    """Return the tokens of a run's models with those of steps that completed now; None where these
    tell none.
    """
    told = [
        read_usage(event.metadata.get("usage"))
        for event in events
        if isinstance(event, StepCompleted)
    ]
    counted = [usage for usage in told if usage is not None]
    if not counted:
        return None
    return sum(counted, read_usage(run.result.get("usage")) or TokenUsage())


def performable(commands: tuple[Command, ...]) -> tuple[Command, ...]:
    """Return what a process performs; a person's answer comes from a request."""
    return tuple(command for command in commands if not isinstance(command, AskHuman))


def moved_on(run: Run | None, attempt: int) -> bool:
    """Tell whether somebody else ended a run or took it over."""
    return run is None or run.attempt != attempt or run.status is not RunStatus.RUNNING
