"""Commits on SQLite: one transaction a batch, one savepoint a Change."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kneo_grpc.domain.audit_chain import GENESIS
from kneo_grpc.domain.change import Act, AuditRecord, Change, Outcome, OutcomeKind
from kneo_grpc.stores import changes as encode
from kneo_grpc.stores.auditing import seal_rows
from kneo_grpc.stores.batching import BatchResult
from kneo_grpc.stores.codec import (
    dump_json,
    instant_from_micros,
    micros_from_duration,
    micros_from_instant,
)
from kneo_grpc.stores.sqlite import errors

T = TypeVar("T")


class _RefusedError(Exception):
    """Rolls a Change back; its caller gets the outcome."""

    def __init__(self, kind: OutcomeKind) -> None:
        super().__init__(kind.value)
        self.outcome = Outcome(kind=kind)


class Writer:
    """Writes batches on one connection, in the one thread that calls it."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, statements: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._path = path
        self._statements = statements

    def write(self, changes: Sequence[Change]) -> Sequence[BatchResult]:
        """Write a batch; see batching.WriteBatch. When it raises, none of it landed."""
        return self._transaction(lambda: [self._write_change(change) for change in changes])

    def work(self, names: Sequence[str], *arguments: Any) -> list[sqlite3.Row]:
        """Run statements in one transaction, each with the same arguments; return the rows of the
        last one.
        """
        return self._transaction(lambda: [self._run(name, *arguments) for name in names][-1])

    def act(self, act: Act) -> OutcomeKind:
        """Land what belongs to no run, in a transaction of its own."""

        def land() -> OutcomeKind:
            if act.idempotency is not None:
                values = encode.idempotency_values(act.idempotency, micros_from_instant)
                if not self._run("idempotency_insert", *values):
                    raise _RefusedError(OutcomeKind.EXISTS)
            if act.policy is not None:
                values = encode.policy_values(act.policy, micros_from_instant)
                if not self._run("policy_put", *values):
                    raise _RefusedError(OutcomeKind.FENCE_LOST)
            for record in act.audit:
                self._write_audit(record)
            return OutcomeKind.APPLIED

        try:
            return self._transaction(land)
        except _RefusedError as refused:
            return refused.outcome.kind

    def claim(
        self,
        owner: str,
        lease_for: int,
        limit: int,
        suspects_from: int,
        suspects: bool,
        without: str,
    ) -> list[dict[str, Any]]:
        """Lease jobs of runs and set the runs running; return each run's columns, `claims` and
        `since`, the longest waiting first.
        """

        def take() -> list[dict[str, Any]]:
            taken = []
            for ready in self._run("run_ready", limit, suspects_from, suspects, without):
                (lease,) = self._run("run_claim", owner, lease_for, ready["run_id"])
                (run,) = self._run("run_take", ready["run_id"])
                taken.append({**dict(run), "claims": lease["claims"], "since": ready["since"]})
            return sorted(taken, key=lambda run: run["since"])

        return self._transaction(take)

    def postpone(self, owner: str, run_id: str, delay: int) -> list[sqlite3.Row]:
        """Give a run back whose job the owner holds, due after a delay; return its row, if any."""

        def give() -> list[sqlite3.Row]:
            given = self._run("run_postpone", owner, run_id, delay)
            return self._run("run_requeue", run_id) if given else []

        return self._transaction(give)

    def append(self, records: Sequence[AuditRecord]) -> None:
        """Write audit records in one transaction."""

        def work() -> None:
            for record in records:
                self._write_audit(record)

        self._transaction(work)

    def seal(self, holder: str, lease_for: int, limit: int) -> int | None:
        """Seal a batch of audit records in one transaction; see ports.audit."""

        def work() -> int | None:
            self._run("sealer_make", GENESIS)
            taken = self._run("sealer_take", holder, lease_for)
            if not taken:
                return None
            found = self._run("seal_batch", limit)
            self._run("seal_taken", limit)
            seals = seal_rows(found, taken[0]["number"], taken[0]["digest"], instant_from_micros)
            for seal in seals:
                self._run("seal_write", *seal)
            if seals:
                self._run("seal_end", seals[-1][0], seals[-1][-1])
            return len(seals)

        return self._transaction(work)

    def _transaction(self, work: Callable[[], T]) -> T:
        """Do work in one transaction; when it raises, none of it landed."""
        connection = self._connection
        try:
            connection.execute("begin immediate")
            try:
                done = work()
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
        except (sqlite3.Error, OSError, *errors.UNFIT) as error:
            raise errors.translate(self._path, error) from error
        return done

    def _write_change(self, change: Change) -> BatchResult:
        """Write one Change under a savepoint. Raises when the file itself fails, so that the
        batch is rolled back.
        """
        connection = self._connection
        connection.execute("savepoint one_change")
        try:
            result: BatchResult = self._write_parts(change)
        except Exception as error:
            if errors.describe(self._path, error) is not None:
                raise
            result = _result_of(error, self._path)
            connection.execute("rollback to one_change")
        connection.execute("release one_change")
        return result

    def _write_parts(self, change: Change) -> Outcome:
        run_id = change.run_id
        outcome = self._write_run(change)
        # The key first: of two calls with one key, the second is a repeat, whatever it is about.
        if change.idempotency is not None:
            values = encode.idempotency_values(change.idempotency, micros_from_instant)
            if not self._run("idempotency_insert", *values):
                raise _RefusedError(OutcomeKind.EXISTS)
        if change.settle or change.restate or change.close_tasks is not None or change.drop_tasks:
            self._end_tasks(change)
        if change.complete is not None:
            *key, response = change.complete
            self._run("idempotency_complete", *key, dump_json(response))
        if outcome is None:
            new = encode.is_new(change)
            raise _RefusedError(OutcomeKind.EXISTS if new else OutcomeKind.FENCE_LOST)
        if change.plan is not None:
            self._run("plan_insert", change.plan.digest, change.plan.content)
        self._write_history(change, outcome)
        for task in change.open_tasks:
            self._run("task_insert", run_id, *encode.task_values(task, micros_from_instant))
        for kind in encode.cleared_kinds(change):
            self._run("jobs_clear", run_id, kind)
        for job in change.jobs:
            values = encode.job_values(job, micros_from_instant, micros_from_duration)
            self._run("job_put", run_id, *values)
        for record in change.audit:
            self._write_audit(record)
        return outcome

    def _write_audit(self, record: AuditRecord) -> None:
        values = encode.audit_values(record, micros_from_instant)
        self._run("audit_insert", *values)
        self._run("audit_unsealed_insert", values[-1], record.id)

    def _write_run(self, change: Change) -> Outcome | None:
        """Return the outcome if the fence holds, None if it is lost."""
        fresh = encode.is_new(change)
        values: tuple[Any, ...] = (
            change.run_id,
            *encode.run_values(change.run, micros_from_instant, fresh=fresh),
            len(change.events),
            len(change.checkpoints),
        )
        if fresh:
            found = self._run("run_insert", *values)
        else:
            found = self._run(
                "run_update", *values, *encode.fence_values(change), encode.base_sequence(change)
            )
        if not found:
            return None
        return Outcome(
            kind=OutcomeKind.APPLIED,
            event_sequence=found[0]["event_sequence"],
            checkpoint_sequence=found[0]["checkpoint_sequence"],
        )

    def _end_tasks(self, change: Change) -> None:
        for settlement in change.settle:
            values = encode.settlement_values(settlement, micros_from_instant)
            if not self._run("task_settle", change.run_id, *values):
                raise _RefusedError(OutcomeKind.TASK_SETTLED)
        for task in change.restate:
            values = encode.restated_values(task, micros_from_instant)
            if not self._run("task_restate", change.run_id, *values):
                raise _RefusedError(OutcomeKind.TASK_SETTLED)
        if change.close_tasks is not None:
            ended = micros_from_instant(change.run.updated_at)
            self._run("tasks_close", change.run_id, change.close_tasks.value, ended)
        for task_id in change.drop_tasks:
            ended = micros_from_instant(change.run.updated_at)
            self._run("task_drop", change.run_id, task_id, ended)

    def _write_history(self, change: Change, outcome: Outcome) -> None:
        run_id = change.run_id
        first = outcome.event_sequence - len(change.events) + 1
        for sequence, event in enumerate(change.events, start=first):
            values = encode.event_values(event, micros_from_instant)
            self._run("event_insert", run_id, sequence, *values)
        base = encode.base_sequence(change)
        values_of = encode.checkpoint_rows(change, micros_from_instant)
        for sequence, values in enumerate(values_of, start=base + 1):
            self._run("checkpoint_insert", run_id, sequence, *values)

    def _run(self, name: str, *arguments: Any) -> list[sqlite3.Row]:
        return self._connection.execute(self._statements[name], arguments).fetchall()


def _result_of(error: Exception, path: Path) -> BatchResult:
    if isinstance(error, _RefusedError):
        return error.outcome
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode in (
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    ):
        return Outcome(kind=OutcomeKind.EXISTS)
    return errors.translate(path, error)
