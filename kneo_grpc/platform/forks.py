"""Forks: a new run starts where another one stood."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from kneo_grpc.domain.change import AuditRecord, Change, ExpectNew, Job, JobKind, StoredPlan
from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.errors import NotFound, RunStateConflict
from kneo_grpc.domain.ids import AuditId, RunId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.plan_codec import encode_plan
from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import TERMINAL, Checkpoint, Run, RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import MIDWAY, Decision, Forked
from kneo_grpc.engine.state import State, read_state
from kneo_grpc.platform.changes import queued
from kneo_grpc.platform.decisions import ChangeWriter
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.launches import CallResult, Launches
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.specs import Specs
from kneo_grpc.ports.store import PageRequest, Store

SCOPE = "runs:fork"
_LOOK = 16
"""Checkpoints looked at together. What is looked for is mostly among the first few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRun:
    """A call to fork a run. checkpoint: its number; None for the last one at which something was
    open. input: what the open steps are given, None for what they were given. queued: leave the new
    run to a worker and answer at once.
    """

    run_id: RunId
    checkpoint: int | None = None
    input: str | None = None
    queued: bool = False
    idempotency_key: str | None = None


class Forks:
    """Starts runs where others stood."""

    def __init__(
        self,
        *,
        store: Store,
        runs: Runs,
        specs: Specs,
        legs: Legs,
        launches: Launches,
        writer: ChangeWriter,
        idempotency: Idempotency,
    ) -> None:
        self._store = store
        self._runs = runs
        self._specs = specs
        self._legs = legs
        self._launches = launches
        self._writer = writer
        self._idempotency = idempotency

    async def fork(self, caller: Principal, command: ForkRun) -> CallResult:
        """Commit a run that goes on where another one stood; answer as a create does.

        Raises NotFound for a run or a checkpoint; RunStateConflict where nothing was open, or where
        the checkpoints have been removed.
        """
        request = {
            "run_id": command.run_id,
            "checkpoint_sequence": command.checkpoint,
            "input": command.input,
            "async_mode": command.queued,
        }
        use = await self._idempotency.use(caller.name, SCOPE, command.idempotency_key, request)
        if use.replay is not None:
            return CallResult(run=use.replay, replayed=True)
        here = not command.queued and self._launches.executes
        if here:
            self._launches.check_capacity()
        else:
            await self._runs.check_depth()
        source = await self._runs.get(command.run_id)
        checkpoint, state = await self._starting_point(source, command.checkpoint)
        plan = await self._specs.plan(source.plan_digest)
        change, decision = self._forked(caller, command, source, plan, checkpoint, state)
        if command.queued:
            result = await self._launches.leave(queued(change), use.record, waits=False)
        else:
            result = await self._launches.take(change, plan, decision, use.record)
        assert result is not None, "a new run has nothing that could be otherwise than expected"
        return result

    async def _starting_point(self, source: Run, sequence: int | None) -> tuple[Checkpoint, State]:
        """Return the checkpoint to start from, and the state at it."""
        last = source.checkpoint_sequence
        if sequence is not None and not 1 <= sequence <= last:
            raise NotFound(f"the run has no checkpoint {sequence}", run_id=source.id)
        found = None
        if sequence is None:
            async for checkpoint in self._walk(source.id, last, step=-1):
                found = checkpoint
                if not found.metadata.get(MIDWAY) and _open(state := read_state(found.state)):
                    return found, state
        else:
            async for checkpoint in self._walk(source.id, sequence, step=1):
                found = checkpoint
                if not found.metadata.get(MIDWAY):
                    state = read_state(found.state)
                    if _open(state):
                        return found, state
                    break
        if found is None and last:
            text = "the run's checkpoints have been removed, so it cannot be forked"
        elif sequence is None:
            text = "nothing of the run was ever open, so there is nothing to go on with"
        else:
            text = (
                f"nothing was open at the checkpoint {sequence}, so there is nothing to go on with"
            )
        raise RunStateConflict(text, run_id=source.id, status=source.status.value)

    async def _walk(self, run_id: RunId, begin: int, *, step: int) -> AsyncIterator[Checkpoint]:
        """Yield checkpoints from a number on, up or down; none where they were removed."""
        while begin >= 1:
            first = begin if step > 0 else max(begin - _LOOK + 1, 1)
            limit = _LOOK if step > 0 else begin - first + 1
            page = PageRequest(limit=limit, offset=first - 1, sort_by="sequence")
            found = (await self._store.list_checkpoints(run_id, None, page)).items
            if not found or found[0].sequence != first:
                return
            for checkpoint in found[::step]:
                yield checkpoint
            begin = first - 1 if step < 0 else first + len(found)

    def _forked(
        self,
        caller: Principal,
        command: ForkRun,
        source: Run,
        plan: Plan,
        checkpoint: Checkpoint,
        state: State,
    ) -> tuple[Change, Decision]:
        now = self._writer.clock.now()
        event = Forked(source_id=source.id, sequence=checkpoint.sequence, text=command.input)
        decision = decide(plan, state, event, now.timestamp())
        change = self._writer.write(
            run=self._new_run(command, source, now),
            plan=plan,
            before=None,
            decision=decision,
            expect=ExpectNew(),
            lease=self._legs.lease,
        )
        jobs = change.jobs
        if change.run.deadline_at is not None and change.run.status not in TERMINAL:
            jobs = (*jobs, Job(kind=JobKind.DEADLINE, due_in=change.run.deadline_at - now))
        record = AuditRecord(
            id=AuditId(self._writer.ids.new("audit")),
            event_type="run.forked",
            run_id=change.run.id,
            actor=caller.name,
            metadata={
                "source_run_id": source.id,
                "checkpoint_sequence": checkpoint.sequence,
                "has_input": command.input is not None,
                "async_mode": command.queued,
            },
            created_at=now,
        )
        # The other run may be removed meanwhile, and its plan with it.
        stored = StoredPlan(digest=source.plan_digest, content=encode_plan(plan)[1])
        return evolve(change, plan=stored, jobs=jobs, audit=(record,)), decision

    def _new_run(self, command: ForkRun, source: Run, now: datetime) -> Run:
        asked = {key: value for key, value in source.source.items() if key != "async_mode"}
        if command.queued:
            asked["async_mode"] = True
        seconds = asked.get("timeout_seconds")
        return Run(
            id=RunId(self._writer.ids.new("run")),
            status=RunStatus.RUNNING,
            attempt=1,
            plan_digest=source.plan_digest,
            target=source.target,
            agent_name=source.agent_name,
            workflow_name=source.workflow_name,
            workflow_kind=source.workflow_kind,
            environment=source.environment,
            session_id=source.session_id,
            input_text=source.input_text,
            source=asked,
            created_at=now,
            updated_at=now,
            deadline_at=None if seconds is None else now + timedelta(seconds=seconds),
            parent_run_id=source.id,
        )


def _open(state: State) -> bool:
    """Tell whether something was under way, or had been when the run ended."""
    return bool(state.active or state.interrupted)
