"""Human tasks: list, get, resume."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kneo_grpc.domain.change import (
    AuditRecord,
    Change,
    ExpectStatus,
    Job,
    JobKind,
    OutcomeKind,
    TaskSettlement,
)
from kneo_grpc.domain.data import to_data
from kneo_grpc.domain.errors import (
    FieldsInvalid,
    HumanTaskExpired,
    KneoError,
    NotFound,
    ResourceLocked,
    RunStateConflict,
)
from kneo_grpc.domain.human import (
    Decision,
    HumanDecision,
    HumanRequest,
    HumanRequestType,
    HumanTask,
    HumanTaskStatus,
    OnTimeout,
)
from kneo_grpc.domain.ids import AuditId, ContinuationId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import TERMINAL, Run, RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import Decision as EngineDecision
from kneo_grpc.platform.changes import answer_event, queued
from kneo_grpc.platform.decisions import ChangeWriter, state_after
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.launches import CallResult, Launches
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.specs import Specs
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.store import HumanTaskFilter, Page, PageRequest, Store

SCOPE = "human:resume"
TRIES = 16
"""How often a decision starts over when another branch of the run is committed in between."""


class HumanTasks:
    """The human task use cases."""

    def __init__(
        self,
        *,
        store: Store,
        specs: Specs,
        runs: Runs,
        legs: Legs,
        launches: Launches,
        writer: ChangeWriter,
        idempotency: Idempotency,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._store = store
        self._specs = specs
        self._runs = runs
        self._legs = legs
        self._launches = launches
        self._writer = writer
        self._idempotency = idempotency
        self._clock = clock
        self._ids = ids

    async def list(self, where: HumanTaskFilter, page: PageRequest) -> Page[HumanTask]:
        """Return a page of the tasks that wait."""
        return await self._store.list_human_tasks(where, page)

    async def get(self, continuation_id: ContinuationId) -> HumanTask:
        """Return a task in any status. Raises NotFound."""
        task = await self._store.load_human_task(continuation_id)
        if task is None:
            raise NotFound(f"there is no human task {continuation_id[:80]}")
        return task

    async def resume(
        self,
        caller: Principal,
        continuation_id: ContinuationId,
        answer: HumanDecision,
        idempotency_key: str | None = None,
    ) -> CallResult:
        """Record a decision and let the run go on, here or by a worker; wait for it as a create
        does.

        Of several decisions on one task, sent at once or later, exactly one is taken.
        """
        request = {"continuation_id": continuation_id, "request": to_data(answer)}
        use = await self._idempotency.use(caller.name, SCOPE, idempotency_key, request)
        if use.replay is not None:
            return CallResult(run=use.replay, replayed=True)
        self._launches.check_capacity()
        for _ in range(TRIES):
            task = await self.get(continuation_id)
            run = await self._runs.get(task.run_id)
            self._check(task, run, answer)
            act = self._act(task, answer, actor=caller.name)
            if run.status is RunStatus.BLOCKED:
                decided = await self._decide(task, run, answer, act)
                if decided is None:
                    continue
                plan, change, decision = decided
                result = await self._launches.take(change, plan, decision, use.record)
            else:
                change = self._left(task, run, act)
                result = await self._launches.leave(change, use.record, waits=False)
                self._legs.poke(run.id)
            if result is not None:
                return result
        raise _taken(await self.get(continuation_id), await self._runs.get(task.run_id))

    def _check(self, task: HumanTask, run: Run, answer: HumanDecision) -> None:
        """Raise what speaks against the decision."""
        if task.status is not HumanTaskStatus.PENDING or run.status in TERMINAL:
            raise _taken(task, run)
        faults = decision_faults(task.request, answer)
        if faults:
            raise FieldsInvalid(faults)
        late = task.expires_at is not None and task.expires_at <= self._clock.now()
        if late and task.request.on_timeout is not OnTimeout.ESCALATE:
            assert task.expires_at is not None
            raise HumanTaskExpired(
                "the human task's deadline has passed",
                continuation_id=task.id,
                expires_at=task.expires_at.timestamp(),
            )

    async def decide_for(
        self,
        task: HumanTask,
        answer: HumanDecision,
        *,
        event_type: str,
        facts: Mapping[str, Any],
    ) -> bool:
        """Decide a task in the service's own name, past its deadline; a worker lets the run go on.

        Return False when somebody else ended the task or the run meanwhile.
        """
        for _ in range(TRIES):
            run = await self._runs.get(task.run_id)
            if run.status in TERMINAL:
                return False
            act = self._act(task, answer, actor=None, event_type=event_type, facts=facts)
            if run.status is RunStatus.BLOCKED:
                decided = await self._decide(task, run, answer, act)
                if decided is None:
                    continue
                change = queued(decided[1])
            else:
                change = self._left(task, run, act)
            (outcome,) = await self._store.commit([change])
            if outcome.kind is not OutcomeKind.FENCE_LOST:
                self._legs.poke(run.id)
                return outcome.applied
        return False

    async def hand_over(self, task: HumanTask) -> str:
        """Let a run know a decision that was taken while it was busy; a worker lets it go on.

        Return handed_over, or gone where the run does not wait for it any more, or busy.
        """
        run = await self._runs.get(task.run_id)
        waits = any(item.continuation_id == task.id for item in run.pending)
        if run.status in TERMINAL or task.decision is None or not waits:
            return "gone"
        if run.status is not RunStatus.BLOCKED:
            self._legs.poke(run.id)
            return "busy"
        decided = await self._decide(task, run, task.decision, None)
        if decided is None:
            return "busy"
        (outcome,) = await self._store.commit([queued(decided[1])])
        return "handed_over" if outcome.applied else "busy"

    async def restate(
        self, *, run: Run, task: HumanTask, expect: ExpectStatus, audit: AuditRecord
    ) -> bool:
        """Write what a pending task and its run say from now on; False when either moved on."""
        change = Change(run=run, expect=expect, restate=(task,), audit=(audit,))
        (outcome,) = await self._store.commit([change])
        return outcome.applied

    def _left(self, task: HumanTask, run: Run, act: "_Act") -> Change:
        """Return the Change that leaves a decision to a run which is busy with other branches: who
        executes it is told, and when it comes to rest before, the job brings the decision.
        """
        return Change(
            run=replace(run, updated_at=self._clock.now()),
            expect=ExpectStatus(frozenset({run.status}), attempt=run.attempt),
            settle=(act.settlement,),
            jobs=(Job(kind=JobKind.ANSWER, subject=task.id),),
            audit=(act.record(run.status),),
        )

    def _act(
        self,
        task: HumanTask,
        answer: HumanDecision,
        *,
        actor: str | None,
        event_type: str = "human.decision",
        facts: Mapping[str, Any] | None = None,
    ) -> "_Act":
        now = self._clock.now()
        settlement = TaskSettlement(
            continuation_id=task.id,
            status=HumanTaskStatus.DECIDED,
            decision=answer,
            decided_by=actor,
            at=now,
        )

        def record(status: RunStatus) -> AuditRecord:
            return AuditRecord(
                id=AuditId(self._ids.new("audit")),
                event_type=event_type,
                run_id=task.run_id,
                continuation_id=task.id,
                actor=actor,
                metadata={**_audit_facts(answer, status), **(facts or {})},
                created_at=now,
            )

        return _Act(settlement, record)

    async def _decide(
        self, task: HumanTask, run: Run, answer: HumanDecision, act: "_Act | None"
    ) -> tuple[Plan, Change, EngineDecision] | None:
        """Return what a decision means for a blocked run; None when the run has moved on since.

        act: None where the task is settled already.
        """
        if all(item.continuation_id != task.id for item in run.pending):
            # It was decided after the task was read, and the run waits for somebody else by now.
            return None
        plan = await self._specs.plan(run.plan_digest)
        loaded = await self._store.load_state(run.id)
        if loaded.checkpoint_sequence != run.checkpoint_sequence:
            return None
        state = state_after(run, loaded)
        now = self._clock.now().timestamp()
        decision = decide(plan, state, answer_event(task, answer), now)
        change = self._writer.write(
            run=replace(run, attempt=run.attempt + 1),
            plan=plan,
            before=state,
            decision=decision,
            expect=ExpectStatus(frozenset({RunStatus.BLOCKED}), attempt=run.attempt),
            lease=self._legs.lease,
            facts={"resumed_from_continuation_id": task.id},
        )
        if act is not None:
            audit = (act.record(change.run.status),)
            change = replace(change, settle=(act.settlement,), audit=audit)
        return plan, change, decision


@dataclass(frozen=True, slots=True)
class _Act:
    """How a decision ends its task, and its audit record for the status that the run has then."""

    settlement: TaskSettlement
    record: Callable[[RunStatus], AuditRecord]


_FITTING: Mapping[HumanRequestType, frozenset[Decision]] = {
    HumanRequestType.APPROVAL: frozenset({Decision.APPROVED, Decision.REJECTED, Decision.EDITED}),
    HumanRequestType.REVIEW: frozenset({Decision.APPROVED, Decision.REJECTED, Decision.EDITED}),
    HumanRequestType.CORRECTION: frozenset({Decision.APPROVED, Decision.REJECTED, Decision.EDITED}),
    HumanRequestType.SELECTION: frozenset({Decision.SELECTED, Decision.REJECTED}),
    HumanRequestType.FREEFORM: frozenset({Decision.PROVIDED, Decision.REJECTED}),
}


def fitting_decisions(request: HumanRequest) -> frozenset[Decision]:
    """Return the decisions that answer a request; where it has options, one may be selected."""
    extra = frozenset({Decision.SELECTED}) if request.options else frozenset()
    return _FITTING[request.type] | extra


def decision_faults(request: HumanRequest, answer: HumanDecision) -> list[tuple[str, str]]:
    """Return what is wrong with a decision on a request, as (field, text) pairs."""
    faults = []
    if answer.request_id != request.id:
        faults.append(("request_id", "is not the pending request of this task"))
    fitting = fitting_decisions(request)
    if answer.decision not in fitting:
        words = ", ".join(sorted(fitting))
        faults.append(("decision", f"does not answer a request of type {request.type}: {words} do"))
        return faults
    if answer.decision in (Decision.EDITED, Decision.PROVIDED) and answer.content is None:
        faults.append(("content", f"is required for the decision {answer.decision.value}"))
    if answer.decision is Decision.SELECTED:
        if answer.selected_option is None:
            faults.append(("selected_option", "is required for the decision selected"))
        elif request.options is not None and answer.selected_option not in request.options:
            faults.append(("selected_option", "is not one of the request's options"))
    elif answer.selected_option is not None:
        faults.append(("selected_option", "goes with the decision selected only"))
    return faults


def _taken(task: HumanTask, run: Run) -> KneoError:
    """Say why a task cannot be decided now: a first decision is at work, or all is over."""
    if task.status is HumanTaskStatus.DECIDED and run.status in (
        RunStatus.RUNNING,
        RunStatus.QUEUED,
    ):
        return ResourceLocked(
            "another decision on this human task is being carried out", resource=task.id
        )
    return RunStateConflict(
        f"the human task is {task.status.value} and its run is {run.status.value}",
        run_id=run.id,
        status=run.status.value,
    )


def _audit_facts(answer: HumanDecision, status: RunStatus) -> Mapping[str, Any]:
    """What the audit remembers of a decision: never its content."""
    return {
        "request_id": answer.request_id,
        "decision": answer.decision.value,
        "has_content": answer.content is not None,
        "selected_option": answer.selected_option,
        "status": status.value,
    }
