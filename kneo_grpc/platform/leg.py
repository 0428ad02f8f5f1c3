"""One leg: how it is set up, and what changes while it is driven."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.run import Run
from kneo_grpc.engine.state import State
from kneo_grpc.platform.changes import Key
from kneo_grpc.platform.decisions import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class LegSettings:
    """runs_max: legs at once in this process. retry_backoff: pause per attempt made so far; a run
    that has nothing to do for longer than retry_here goes back to the queue meanwhile.

    store_retry: pause before a commit is tried again while the database does not answer.
    """

    lease: Lease
    runs_max: int = 256
    retry_backoff: timedelta = timedelta(milliseconds=250)
    retry_here: timedelta = timedelta(seconds=5)
    store_retry: timedelta = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class HeartbeatReport:
    """held: runs whose lease was renewed; lost: runs whose leg was stopped because it was not."""

    held: int
    lost: int


Leg = asyncio.Task[Run | None]
"""Ends with the run as it was stored when the leg ended, or None when the lease was lost."""


class LegProgress:
    """What changes while a run is driven. until: when its lease ends, as far as this process knows;
    poked: somebody may have decided a task of the run.
    """

    task: Leg

    def __init__(
        self,
        run: Run,
        plan: Plan,
        state: State,
        key: Key | None,
        suspect: bool,
        until: float,
    ) -> None:
        self.until = until
        self.run = run
        self.plan = plan
        self.state = state
        self.key = key
        self.suspect = suspect
        self.data: Mapping[str, Any] | None = None
        self.poked = asyncio.Event()
        self.note_asks()

    def note_asks(self) -> None:
        """Find out whether a branch of the run waits for a person."""
        self.asks = "human" in [active.phase for active in self.state.active.values()]
