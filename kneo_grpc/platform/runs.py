"""Runs: create, get, list, cancel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kneo_grpc.domain.change import (
    AuditRecord,
    Change,
    ExpectNew,
    Job,
    JobKind,
    StoredPlan,
)
from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.errors import NotFound, QueueFull
from kneo_grpc.domain.ids import AuditId, RunId
from kneo_grpc.domain.plan import ROOT
from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import TERMINAL, Run, RunStatus, RunSummary
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import Started
from kneo_grpc.engine.state import initial
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.decisions import ChangeWriter
from kneo_grpc.platform.endings import Ending, Endings
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.launches import CallResult, Launches
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.specs import CompiledSpec, Specs, SpecSource
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.store import Page, PageRequest, RunFilter, Store

CANCEL = "runs:cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRun:
    """A call to create a run. target: workflow or agent. scope: of the idempotency key.

    queued: leave the run to a worker and answer at once. timeout: from now to the run's deadline.
    """

    input: str
    source: SpecSource
    target: str = "workflow"
    session_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    queued: bool = False
    timeout: timedelta | None = None
    idempotency_key: str | None = None
    scope: str = "runs:create"


class Runs:
    """The run use cases."""

    def __init__(
        self,
        *,
        store: Store,
        specs: Specs,
        legs: Legs,
        launches: Launches,
        endings: Endings,
        writer: ChangeWriter,
        idempotency: Idempotency,
        audit: Audit,
        clock: Clock,
        ids: IdSource,
        queue_depth_max: int = 0,
    ) -> None:
        """queue_depth_max: runs that may wait, 0 for any number."""
        self._store = store
        self._specs = specs
        self._legs = legs
        self._launches = launches
        self._endings = endings
        self._writer = writer
        self._idempotency = idempotency
        self._audit = audit
        self._clock = clock
        self._ids = ids
        self._queue_depth_max = queue_depth_max

    async def create(self, caller: Principal, command: CreateRun) -> CallResult:
        """Commit a run. Where this process executes runs it does so here and returns the run when
        it ended, pauses or the wait is over; a queued one is returned at once.
        """
        request = _request_data(command)
        use = await self._idempotency.use(
            caller.name, command.scope, command.idempotency_key, request
        )
        if use.replay is not None:
            return CallResult(run=use.replay, replayed=True)
        compiled = await self._specs.compile(command.source)
        compiled.check_target(command.target)
        here = not command.queued and self._launches.executes
        if here:
            self._launches.check_capacity()
        else:
            await self.check_depth()
        run = self._new_run(command, request, compiled)
        if here:
            plan = compiled.plan
            began = initial(command.target, command.input)
            decision = decide(plan, began, Started(), run.created_at.timestamp())
            change = self._writer.write(
                run=run,
                plan=plan,
                before=None,
                decision=decision,
                expect=ExpectNew(),
                lease=self._legs.lease,
            )
            change = self._completed(change, caller, command, compiled)
            result = await self._launches.take(change, plan, decision, use.record)
        else:
            waiting = evolve(run, status=RunStatus.QUEUED, attempt=0, started_at=None)
            job = Job(kind=JobKind.RUN)
            change = Change(run=waiting, expect=ExpectNew(), jobs=(job,))
            change = self._completed(change, caller, command, compiled)
            result = await self._launches.leave(change, use.record, waits=not command.queued)
        assert result is not None, "a new run has nothing that could be otherwise than expected"
        return result

    def _new_run(
        self, command: CreateRun, request: Mapping[str, Any], compiled: CompiledSpec
    ) -> Run:
        now = self._clock.now()
        root = compiled.plan.root(command.target)
        return Run(
            id=RunId(self._ids.new("run")),
            status=RunStatus.RUNNING,
            attempt=1,
            plan_digest=compiled.digest,
            target=command.target,
            agent_name=compiled.plan.agents[ROOT].name,
            workflow_name=None if root.implicit else root.name,
            workflow_kind=None if root.implicit else root.kind,
            environment=command.source.environment,
            session_id=command.session_id,
            input_text=command.input,
            source={key: value for key, value in request.items() if key != "input"},
            created_at=now,
            updated_at=now,
            deadline_at=None if command.timeout is None else now + command.timeout,
        )

    def _completed(
        self, change: Change, caller: Principal, command: CreateRun, compiled: CompiledSpec
    ) -> Change:
        """Add to a create what does not depend on where the run is executed."""
        jobs = change.jobs
        if command.timeout is not None and change.run.status not in TERMINAL:
            jobs = (*jobs, Job(kind=JobKind.DEADLINE, due_in=command.timeout))
        return evolve(
            change,
            plan=StoredPlan(digest=compiled.digest, content=compiled.content),
            jobs=jobs,
            audit=(self._record(caller, command, change),),
        )

    async def check_depth(self) -> None:
        """Raises QueueFull when as many runs wait as may."""
        limit = self._queue_depth_max
        if limit == 0:
            return
        depth = (await self._store.count_jobs())["queued"]
        if depth >= limit:
            raise QueueFull(
                f"{depth} runs wait, and the limit is {limit}",
                queue_depth=depth,
                limit=limit,
                retry_after=5,
            )

    async def get(self, run_id: RunId) -> Run:
        """Return a run. Raises NotFound."""
        run = await self._store.load_run(run_id)
        if run is None:
            raise NotFound(f"there is no run {run_id[:80]}")
        return run

    async def list(self, where: RunFilter, page: PageRequest) -> Page[RunSummary]:
        """Return a page of runs."""
        return await self._store.list_runs(where, page)

    async def cancel(
        self, caller: Principal, run_id: RunId, idempotency_key: str | None = None
    ) -> CallResult:
        """End a run for good; one that has ended is returned as it is, and no key is used up.

        Raises NotFound.
        """
        request = {"run_id": run_id}
        use = await self._idempotency.use(caller.name, CANCEL, idempotency_key, request)
        if use.replay is not None:
            return CallResult(run=use.replay, replayed=True)
        ending = Ending(
            status=RunStatus.CANCELLED,
            error_type="cancelled",
            message="Run cancellation requested.",
            event_type="run.cancelled",
            actor=caller.name,
            key=use.record,
        )
        run, ended = await self._endings.end(run_id, ending)
        if not ended and use.record is not None:
            # Another call with the same key may have been faster, on this run or on another.
            first = await self._idempotency.first_answer(use.record)
            if first is not None:
                return CallResult(run=first, replayed=True)
        if not ended:
            facts = {"status_before": run.status.value, "changed": False}
            await self._audit.record(caller.name, ending.event_type, facts, run_id=run_id)
        return CallResult(run=run)

    def _record(self, caller: Principal, command: CreateRun, change: Change) -> AuditRecord:
        asked = change.open_tasks
        return AuditRecord(
            id=AuditId(self._ids.new("audit")),
            event_type="spec.run" if command.scope == "specs:run" else "run.created",
            run_id=change.run.id,
            continuation_id=asked[0].id if asked else None,
            actor=caller.name,
            metadata={
                "async_mode": command.queued,
                "target": command.target,
                "spec_path": command.source.spec_path,
                "inline_spec": command.source.spec is not None,
                "environment": command.source.environment,
                "metadata": dict(command.metadata),
                "status": change.run.status.value,
            },
            created_at=self._clock.now(),
        )


def _request_data(command: CreateRun) -> dict[str, Any]:
    """What the caller asked for, without what was left out."""
    data = {
        "input": command.input,
        "target": command.target,
        "session_id": command.session_id,
        "caller_metadata": command.metadata,
        "async_mode": command.queued or None,
        "timeout_seconds": command.timeout.total_seconds() if command.timeout else None,
    }
    given = {key: value for key, value in data.items() if value not in (None, {}, [])}
    return {**given, **command.source.to_data()}
