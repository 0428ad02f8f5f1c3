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
from kneo_grpc.domain.principal import ANONYMOUS
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.platform.runs import CreateRun
from kneo_grpc.platform.spec_sources import SpecSource
from tests.faults.trail import ended_trail
from tests.rebuilt.processes import answer, process
from tests.rebuilt.specs import Case

ROUNDS = 10
RUNS = 20
KINDS = ("graph", "concurrent")
TIMEOUT = timedelta(milliseconds=1500)
LANDING = timedelta(milliseconds=50)
"""The deadline's job counts from its commit."""

MOMENT = timedelta(milliseconds=30)
"""What an answer takes on a slow machine; of a faster one the acts come further apart."""


async def test_of_a_cancel_a_deadline_and_an_answer_one_wins(settings: Settings) -> None:
    dice = random.Random(7)
    wins: Counter[str] = Counter()
    async with process(settings, {}, {}) as platform:
        for _ in range(ROUNDS):
            wins += await race(platform, dice)
            if len(wins) > 1:
                break
    assert len(wins) > 1, f"always the same wins: {wins}"


async def race(platform: Platform, dice: random.Random) -> Counter[str]:
    """Let all three come to some runs within a moment; return how often each has won."""
    runs = await asyncio.gather(*(paused(platform, number) for number in range(RUNS)))
    over = max(run.deadline_at for run in runs if run.deadline_at is not None)
    await asyncio.sleep((over + LANDING - datetime.now(UTC)).total_seconds())
    together: list[Awaitable[Any]] = [platform.timers.run_once()]
    for run in runs:
        together += [soon(dice, answer(platform, run))]
        together += [soon(dice, platform.runs.cancel(ANONYMOUS, run.id))]
    for word in await asyncio.gather(*together, return_exceptions=True):
        expected = (RunStateConflict, ResourceLocked)
        assert not isinstance(word, BaseException) or isinstance(word, expected), word
    return Counter([await check(platform, run) for run in runs])


async def paused(platform: Platform, number: int) -> Run:
    case = Case(KINDS[number % 2], "function", "continue")
    command = CreateRun(input=f"t{number:04}", source=SpecSource(spec=case.spec), timeout=TIMEOUT)
    run = (await platform.runs.create(ANONYMOUS, command)).run
    assert run.status is RunStatus.BLOCKED
    return run


async def soon(dice: random.Random, call: Awaitable[Any]) -> Any:
    await asyncio.sleep(dice.uniform(0, MOMENT.total_seconds()))
    return await call


async def check(platform: Platform, asked: Run) -> str:
    """Assert that a run has one end, and its task the one that goes with it; return what won."""
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
    return "answer" if decided else run.status
