"""Commits on PostgreSQL: a batch is one statement; what that refuses or cannot say goes alone."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import asyncpg

from kneo_grpc.domain.change import Change, Outcome, OutcomeKind
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.domain.ids import PlanDigest, RunId
from kneo_grpc.stores import changes as encode
from kneo_grpc.stores.batching import BatchResult
from kneo_grpc.stores.codec import dump_json, same_instant
from kneo_grpc.stores.postgres import errors
from kneo_grpc.stores.postgres.batch import Batches
from kneo_grpc.stores.postgres.connect import Connection, Connector

_TRIES = 4
_PLANS_MAX = 4096
"""Plans remembered per connection; then it begins anew."""


@dataclass(slots=True)
class _Lane:
    """A committing connection. plans: those that it has stored; another connection may lead to a
    database that has lost them.
    """

    connection: Connection | None = None
    plans: set[PlanDigest] = field(default_factory=set)


class _RefusedError(Exception):
    """Rolls a Change back; its caller gets the outcome."""

    def __init__(self, kind: OutcomeKind) -> None:
        super().__init__(kind.value)
        self.outcome = Outcome(kind=kind)


class Writer:
    """Writes batches on a fixed number of connections, which it opens again when they are lost."""

    def __init__(self, connector: Connector, statements: Mapping[str, str], *, lanes: int) -> None:
        self._connector = connector
        self._statements = statements
        self._batches = Batches(statements)
        self._lanes = [_Lane() for _ in range(lanes)]

    async def start(self) -> None:
        """Open all connections. Raises what the driver raises."""
        for lane in self._lanes:
            lane.connection = await self._connector.open_committer()
            lane.plans.clear()

    async def stop(self) -> None:
        """Close all connections."""
        for lane in self._lanes:
            connection, lane.connection = lane.connection, None
            if connection is not None and not connection.is_closed():
                try:
                    await connection.close(timeout=1)
                except errors.DRIVER_ERRORS:
                    connection.terminate()

    async def write(self, lane: int, changes: Sequence[Change]) -> Sequence[BatchResult]:
        """Write a batch; see batching.WriteBatch."""
        results: dict[RunId, BatchResult] = {}
        for tries in range(1, _TRIES + 1):
            connection = await self._connection(self._lanes[lane])
            try:
                await self._write_all(self._lanes[lane], connection, changes, results)
                break
            except errors.DRIVER_ERRORS as error:
                connection.terminate()
                # What was sent may have landed, so only what was not is tried again.
                if errors.never_sent(error) and tries < _TRIES:
                    continue
                for change in changes:
                    results.setdefault(change.run_id, errors.translate(error))
                break
        return [results[change.run_id] for change in changes]

    async def _connection(self, lane: _Lane) -> Connection:
        connection = lane.connection
        if connection is None or connection.is_closed():
            try:
                connection = await self._connector.open_committer()
            except errors.DRIVER_ERRORS as error:
                raise StoreUnavailable("PostgreSQL does not answer.") from error
            lane.connection = connection
            lane.plans.clear()
        return connection

    async def _write_all(
        self,
        lane: _Lane,
        connection: Connection,
        changes: Sequence[Change],
        results: dict[RunId, BatchResult],
    ) -> None:
        """Write those that have no result yet. Raises when the connection is lost."""
        waiting = [change for change in changes if change.run_id not in results]
        alone = [change for change in waiting if encode.is_rare(change)]
        together = [change for change in waiting if not encode.is_rare(change)]
        alone += await self._write_together(lane, connection, together, results)
        for change in alone:
            results[change.run_id] = await self._write_alone(connection, change)

    async def _write_together(
        self,
        lane: _Lane,
        connection: Connection,
        changes: list[Change],
        results: dict[RunId, BatchResult],
    ) -> list[Change]:
        """Fill in the results; return those that must be tried alone."""
        if not changes:
            return []
        try:
            landed = await self._run_batch(connection, changes, lane.plans)
        except Exception as error:
            # Whatever it is, one of them has it: alone, it harms no other.
            if errors.connection_lost(error):
                raise
            return changes
        if len(lane.plans) > _PLANS_MAX:
            lane.plans.clear()
        for change in changes:
            outcome = landed.get(change.run_id)
            results[change.run_id] = outcome or _refusal(change)
            if outcome is not None and change.plan is not None:
                lane.plans.add(change.plan.digest)
        return []

    async def _write_alone(self, connection: Connection, change: Change) -> BatchResult:
        """Write one Change in a transaction of its own. Raises when the connection is lost."""
        tries = 0
        while True:
            tries += 1
            try:
                async with connection.transaction():
                    return await self._write_parts(connection, change)
            except _RefusedError as refused:
                return refused.outcome
            except asyncpg.UniqueViolationError:
                return Outcome(kind=OutcomeKind.EXISTS)
            except Exception as error:
                if errors.connection_lost(error):
                    raise
                if not errors.may_retry(error) or tries == _TRIES:
                    return errors.translate(error)

    async def _write_parts(self, connection: Connection, change: Change) -> Outcome:
        run_id, statements = change.run_id, self._statements
        if not encode.is_new(change) and not await connection.fetch(statements["run_lock"], run_id):
            raise _RefusedError(OutcomeKind.FENCE_LOST)
        # The key first: of two calls with one key, the second is a repeat, whatever it is about.
        if change.idempotency is not None:
            values = encode.idempotency_values(change.idempotency, same_instant)
            if not await connection.fetch(statements["idempotency_insert"], *values):
                raise _RefusedError(OutcomeKind.EXISTS)
        for settlement in change.settle:
            values = encode.settlement_values(settlement, same_instant)
            if not await connection.fetch(statements["task_settle"], run_id, *values):
                raise _RefusedError(OutcomeKind.TASK_SETTLED)
        for task in change.restate:
            values = encode.restated_values(task, same_instant)
            if not await connection.fetch(statements["task_restate"], run_id, *values):
                raise _RefusedError(OutcomeKind.TASK_SETTLED)
        if change.close_tasks is not None:
            ended = change.run.updated_at
            await connection.execute(
                statements["tasks_close"], run_id, change.close_tasks.value, ended
            )
        for task_id in change.drop_tasks:
            await connection.execute(
                statements["task_drop"], run_id, task_id, change.run.updated_at
            )
        if change.complete is not None:
            *key, response = change.complete
            await connection.execute(statements["idempotency_complete"], *key, dump_json(response))
        landed = await self._run_batch(connection, [change])
        if run_id not in landed:
            raise _RefusedError(_refusal(change).kind)
        return landed[run_id]

    async def _run_batch(
        self,
        connection: Connection,
        changes: Sequence[Change],
        stored: Set[PlanDigest] = frozenset(),
    ) -> dict[RunId, Outcome]:
        text, arguments = self._batches.statement(changes, stored)
        landed = await connection.fetch(text, *arguments)
        return {
            row["id"]: Outcome(
                kind=OutcomeKind.APPLIED,
                event_sequence=row["event_sequence"],
                checkpoint_sequence=row["checkpoint_sequence"],
            )
            for row in landed
        }


def _refusal(change: Change) -> Outcome:
    """Return what it means that the statement passed a Change over."""
    kind = OutcomeKind.EXISTS if encode.is_new(change) else OutcomeKind.FENCE_LOST
    return Outcome(kind=kind)
