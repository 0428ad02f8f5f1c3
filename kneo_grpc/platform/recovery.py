"""What is left to do in a run."""

from dataclasses import dataclass, replace

from kneo_grpc.domain.change import AuditRecord, Change, ExpectStatus, Job, JobKind
from kneo_grpc.domain.errors import RunStateConflict
from kneo_grpc.domain.ids import AuditId, RunId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import TERMINAL, Run, RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import Continued
from kneo_grpc.engine.messages import Decision as EngineDecision
from kneo_grpc.engine.state import State
from kneo_grpc.platform.changes import numbered, queued
from kneo_grpc.platform.decisions import ChangeWriter, state_after
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.launches import CallResult, Launches
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.specs import Specs
from kneo_grpc.ports.store import LoadedState, Store

SCOPE = "runs:continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryView:
    """A run and where a continuation would start. next_step_index: 0-based."""

    run: Run
    completed_steps: tuple[str, ...]
    failed_step: str | None
    next_step_index: int
    resume_input: str
    can_continue: bool
    can_replay: bool


class Recovery:
    """Looks at runs that stopped, and makes them go on."""

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

    async def view(self, run_id: RunId) -> RecoveryView:
        """Return what is left to do in a run. Raises NotFound."""
        run = await self._runs.get(run_id)
        loaded = await self._store.load_state(run_id)
        state = state_after(run, loaded)
        frame = state.frames.get("")
        return RecoveryView(
            run=run,
            completed_steps=state.visited_steps,
            failed_step=state.failed_step,
            next_step_index=frame.position if frame else 0,
            resume_input=_resume_input(run, state),
            can_continue=run.status is RunStatus.FAILED
            and not _pruned(run, loaded)
            and can_go_on(state),
            can_replay=True,  # the plan is stored with every run
        )

    async def go_on(
        self, caller: Principal, run_id: RunId, idempotency_key: str | None = None
    ) -> CallResult:
        """Continue a failed run with the step that failed; wait for it as a create does.

        Raises NotFound, and RunStateConflict for a run that did not fail.
        """
        request = {"run_id": run_id}
        use = await self._idempotency.use(caller.name, SCOPE, idempotency_key, request)
        if use.replay is not None:
            return CallResult(run=use.replay, replayed=True)
        self._launches.check_capacity()
        change, decision, plan = await self._continued(run_id, actor=caller.name)
        result = await self._launches.take(change, plan, decision, use.record)
        if result is None:
            raise _moved_on(await self._runs.get(run_id))
        return result

    async def requeue(self, caller: Principal, run_id: RunId) -> Run:
        """Put a failed run, above all a dead-lettered one, back into the queue.

        Raises NotFound, and RunStateConflict for a run that did not fail.
        """
        change, _, _ = await self._continued(run_id, actor=caller.name, act="put back")
        change = queued(change)
        (outcome,) = await self._store.commit([change])
        if not outcome.applied:
            raise _moved_on(await self._runs.get(run_id), "put back")
        return numbered(change, outcome)

    async def _continued(
        self, run_id: RunId, *, actor: str, act: str = "continued"
    ) -> tuple[Change, EngineDecision, Plan]:
        run = await self._runs.get(run_id)
        if run.status is not RunStatus.FAILED:
            raise _moved_on(run, act)
        plan = await self._specs.plan(run.plan_digest)
        loaded = await self._store.load_state(run_id)
        if _pruned(run, loaded):
            raise RunStateConflict(
                "the run's checkpoints have been removed, so it cannot go on",
                run_id=run_id,
                status=run.status.value,
            )
        state = state_after(run, loaded)
        if loaded.checkpoint_sequence != run.checkpoint_sequence or not can_go_on(state):
            raise RunStateConflict(
                "the run holds no step to go on with", run_id=run_id, status=run.status.value
            )
        now = self._writer.clock.now()
        decision = decide(plan, state, Continued(), now.timestamp())
        # Its deadline ended with the run; one that has passed meanwhile holds no more.
        deadline = run.deadline_at if run.deadline_at is None or run.deadline_at > now else None
        change = self._writer.write(
            run=replace(run, attempt=run.attempt + 1, deadline_at=deadline),
            plan=plan,
            before=state,
            decision=decision,
            expect=ExpectStatus(frozenset({RunStatus.FAILED}), attempt=run.attempt),
            lease=self._legs.lease,
        )
        record = AuditRecord(
            id=AuditId(self._writer.ids.new("audit")),
            event_type="run.continued",
            run_id=run_id,
            continuation_id=change.open_tasks[0].id if change.open_tasks else None,
            actor=actor,
            metadata={"status": change.run.status.value},
            created_at=now,
        )
        if deadline is not None and change.run.status not in TERMINAL:
            timer = Job(kind=JobKind.DEADLINE, due_in=deadline - now)
            change = replace(change, jobs=(*change.jobs, timer))
        kinds = change.clear_jobs | {JobKind.DEAD}
        return replace(change, clear_jobs=kinds, audit=(record,)), decision, plan


def can_go_on(state: State) -> bool:
    """Tell whether a failed run's state holds something to go on with."""
    return bool(state.interrupted) or not state.frames


def _pruned(run: Run, loaded: LoadedState) -> bool:
    """Tell whether retention has removed the run's checkpoints."""
    return bool(run.checkpoint_sequence) and not loaded.checkpoint_sequence


_INSTEAD = {
    RunStatus.QUEUED: "it is in the queue already",
    RunStatus.RUNNING: "a process executes it, or takes it over when its lease has expired",
    RunStatus.BLOCKED: "it goes on when its human task is decided",
}


def _moved_on(run: Run, act: str = "continued") -> RunStateConflict:
    instead = _INSTEAD.get(run.status, "that is final")
    return RunStateConflict(
        f"only a failed run can be {act}; {run.id} is {run.status.value}: {instead}",
        run_id=run.id,
        status=run.status.value,
    )


def _resume_input(run: Run, state: State) -> str:
    if state.failed_input is not None:
        return state.failed_input
    active = next(iter(state.active.values()), None)
    if active is not None:
        return active.text
    frame = state.frames.get("")
    return frame.text if frame else run.input_text
