"""What tells whether a commit without a reply landed."""

from dataclasses import replace

from kneo_grpc.domain.change import OutcomeKind
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.platform.changes import find_landed
from tests.contract.builders import act, checkpoint, create


async def test_a_commit_that_landed_is_found(store) -> None:
    run = await create(store, status=RunStatus.BLOCKED)
    going = replace(run, status=RunStatus.RUNNING, attempt=2)
    ours = act(going, RunStatus.BLOCKED, checkpoints=(checkpoint({"n": 1}),))
    assert await find_landed(store, ours) is None
    (outcome,) = await store.commit([ours])
    assert await find_landed(store, ours) == outcome


async def test_another_process_s_commit_with_the_same_numbers_is_not_ours(store) -> None:
    """Two processes decide one human task; the commit of one is lost, that of the other lands."""
    run = await create(store, status=RunStatus.BLOCKED)
    going = replace(run, status=RunStatus.RUNNING, attempt=2)
    ours, others = (
        act(going, RunStatus.BLOCKED, checkpoints=(checkpoint({"n": 1}),)) for _ in range(2)
    )
    (outcome,) = await store.commit([others])
    assert outcome.kind is OutcomeKind.APPLIED
    assert await find_landed(store, ours) is None
