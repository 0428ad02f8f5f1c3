"""Jobs that fall due: the deadlines of runs and of human tasks."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from kneo_grpc.domain.change import TIMED, AuditRecord, ExpectStatus, JobKind, TaskSettlement
from kneo_grpc.domain.data import to_data
from kneo_grpc.domain.errors import (
    KneoError,
    NotFound,
    ResourceLocked,
    RunStateConflict,
    StoreUnavailable,
)
from kneo_grpc.domain.human import (
    Decision,
    HumanDecision,
    HumanTask,
    HumanTaskStatus,
    OnTimeout,
)
from kneo_grpc.domain.ids import AuditId, ContinuationId
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.platform.decisions import request_data
from kneo_grpc.platform.endings import Ending, Endings
from kneo_grpc.platform.human_tasks import HumanTasks
from kneo_grpc.platform.legs import Legs
from kneo_grpc.ports.audit import AuditFilter, AuditTrail
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.queue import DueJob, Queue
from kneo_grpc.ports.store import PageRequest, Store

logger = logging.getLogger("kneo_grpc.timers")

BATCH = 100


@dataclass(frozen=True, slots=True)
class TimerReport:
    """What one look did. claimed: jobs looked at, some of which had nothing left to do; runs timed
    out; human tasks expired, continued and escalated.
    """

    claimed: int = 0
    timed_out: int = 0
    expired: int = 0
    continued: int = 0
    escalated: int = 0


class Timers:
    """Performs due jobs. A job that cannot be performed now comes back when its lease is over."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        trail: AuditTrail,
        human_tasks: HumanTasks,
        endings: Endings,
        legs: Legs,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._store = store
        self._queue = queue
        self._trail = trail
        self._human_tasks = human_tasks
        self._endings = endings
        self._legs = legs
        self._clock = clock
        self._ids = ids

    async def run_once(self, kinds: Collection[JobKind] = TIMED) -> TimerReport:
        """Perform a batch of due jobs of these kinds."""
        lease = self._legs.lease
        jobs = await self._queue.claim_due(lease.owner, lease.lease_for, limit=BATCH, kinds=kinds)
        outcomes = await asyncio.gather(*(self._perform(job) for job in jobs))
        return TimerReport(
            claimed=len(jobs),
            timed_out=outcomes.count("timed_out"),
            expired=outcomes.count("expired"),
            continued=outcomes.count("continued"),
            escalated=outcomes.count("escalated"),
        )

    async def run_all(self, kinds: Collection[JobKind]) -> TimerReport:
        """Perform due jobs of these kinds until none is left."""
        total = TimerReport()
        while True:
            report = await self.run_once(kinds)
            if report.claimed == 0:
                return total
            total = TimerReport(
                claimed=total.claimed + report.claimed,
                timed_out=total.timed_out + report.timed_out,
                expired=total.expired + report.expired,
                continued=total.continued + report.continued,
                escalated=total.escalated + report.escalated,
            )

    async def _perform(self, job: DueJob) -> str:
        """Do what a job is for; a job without anything left to do is removed."""
        try:
            if job.kind is JobKind.DEADLINE:
                outcome = await self._time_out(job)
            elif job.kind is JobKind.ANSWER:
                task = await self._human_tasks.get(ContinuationId(job.subject))
                outcome = await self._human_tasks.hand_over(task)
            else:
                outcome = await self._expire(job)
        except NotFound:
            outcome = "gone"
        except (KneoError, ValueError) as error:
            if isinstance(error, StoreUnavailable):
                logger.warning("a due job waits for the store", extra={"run_id": job.run_id})
            else:
                logger.exception("a due job failed", extra={"run_id": job.run_id})
            return "failed"
        if outcome != "busy":
            await self._queue.drop_job(job)
        return outcome

    async def _time_out(self, job: DueJob) -> str:
        run = await self._store.load_run(job.run_id)
        if run is None:
            return "gone"
        deadline = run.deadline_at.timestamp() if run.deadline_at else None
        ending = Ending(
            status=RunStatus.TIMED_OUT,
            error_type="run_timed_out",
            message="The run did not end before its deadline.",
            event_type="run.timed_out",
            facts={
                "timeout_seconds": run.source.get("timeout_seconds"),
                "deadline_at": deadline,
                "timed_out_at": self._clock.now().timestamp(),
            },
            status_fact="status_at_timeout",
        )
        _, ended = await self._endings.end(job.run_id, ending)
        return "timed_out" if ended else "gone"

    async def _expire(self, job: DueJob) -> str:
        task = await self._store.load_human_task(ContinuationId(job.subject))
        run = await self._store.load_run(job.run_id)
        if task is None or run is None or task.status is not HumanTaskStatus.PENDING:
            return "gone"
        if task.request.on_timeout is OnTimeout.FAIL:
            return await self._fail(task)
        if task.request.on_timeout is OnTimeout.CONTINUE:
            return await self._continue(task)
        return await self._escalate(run, task)

    async def _fail(self, task: HumanTask) -> str:
        ending = Ending(
            status=RunStatus.EXPIRED,
            error_type="human_task_expired",
            message=f"Nobody decided within {task.request.timeout_seconds} seconds.",
            event_type="human.expired",
            continuation_id=task.id,
            facts=self._facts(task),
            tasks=HumanTaskStatus.EXPIRED,
            settle=TaskSettlement(
                continuation_id=task.id, status=HumanTaskStatus.EXPIRED, at=self._clock.now()
            ),
        )
        _, ended = await self._endings.end(task.run_id, ending)
        return "expired" if ended else "gone"

    async def _continue(self, task: HumanTask) -> str:
        """Let the run go on as if it had been approved, or selected as the spec says."""
        option = task.request.default_option if task.request.default_on_timeout else None
        answer = HumanDecision(
            request_id=task.request.id,
            decision=Decision.APPROVED if option is None else Decision.SELECTED,
            selected_option=option,
            metadata={
                "auto_continued": True,
                "reason": "timeout",
                "original_assignee": task.request.assignee,
            },
        )
        try:
            settled = await self._human_tasks.decide_for(
                task, answer, event_type="human.continued", facts=self._facts(task)
            )
        except (StoreUnavailable, NotFound, ResourceLocked, RunStateConflict):
            raise
        except Exception as error:
            await self._note_failure(task, error)
            raise
        return "continued" if settled else await self._left_over(task)

    async def _note_failure(self, task: HumanTask, error: Exception) -> None:
        """Write once for a task that its run could not go on; the job is tried again."""
        event_type = "human.continue_failed"
        where = AuditFilter(event_type=event_type, continuation_id=task.id)
        page = PageRequest(limit=1, sort_by="created_at")
        if (await self._trail.list_audit(where, page)).items:
            return
        record = AuditRecord(
            id=AuditId(self._ids.new("audit")),
            event_type=event_type,
            run_id=task.run_id,
            continuation_id=task.id,
            metadata={
                **self._facts(task),
                "error_type": type(error).__name__,
                "error_message": str(error),
            },
            created_at=self._clock.now(),
        )
        await self._trail.append_audit((record,))

    async def _escalate(self, run: Run, task: HumanTask) -> str:
        """Mark the task; it goes on waiting, and no deadline comes again."""
        if task.escalated_at is not None:
            return "gone"
        now = self._clock.now()
        assert task.expires_at is not None
        stamps = {
            "escalated_at": now.timestamp(),
            "original_expires_at": task.expires_at.timestamp(),
        }
        request = replace(task.request, metadata={**task.request.metadata, **stamps})
        pending = tuple(
            replace(item, request=request) if item.continuation_id == task.id else item
            for item in run.pending
        )
        told = request_data(request)
        result = dict(run.result)
        if result.get("continuation_id") == task.id:
            result |= {"pending_human_request": told, "request": told}
        record = AuditRecord(
            id=AuditId(self._ids.new("audit")),
            event_type="human.escalated",
            run_id=task.run_id,
            continuation_id=task.id,
            metadata={**self._facts(task), "assignee": task.request.assignee},
            created_at=now,
        )
        landed = await self._human_tasks.restate(
            run=replace(run, pending=pending, result=result, updated_at=now),
            task=replace(task, request=request, escalated_at=now),
            expect=ExpectStatus(frozenset({run.status}), attempt=run.attempt),
            audit=record,
        )
        return "escalated" if landed else await self._left_over(task)

    async def _left_over(self, task: HumanTask) -> str:
        """Tell whether a task still waits for what could not be done now."""
        now = await self._store.load_human_task(task.id)
        return "gone" if now is None or now.status is not HumanTaskStatus.PENDING else "busy"

    def _facts(self, task: HumanTask) -> dict[str, object]:
        return {
            "timeout_seconds": task.request.timeout_seconds,
            "expires_at": task.expires_at.timestamp() if task.expires_at else None,
            "expired_at": self._clock.now().timestamp(),
            "on_timeout": to_data(task.request.on_timeout),
        }
