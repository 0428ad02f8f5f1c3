"""What this process did to runs since it started, counted where it commits."""

from collections.abc import Sequence
from dataclasses import dataclass

from kneo_grpc.domain.change import Change, ExpectNew, JobKind, Outcome
from kneo_grpc.domain.run import RunStatus


@dataclass(slots=True)
class RunCounts:
    """Plain numbers that only grow. rejected: calls refused because the queue or the process is
    full.
    """

    started: int = 0
    completed: int = 0
    failed: int = 0
    dead_lettered: int = 0
    rejected: int = 0

    def note(self, changes: Sequence[Change], outcomes: Sequence[Outcome]) -> None:
        """Count Changes that landed. Called with every commit, so it looks at little."""
        for change, outcome in zip(changes, outcomes, strict=True):
            status = change.run.status
            if change.expect.__class__ is ExpectNew:
                if outcome.applied:
                    self.started += 1
            elif status is RunStatus.RUNNING:
                continue
            if status is RunStatus.COMPLETED:
                self.completed += outcome.applied
            elif status is RunStatus.FAILED and outcome.applied:
                self.failed += 1
                self.dead_lettered += any(job.kind is JobKind.DEAD for job in change.jobs)
