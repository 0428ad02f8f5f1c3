"""Human tasks: list, get, resume."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kneo_grpc.domain.change import (
    AuditRecord,
    Change,
    ExpectStatus,
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
    HumanTask,
    HumanTaskStatus,
    OnTimeout,
)
from kneo_grpc.domain.ids import AuditId, ContinuationId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import Decision as EngineDecision
from kneo_grpc.engine.messages import HumanAnswered
from kneo_grpc.platform.changes import queued
from kneo_grpc.platform.decisions import ChangeWriter, state_after
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.launches import CallResult, Launches
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.specs import Specs
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.store import HumanTaskFilter, Page, PageRequest, Store

SCOPE = "human:resume"


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
        task = await self.get(continuation_id)
        run = await self._runs.get(task.run_id)
        self._check(task, run, answer)
        self._launches.check_capacity()
        plan, change, decision = await self._decide(task, run, answer, actor=caller.name)
        result = await self._launches.take(change, plan, decision, use.record)
        if result is None:
            raise _taken(await self.get(continuation_id), await self._runs.get(task.run_id))
        return result

    def _check(self, task: HumanTask, run: Run, answer: HumanDecision) -> None:
        """Raise what speaks against the decision."""
        if task.status is not HumanTaskStatus.PENDING or run.status is not RunStatus.BLOCKED:
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
        run = await self._runs.get(task.run_id)
        if run.status is not RunStatus.BLOCKED:
            return False
        _, change, _ = await self._decide(
            task, run, answer, actor=None, event_type=event_type, facts=facts
        )
        (outcome,) = await self._store.commit([queued(change)])
        return outcome.applied

    async def restate(
        self, *, run: Run, task: HumanTask, expect: ExpectStatus, audit: AuditRecord
    ) -> bool:
        """Write what a pending task and its run say from now on; False when either moved on."""
        change = Change(run=run, expect=expect, restate=(task,), audit=(audit,))
        (outcome,) = await self._store.commit([change])
        return outcome.applied

    async def _decide(
        self,
        task: HumanTask,
        run: Run,
        answer: HumanDecision,
        *,
        actor: str | None,
        event_type: str = "human.decision",
        facts: Mapping[str, Any] | None = None,
    ) -> tuple[Plan, Change, EngineDecision]:
        plan = await self._specs.plan(run.plan_digest)
        loaded = await self._store.load_state(run.id)
        if loaded.checkpoint_sequence != run.checkpoint_sequence:
            raise _taken(task, await self._runs.get(run.id))
        state = state_after(run, loaded)
        event = HumanAnswered(
            path=task.step_path,
            continuation_id=task.id,
            decision=answer.decision,
            content=answer.content,
            selected_option=answer.selected_option,
        )
        decision = decide(plan, state, event)
        now = self._clock.now()
        change = self._writer.write(
            run=replace(run, attempt=run.attempt + 1),
            plan=plan,
            before=state,
            decision=decision,
            expect=ExpectStatus(frozenset({RunStatus.BLOCKED}), attempt=run.attempt),
            lease=self._legs.lease,
            facts={"resumed_from_continuation_id": task.id},
        )
        settlement = TaskSettlement(
            continuation_id=task.id,
            status=HumanTaskStatus.DECIDED,
            decision=answer,
            decided_by=actor,
            at=now,
        )
        record = AuditRecord(
            id=AuditId(self._ids.new("audit")),
            event_type=event_type,
            run_id=run.id,
            continuation_id=task.id,
            actor=actor,
            metadata={**_audit_facts(answer, change.run.status), **(facts or {})},
            created_at=now,
        )
        return plan, replace(change, settle=(settlement,), audit=(record,)), decision


def decision_faults(request: HumanRequest, answer: HumanDecision) -> list[tuple[str, str]]:
    """Return what is wrong with a decision on a request, as (field, text) pairs."""
    faults = []
    if answer.request_id != request.id:
        faults.append(("request_id", "is not the pending request of this task"))
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
    if task.status is HumanTaskStatus.DECIDED and run.status is RunStatus.RUNNING:
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
