"""A cancel, the deadline and a person's answer come at the same moment: one of them wins."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import Platform
from kneo_grpc.domain.errors import KneoError, ResourceLocked, RunStateConflict
from kneo_grpc.domain.human import HumanTaskStatus
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.principal import ANONYMOUS
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.platform.runs import CreateRun
from kneo_grpc.platform.spec_sources import SpecSource
from tests.faults.trail import ended_trail
from tests.rebuilt.processes import answer, process
from tests.rebuilt.specs import Case

ROUNDS = 20
KINDS = ("graph", "concurrent")
TIMEOUT = timedelta(milliseconds=1500)
LANDING = timedelta(milliseconds=50)
"""The deadline's job counts from its commit."""


async def test_of_a_cancel_a_deadline_and_an_answer_one_wins(settings: Settings) -> None:
    ids: dict[str, RunId] = {}
    async with process(settings, {}, ids) as platform:
        texts = [f"t{number:04}" for number in range(ROUNDS)]
        runs = await asyncio.gather(*(paused(platform, text) for text in texts))
        over = max(run.deadline_at for run in runs if run.deadline_at is not None)
        await asyncio.sleep((over + LANDING - datetime.now(UTC)).total_seconds())
        dice = random.Random(7)
        together: list[Awaitable[Any]] = [platform.timers.run_once()]
        for run in runs:
            acts = [soon(dice, answer(platform, run))]
            acts += [soon(dice, platform.runs.cancel(ANONYMOUS, run.id))]
            dice.shuffle(acts)
            together += acts
        dice.shuffle(together)
        said = await asyncio.gather(*together, return_exceptions=True)
        for word in said:
            expected = (RunStateConflict, ResourceLocked)
            assert not isinstance(word, BaseException) or isinstance(word, expected), word
        ends = Counter([await check(platform, run) for run in runs])
    assert len(ends) > 1, f"always the same wins: {ends}"


async def paused(platform: Platform, text: str) -> Run:
    case = Case(KINDS[int(text[1:]) % 2], "function", "continue")
    command = CreateRun(input=text, source=SpecSource(spec=case.spec), timeout=TIMEOUT)
    run = (await platform.runs.create(ANONYMOUS, command)).run
    assert run.status is RunStatus.BLOCKED
    return run


async def soon(dice: random.Random, call: Awaitable[Any]) -> Any:
    """Await a call after a few turns of the loop."""
    for _ in range(dice.randrange(40)):
        await asyncio.sleep(0)
    return await call


async def check(platform: Platform, asked: Run) -> RunStatus:
    """Assert that a run has one end, and its task the one that goes with it."""
    run, checkpoints, _ = await ended_trail(platform.store, asked.id)
    task = await platform.store.load_human_task(asked.pending[0].continuation_id)
    assert task is not None
    # A run that was answered first may be ended before it has gone on to its end.
    decided = task.decision is not None
    assert task.status is (HumanTaskStatus.DECIDED if decided else HumanTaskStatus.CANCELLED)
    assert decided or run.status in (RunStatus.CANCELLED, RunStatus.TIMED_OUT)
    resumed = [item for item in checkpoints if item.type == "human_resume"]
    assert len(resumed) == decided
    assert not run.pending
    try:
        await answer(platform, asked)
    except KneoError as error:
        assert isinstance(error, RunStateConflict)
    else:
        raise AssertionError("an ended run took an answer")
    return run.status
