"""Runs the service with a store whose commits can be held up, for tests that kill it just there.

Use: python blocked_commits.py service serve …
The run of the input "to after:2" waits after its second commit while the gate of that name is
closed; so with every number, and `before`. Other runs pass.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import kneo_fault_code

from kneo_grpc.cli import main
from kneo_grpc.domain.change import Change, Outcome
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.sqlite import SqliteStore


def hold_commits(store: type[Any]) -> None:
    commit = store.commit
    numbers: Counter[str] = Counter()

    async def held_commit(self: Any, changes: Sequence[Change]) -> tuple[Outcome, ...]:
        (change,) = changes
        numbers[change.run_id] += 1
        number = numbers[change.run_id]
        await reach(f"before:{number}", change)
        outcomes: tuple[Outcome, ...] = await commit(self, changes)
        await reach(f"after:{number}", change)
        return outcomes

    store.commit = held_commit


async def reach(point: str, change: Change) -> None:
    run = change.run
    await asyncio.to_thread(kneo_fault_code.pass_gate, point, run.id, run.input_text)


if __name__ == "__main__":
    hold_commits(SqliteStore)
    hold_commits(PostgresStore)
    main()
