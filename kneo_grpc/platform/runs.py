"""Runs: create, get, list, cancel."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from kneo_grpc.domain.change import (
    AuditRecord,
    ExpectNew,
    OutcomeKind,
    StoredPlan,
)
from kneo_grpc.domain.errors import NotFound
from kneo_grpc.domain.ids import AuditId, RunId
from kneo_grpc.domain.plan import ROOT
from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import Started
from kneo_grpc.engine.state import initial
from kneo_grpc.platform.decisions import ChangeWriter
from kneo_grpc.platform.endings import Ending, Endings
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.legs import Key, Legs, numbered, response_of
from kneo_grpc.platform.specs import Specs, SpecSource
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.store import Page, PageRequest, RunFilter, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRun:
    """A call to create a run. target: workflow or agent. scope: of the idempotency key."""

    input: str
    source: SpecSource
    target: str = "workflow"
    environment: str | None = None
    session_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    scope: str = "runs:create"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What a call that starts or resumes a run answers. replayed: it is the first call's answer."""

    run: Run
    replayed: bool = False


class Runs:
    """The run use cases. sync_wait: how long a create waits for the run to end or pause."""

    def __init__(
        self,
        *,
        store: Store,
        specs: Specs,
        legs: Legs,
        endings: Endings,
        writer: ChangeWriter,
        idempotency: Idempotency,
        clock: Clock,
        ids: IdSource,
        sync_wait: timedelta,
    ) -> None:
        self._store = store
        self._specs = specs
        self._legs = legs
        self._endings = endings
        self._writer = writer
        self._idempotency = idempotency
        self._clock = clock
        self._ids = ids
        self._sync_wait = sync_wait

    async def create(self, caller: Principal, command: CreateRun) -> CallResult:
        """Commit a run, execute it here, and return it when it ended, pauses or the wait is
        over.
        """
        request = _request_data(command)
        use = await self._idempotency.use(
            caller.name, command.scope, command.idempotency_key, request
        )
        if use.replay is not None:
            return CallResult(run=use.replay, replayed=True)
        compiled = await self._specs.compile(command.source)
        self._legs.check_capacity()
        now = self._clock.now()
        plan = compiled.plan
        root = plan.root(command.target)
        run = Run(
            id=RunId(self._ids.new("run")),
            status=RunStatus.RUNNING,
            attempt=1,
            plan_digest=compiled.digest,
            target=command.target,
            agent_name=plan.agents[ROOT].name,
            workflow_name=None if root.implicit else root.name,
            workflow_kind=None if root.implicit else root.kind,
            environment=command.environment,
            session_id=command.session_id,
            input_text=command.input,
            source={key: value for key, value in request.items() if key != "input"},
            created_at=now,
            updated_at=now,
        )
        decision = decide(plan, initial(command.target, command.input), Started())
        change = self._writer.write(
            run=run,
            plan=plan,
            before=None,
            decision=decision,
            expect=ExpectNew(),
            lease=self._legs.lease,
        )
        key: Key | None = None
        if use.record is not None:
            ends = decision.state.status is not RunStatus.RUNNING
            response = response_of(change) if ends else None
            record = replace(use.record, run_id=run.id, response=response)
            change = replace(change, idempotency=record)
            key = None if ends else (record.principal, record.scope, record.key)
        change = replace(
            change,
            plan=StoredPlan(digest=compiled.digest, content=compiled.content),
            audit=(self._audit(caller, command, run.id),),
        )
        outcome, leg = await self._legs.launch(change, plan, decision, key=key)
        if outcome.kind is OutcomeKind.EXISTS:
            # Another call with the same key was faster; now its record can be seen.
            use = await self._idempotency.use(
                caller.name, command.scope, command.idempotency_key, request
            )
            assert use.replay is not None
            return CallResult(run=use.replay, replayed=True)
        run = numbered(change, outcome)
        return CallResult(run=await self.settled(run.id, leg) if leg else run)

    async def settled(self, run_id: RunId, leg: "asyncio.Task[Run | None]") -> Run:
        """Wait for a leg as long as a call may wait, then return the run as it is stored.

        A caller that goes away does not stop the leg.
        """
        done, _ = await asyncio.wait({leg}, timeout=self._sync_wait.total_seconds())
        ended = leg.result() if done and not leg.cancelled() else None
        return ended if ended is not None else await self.get(run_id)

    async def get(self, run_id: RunId) -> Run:
        """Return a run. Raises NotFound."""
        run = await self._store.load_run(run_id)
        if run is None:
            raise NotFound(f"there is no run {run_id[:80]}")
        return run

    async def list(self, where: RunFilter, page: PageRequest) -> Page[Run]:
        """Return a page of runs."""
        return await self._store.list_runs(where, page)

    async def cancel(self, caller: Principal, run_id: RunId) -> Run:
        """End a run for good; one that has ended is returned as it is. Raises NotFound."""
        ending = Ending(
            status=RunStatus.CANCELLED,
            error_type="cancelled",
            message="Run cancellation requested.",
            event_type="run.cancelled",
            actor=caller.name,
        )
        run, _ = await self._endings.end(run_id, ending)
        return run

    def _audit(self, caller: Principal, command: CreateRun, run_id: RunId) -> AuditRecord:
        return AuditRecord(
            id=AuditId(self._ids.new("audit")),
            event_type="spec.run" if command.scope == "specs:run" else "run.created",
            run_id=run_id,
            actor=caller.name,
            metadata={
                "target": command.target,
                "spec_path": command.source.spec_path,
                "inline_spec": command.source.spec is not None,
                "environment": command.environment,
            },
            created_at=self._clock.now(),
        )


def _request_data(command: CreateRun) -> dict[str, Any]:
    """What the caller asked for, without what was left out."""
    data = {
        "input": command.input,
        "spec_path": command.source.spec_path,
        "spec": command.source.spec,
        "target": command.target,
        "environment": command.environment,
        "overrides": command.source.overrides,
        "session_id": command.session_id,
        "caller_metadata": command.metadata,
    }
    return {key: value for key, value in data.items() if value not in (None, {})}
