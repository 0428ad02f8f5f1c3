"""Ends runs from outside: a cancellation, a deadline, an expired question, too many lost
workers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kneo_grpc.domain.change import (
    AuditRecord,
    ExpectStatus,
    IdempotencyRecord,
    Job,
    JobKind,
    OutcomeKind,
    TaskSettlement,
)
from kneo_grpc.domain.errors import NotFound, ResourceLocked
from kneo_grpc.domain.human import HumanTaskStatus
from kneo_grpc.domain.ids import AuditId, ContinuationId, RunId
from kneo_grpc.domain.run import TERMINAL, Run, RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import Ended
from kneo_grpc.platform.changes import numbered, with_key
from kneo_grpc.platform.decisions import ChangeWriter, state_after
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.specs import Specs
from kneo_grpc.ports.store import Store

TRIES = 16
"""How often an ending starts over when a step's commit comes between; each try is a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ends. event_type: of the audit record; actor: None for the service itself;
    status_fact: under which name the record tells what the run was before.

    dead: keep the run among the dead letters, for a person to put back.
    tasks: what becomes of its waiting human tasks. settle: the task because of which it ends; where
    that is settled otherwise meanwhile the run is left alone. attempt: of the run as it shall be
    ended; one that has moved on is left alone.
    key: of the call, whose answer is stored with the ending.
    """

    status: RunStatus
    error_type: str
    message: str
    event_type: str
    actor: str | None = None
    continuation_id: ContinuationId | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    status_fact: str = "status_before"
    tasks: HumanTaskStatus = HumanTaskStatus.CANCELLED
    settle: TaskSettlement | None = None
    attempt: int | None = None
    dead: bool = False
    key: IdempotencyRecord | None = None


class Endings:
    """Writes endings, fenced on what the run is when they are decided."""

    def __init__(self, *, store: Store, specs: Specs, legs: Legs, writer: ChangeWriter) -> None:
        self._store = store
        self._specs = specs
        self._legs = legs
        self._writer = writer

    async def end(self, run_id: RunId, ending: Ending) -> tuple[Run, bool]:
        """End a run; return it and whether it was this call that ended it: another may have ended
        it, have used the key, have settled the task or taken the run over. Raises NotFound.
        """
        for _ in range(TRIES):
            run = await self._store.load_run(run_id)
            if run is None:
                raise NotFound(f"there is no run {run_id[:80]}")
            if run.status in TERMINAL or ending.attempt not in (None, run.attempt):
                return run, False
            ended, kind = await self._try(run, ending)
            if kind in (OutcomeKind.EXISTS, OutcomeKind.TASK_SETTLED):
                return run, False
            if kind is OutcomeKind.APPLIED:
                self._legs.interrupt(run_id)
                return ended, True
        raise ResourceLocked("the run changes too fast to be ended now", resource=run_id)

    async def _try(self, run: Run, ending: Ending) -> tuple[Run, OutcomeKind]:
        """Commit the ending on the run as it was loaded; it lands unless that changed meanwhile."""
        plan = await self._specs.plan(run.plan_digest)
        loaded = await self._store.load_state(run.id)
        if loaded.checkpoint_sequence != run.checkpoint_sequence:
            return run, OutcomeKind.FENCE_LOST  # a step was committed between the two reads
        state = state_after(run, loaded)
        event = Ended(status=ending.status, error_type=ending.error_type, message=ending.message)
        change = self._writer.write(
            run=replace(run, attempt=run.attempt + 1),
            plan=plan,
            before=state if loaded.checkpoint_sequence else None,
            decision=decide(plan, state, event),
            expect=ExpectStatus(frozenset({run.status}), attempt=run.attempt),
        )
        record = AuditRecord(
            id=AuditId(self._writer.ids.new("audit")),
            event_type=ending.event_type,
            run_id=run.id,
            continuation_id=ending.continuation_id,
            actor=ending.actor,
            metadata={**ending.facts, ending.status_fact: run.status.value},
            created_at=self._writer.clock.now(),
        )
        dead = (Job(kind=JobKind.DEAD),) if ending.dead else ()
        settle = () if ending.settle is None else (ending.settle,)
        change, _ = with_key(change, ending.key)
        change = replace(
            change,
            settle=settle,
            close_tasks=ending.tasks,
            drop_tasks=(),
            jobs=dead,
            audit=(record,),
        )
        (outcome,) = await self._store.commit([change])
        return numbered(change, outcome) if outcome.applied else run, outcome.kind
