"""What wakes a waiting worker early. A hint may be lost: whoever waits looks again after a time."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from kneo_grpc.domain.change import Change, JobKind, Outcome


class Hints:
    """The hints of one process."""

    def __init__(self) -> None:
        self._given = asyncio.Event()
        self._waiting = 0

    def give(self) -> bool:
        """Wake those who wait; tell whether there were any."""
        self._given.set()
        return self._waiting > 0

    async def wait(self, at_most: timedelta) -> bool:
        """Wait for a hint, one that came since the last wait included; False when none came."""
        self._waiting += 1
        try:
            async with asyncio.timeout(at_most.total_seconds()):
                await self._given.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
            self._given.clear()
        return True


def leave_work(changes: Iterable[Change], outcomes: Iterable[Outcome]) -> bool:
    """Tell whether a run waits for a worker since these Changes landed."""
    for change, outcome in zip(changes, outcomes, strict=True):
        # Most Changes have no job, and each of a run's comes here.
        for job in change.jobs:
            if outcome.applied and job.kind is JobKind.RUN and job.lease_owner is None:
                return True
    return False
