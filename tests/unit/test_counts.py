from dataclasses import replace

import pytest

from kneo_grpc.domain.change import (
    Change,
    ExpectAttempt,
    ExpectNew,
    Job,
    JobKind,
    Outcome,
    OutcomeKind,
)
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.ports.counts import RunCounts
from tests.contract.builders import make_run

DEAD = (Job(kind=JobKind.DEAD),)


@pytest.mark.parametrize(
    ("status", "new", "dead", "counted"),
    [
        (RunStatus.RUNNING, True, False, {"started": 1}),
        (RunStatus.QUEUED, True, False, {"started": 1}),
        # A run may end with the Change that begins it.
        (RunStatus.COMPLETED, True, False, {"started": 1, "completed": 1}),
        (RunStatus.RUNNING, False, False, {}),
        (RunStatus.BLOCKED, False, False, {}),
        (RunStatus.COMPLETED, False, False, {"completed": 1}),
        (RunStatus.FAILED, False, False, {"failed": 1}),
        (RunStatus.FAILED, False, True, {"failed": 1, "dead_lettered": 1}),
        (RunStatus.CANCELLED, False, False, {}),
    ],
)
@pytest.mark.parametrize("kind", [OutcomeKind.APPLIED, OutcomeKind.FENCE_LOST])
def test_only_what_landed_is_counted(
    status: RunStatus, new: bool, dead: bool, counted: dict[str, int], kind: OutcomeKind
) -> None:
    expect = ExpectNew() if new else ExpectAttempt(1)
    change = Change(run=make_run(status=status), expect=expect, jobs=DEAD if dead else ())
    counts, none = RunCounts(), RunCounts()
    counts.note([change], [Outcome(kind=kind)])
    landed = kind is OutcomeKind.APPLIED
    assert counts == (replace(none, **counted) if landed else none)
