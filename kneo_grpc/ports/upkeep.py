"""What keeps a database small and safe."""

import enum
from collections.abc import Set
from datetime import datetime
from pathlib import Path
from typing import Protocol

from kneo_grpc.domain.run import RunStatus


class Kept(enum.StrEnum):
    """What ages.

    runs: ended runs with everything that belongs to them, audit records included; by updated_at.
    checkpoints: of ended runs; by created_at. continuations: human tasks that were settled; by
    settled_at. audit: by created_at. idempotency: completed records; by created_at.
    """

    RUNS = "runs"
    CHECKPOINTS = "checkpoints"
    CONTINUATIONS = "continuations"
    AUDIT = "audit"
    IDEMPOTENCY = "idempotency"


class Upkeep(Protocol):
    """The store's face for retention and backup. Methods raise StoreUnavailable."""

    async def prune(
        self, what: Kept, before: datetime, *, statuses: Set[RunStatus], limit: int
    ) -> int:
        """Remove things of a kind from before an instant, at most `limit` of them (runs count as
        one each), in one short transaction; return how many. Which of them go first is the
        database's choice. statuses: of the runs concerned, all of them terminal. A caller repeats
        it until it returns less than limit.
        """

    async def backup(self, destination: Path) -> int:
        """Write a consistent copy of the database while it is in use; return its bytes. Raises
        InvalidInput where the database has tools of its own for it.
        """
