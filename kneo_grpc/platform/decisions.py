"""From the engine's decision to the Change that lands it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kneo_grpc.domain.change import Change, Expect, Job, JobKind
from kneo_grpc.domain.data import evolve, to_data
from kneo_grpc.domain.human import HumanRequest, HumanTask
from kneo_grpc.domain.ids import (
    CheckpointId,
    ContinuationId,
    EventId,
    HumanRequestId,
    RunId,
    StepPath,
)
from kneo_grpc.domain.plan import Plan, WorkflowPlan
from kneo_grpc.domain.run import (
    TERMINAL,
    Checkpoint,
    PendingRequest,
    Run,
    RunStatus,
    TraceEvent,
)
from kneo_grpc.domain.spans import parent_path, span_id
from kneo_grpc.engine.messages import AskHuman, Decision, Mark
from kneo_grpc.engine.state import State, initial, read_state, write_state
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.store import LoadedState


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A process's hold on a run. owner: the process; lease_for: how long without a heartbeat."""

    owner: str
    lease_for: timedelta

    def job(self, due_in: timedelta = timedelta(0)) -> Job:
        """Return the job `run` as the holder of this lease puts it."""
        return Job(
            kind=JobKind.RUN, due_in=due_in, lease_owner=self.owner, lease_for=self.lease_for
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeWriter:
    """Builds Changes with fresh ids and the present time."""

    clock: Clock
    ids: IdSource

    def write(
        self,
        *,
        run: Run,
        plan: Plan,
        before: State | None,
        decision: Decision,
        expect: Expect,
        lease: Lease | None = None,
        facts: Mapping[str, Any] | None = None,
        before_data: Mapping[str, Any] | None = None,
    ) -> Change:
        """Return the Change for a decision on a run.

        run: as loaded, with the attempt that it shall have. before: the state before the decision,
        None for a new run; before_data: as it was written, where that is known. lease: whoever
        goes on with the run, when it goes on. facts: to add to run.result.
        """
        now = self.clock.now()
        if before is None:
            base: Mapping[str, Any] = {}
        else:
            base = write_state(before) if before_data is None else before_data
        tasks = self._tasks(run, plan, decision, now)
        after = self._run(run, plan, decision, tasks, now, facts or {})
        asked = {task.step_path: task for task in tasks}
        goes_on = lease is not None and decision.state.status is RunStatus.RUNNING
        jobs = [
            Job(
                kind=JobKind.HUMAN_EXPIRY, subject=task.id, due_in=task.expires_at - task.created_at
            )
            for task in tasks
            if task.expires_at is not None
        ]
        if goes_on:
            assert lease is not None
            jobs.append(lease.job())
        ended = decision.state.status in TERMINAL
        idle = decision.state.status is not RunStatus.RUNNING
        return Change(
            run=after,
            expect=expect,
            events=tuple(self._events(run.id, plan, decision, now)),
            base_state=base,
            checkpoints=tuple(self._checkpoints(decision.marks, before, base, asked, now)),
            open_tasks=tuple(tasks),
            drop_tasks=dropped_tasks(run, after, decision),
            clear_jobs=frozenset(JobKind) if ended else frozenset({JobKind.RUN} if idle else ()),
            jobs=tuple(jobs),
        )

    def _events(
        self, run_id: RunId, plan: Plan, decision: Decision, now: datetime
    ) -> Iterator[TraceEvent]:
        """Yield the trace events with their spans. An agent that is executed alone is the run."""
        alone = plan.root(decision.state.target).implicit
        for note in decision.notes:
            data = {key: value for key, value in note.fields.items() if value is not None}
            path = "" if alone else note.path
            data["span_id"] = span_id(run_id, path)
            if path:
                data["parent_span_id"] = span_id(run_id, parent_path(path))
            yield TraceEvent(
                id=EventId(self.ids.new("evt")), type=note.type, timestamp=now, data=data
            )

    def _tasks(self, run: Run, plan: Plan, decision: Decision, now: datetime) -> list[HumanTask]:
        tasks = []
        for command in decision.commands:
            if not isinstance(command, AskHuman):
                continue
            human = plan.humans[command.step.ref]
            request = HumanRequest(
                id=HumanRequestId(self.ids.new("req")),
                type=human.request_type,
                title=human.description or "Human review required",
                prompt=human.description or "Please review this item.",
                context={"input_text": command.text, **human.context},
                options=human.options,
                default_option=human.default_option,
                requested_by=command.step.id,
                assignee=human.assignee,
                timeout_seconds=human.timeout_seconds or None,
                on_timeout=human.on_timeout,
                default_on_timeout=human.default_on_timeout,
            )
            wait = timedelta(seconds=request.timeout_seconds or 0)
            tasks.append(
                HumanTask(
                    id=ContinuationId(self.ids.new("cont")),
                    run_id=run.id,
                    step_path=StepPath(command.path),
                    workflow_name=command.workflow_name,
                    workflow_kind=command.workflow_kind,
                    current_input=command.text,
                    visited_steps=command.visited,
                    request=request,
                    created_at=now,
                    expires_at=now + wait if wait else None,
                )
            )
        return tasks

    def _checkpoints(
        self,
        marks: tuple[Mark, ...],
        before: State | None,
        base: Mapping[str, Any],
        asked: Mapping[StepPath, HumanTask],
        now: datetime,
    ) -> Iterator[Checkpoint]:
        """Yield a checkpoint for each mark; each state's data shares with the one before what did
        not change.
        """
        known, data = before, base
        for mark in marks:
            data = write_state(mark.state, known, data)
            known = mark.state
            yield self._checkpoint(mark, data, asked, now)

    def _checkpoint(
        self,
        mark: Mark,
        state: Mapping[str, Any],
        asked: Mapping[StepPath, HumanTask],
        now: datetime,
    ) -> Checkpoint:
        metadata = dict(mark.metadata)
        task = asked.get(StepPath(mark.path or "")) if mark.type == "human_pause" else None
        # Nobody is asked where what else came in the same commit ended the branch again.
        if task is not None:
            metadata |= {"continuation_id": task.id, "request": request_data(task.request)}
        return Checkpoint(
            id=CheckpointId(self.ids.new("ckpt")),
            type=mark.type,
            workflow_name=mark.workflow_name,
            step_id=mark.step_id,
            node_id=mark.node_id,
            iteration=mark.iteration,
            state=state,
            metadata=metadata,
            created_at=now,
        )

    def _run(
        self,
        run: Run,
        plan: Plan,
        decision: Decision,
        tasks: list[HumanTask],
        now: datetime,
        facts: Mapping[str, Any],
    ) -> Run:
        state = decision.state
        waiting = {path for path, active in state.active.items() if active.phase == "human"}
        opened = (
            PendingRequest(
                continuation_id=task.id,
                request=task.request,
                step_path=task.step_path,
                expires_at=task.expires_at,
            )
            for task in tasks
        )
        known = (*run.pending, *opened)
        pending = tuple(item for item in known if item.step_path in waiting)
        first = next((active for active in state.active.values() if not active.frame), None)
        graph = state.root_kind == "graph"
        return evolve(
            run,
            status=state.status,
            output_text=state.output,
            current_step_id=None if first is None or graph else first.step_id,
            current_node_id=first.step_id if first and graph else None,
            visited_steps=state.visited_steps,
            visited_nodes=state.visited_nodes,
            pending=pending,
            result=_result(run, plan, state, pending, facts),
            error=state.error,
            updated_at=now,
            started_at=run.started_at or now,
            completed_at=now if state.status in TERMINAL else None,
        )


def dropped_tasks(before: Run, after: Run, decision: Decision) -> tuple[ContinuationId, ...]:
    """Return the tasks that nobody needs an answer to any more; the answered ones are no longer
    pending, so to end them changes nothing.
    """
    if not before.pending:
        return ()
    still = {item.continuation_id for item in after.pending}
    answered = {mark.path for mark in decision.marks if mark.type == "human_resume"}
    return tuple(
        item.continuation_id
        for item in before.pending
        if item.continuation_id not in still and item.step_path not in answered
    )


def state_after(run: Run, loaded: LoadedState) -> State:
    """Return the engine's state of a run; one that was never executed is at its beginning."""
    if loaded.checkpoint_sequence == 0:
        return initial(run.target, run.input_text)
    return read_state(loaded.state)


def request_data(request: HumanRequest) -> dict[str, Any]:
    """A request as the contract shows it: without absent fields, its id under both names."""
    data = {key: value for key, value in to_data(request).items() if value is not None}
    return {**data, "request_id": request.id}


_PAUSE_KEYS = ("pending_human_request", "request", "human_intervention_required", "continuation_id")


def _result(
    run: Run,
    plan: Plan,
    state: State,
    pending: tuple[PendingRequest, ...],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The contract's result metadata; what a pause left goes with the pause."""
    kept = {key: value for key, value in run.result.items() if key not in _PAUSE_KEYS}
    result = {**kept, **facts}
    root = plan.root(state.target)
    if not root.implicit:
        result["workflow"] = _workflow_facts(root, state)
        result["workflow_type"] = root.kind
        result["workflow_steps"] = result["workflow"].get("visited_steps", [])
        if root.asked_variables and state.frames:
            result["variables"] = dict(state.frames[""].variables)
        if root.description:
            result["workflow_description"] = root.description
    if pending:
        request = request_data(pending[0].request)
        result["pending_human_request"] = request
        result["request"] = request
        result["human_intervention_required"] = True
        result["continuation_id"] = pending[0].continuation_id
    return result


def _workflow_facts(root: WorkflowPlan, state: State) -> dict[str, Any]:
    """Return the contract's `workflow` of a result."""
    facts: dict[str, Any] = {"name": root.name, "type": root.kind}
    if root.kind != "graph":
        facts["visited_steps"] = list(state.visited_steps)
    else:
        facts["visited_nodes"] = list(state.visited_nodes)
        if state.status is RunStatus.COMPLETED:
            facts["termination"] = "no_matching_edge"
        elif state.error is not None and state.error.type == "max_iterations":
            facts["termination"] = "max_steps"
    if root.kind == "group-chat":
        facts["rounds"] = root.rounds
    return facts
