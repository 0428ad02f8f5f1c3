"""Processes of one service, one after the other, in this one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import Platform, build_platform, open_store
from kneo_grpc.domain.human import Decision, HumanDecision
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.principal import ANONYMOUS
from kneo_grpc.domain.run import Run
from tests.rebuilt import acts
from tests.rebuilt.cuts import Cut, CutStore


@asynccontextmanager
async def process(
    settings: Settings, cuts: Mapping[str, Cut], ids: dict[str, RunId]
) -> AsyncIterator[Platform]:
    """A process that dies at the end: it gives no lease back and writes nothing any more."""
    acts.PROCESS[0] += 1
    store = CutStore(open_store(settings), cuts, ids)
    platform = build_platform(settings, store=store, models=acts.NotedModels())
    await platform.start()
    try:
        yield platform
    finally:
        store.die()
        await platform.legs.drain(timedelta(seconds=0.05))
        await store.store.stop()


async def answer(platform: Platform, run: Run) -> Run:
    """Decide the first question in the order of the steps, so that it is always the same."""
    first = min(run.pending, key=lambda pending: pending.step_path)
    decision = HumanDecision(
        request_id=first.request.id,
        decision=Decision.EDITED,
        content=f"{run.input_text} {first.step_path}",
    )
    return (await platform.human_tasks.resume(ANONYMOUS, first.continuation_id, decision)).run
