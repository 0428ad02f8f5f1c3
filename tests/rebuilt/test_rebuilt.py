"""The state of a run is dropped at each of its commits and rebuilt by another process: the run
ends as an undisturbed one does, and no step that completed is executed again.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import Platform
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.principal import ANONYMOUS
from kneo_grpc.domain.run import TERMINAL, Run, RunStatus
from kneo_grpc.platform.runs import CreateRun
from kneo_grpc.platform.spec_sources import SpecSource
from kneo_grpc.ports.store import PageRequest, RunFilter, Store
from tests.faults.trail import RESULTS, ended_trail
from tests.rebuilt import acts
from tests.rebuilt.cuts import Cut
from tests.rebuilt.processes import answer, process
from tests.rebuilt.specs import CASES, Case

AT_ONCE = 40
DEADLINE_SECONDS = 60
SPLIT = PageRequest(limit=1000, sort_by="sequence")


@dataclass(frozen=True)
class Result:
    """What of an ended run does not depend on when it ran."""

    status: RunStatus
    output: str | None
    error: tuple[str, str] | None
    visited: tuple[str, ...]


async def test_a_run_rebuilt_at_any_commit_ends_as_if_nothing_had_happened(
    settings: Settings,
) -> None:
    acts.LEDGER.clear()
    ids: dict[str, RunId] = {}
    numbers = itertools.count()
    plain = {f"t{next(numbers):04}": case for case in CASES}
    async with process(settings, {}, ids) as platform:
        await carry_all(platform, plain)
        counted = platform.store.commits
        wanted = {case: shown(await find(platform.store, run)) for run, case in plain.items()}
    assert len({result.status for result in wanted.values()}) == 2, "some fail and some complete"

    cut_runs: dict[str, Case] = {}
    cuts: dict[str, Cut] = {}
    for run, case in plain.items():
        for number in range(1, counted[run] + 1):
            # A create that does not land leaves nothing to go on with.
            landed = number < counted[run] and (number == 1 or (number + int(run[1:])) % 2 == 0)
            name = f"t{next(numbers):04}"
            cut_runs[name], cuts[name] = case, Cut(number, landed)
    async with process(settings, cuts, ids) as platform:
        reached = await carry_all(platform, cut_runs)
    assert reached >= 0.9 * len(cuts), "hardly any run was cut"

    async with process(settings, {}, ids) as platform:
        completed = {run: await completed_paths(platform.store, run) for run in cut_runs}
        await finish_all(platform)
        for run, case in cut_runs.items():
            await check(platform.store, run, wanted[case], f"{case} {cuts[run]}")
    again = [
        line
        for line in acts.LEDGER
        if line.process == acts.PROCESS[0] and line.path in completed[line.run]
    ]
    assert not again, "completed steps were executed again"
    calls = Counter((line.key, line.run, line.attempt) for line in acts.LEDGER)
    assert max(calls.values()) == 1, "executed twice at the same attempt"


async def carry_all(platform: Platform, runs: Mapping[str, Case]) -> int:
    """Create runs and answer their questions, until each has ended or was cut off; return how many
    were.
    """
    room = asyncio.Semaphore(AT_ONCE)
    reached = platform.store.reached

    async def one(run: str, case: Case) -> bool:
        async with room:
            going = asyncio.create_task(carry(platform, run, case))
            if run not in reached:
                await going
                return False
            cut = asyncio.create_task(reached[run].wait())
            await asyncio.wait({going, cut}, return_when=asyncio.FIRST_COMPLETED)
            for task in (going, cut):
                task.cancel()
            await asyncio.gather(going, cut, return_exceptions=True)
            if not going.cancelled():
                going.result()
            return going.cancelled()

    async with asyncio.timeout(DEADLINE_SECONDS):
        return sum(await asyncio.gather(*(one(run, case) for run, case in runs.items())))


async def carry(platform: Platform, text: str, case: Case) -> None:
    source = SpecSource(spec=case.spec)
    run = (await platform.runs.create(ANONYMOUS, CreateRun(input=text, source=source))).run
    while run.status is RunStatus.BLOCKED:
        run = await answer(platform, run)
    assert run.status in TERMINAL, f"{case}: {run.status}"


async def finish_all(platform: Platform) -> None:
    """Work as a worker and answer questions, until no run is left."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            await platform.worker.run_once()
            open_runs = [
                run
                for status in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.BLOCKED)
                for run in (await listed(platform.store, status))
            ]
            if not open_runs:
                return
            blocked = [run for run in open_runs if run.status is RunStatus.BLOCKED]
            await asyncio.gather(*(answer(platform, run) for run in blocked))
            await asyncio.sleep(0.02)


async def listed(store: Store, status: RunStatus) -> list[Run]:
    page = PageRequest(limit=200, sort_by="id")
    found = (await store.list_runs(RunFilter(status=status), page)).items
    runs = [await store.load_run(item.id) for item in found]
    return [run for run in runs if run is not None and run.status is status]


async def find(store: Any, text: str) -> Run:
    run = await store.load_run(store.ids[text])
    assert run is not None
    return run


def shown(run: Run) -> Result:
    error = run.error and (run.error.type, run.error.message)
    output = run.output_text and run.output_text.replace(run.input_text, "T")
    return Result(run.status, output, error, (*run.visited_steps, *run.visited_nodes))


async def completed_paths(store: Any, text: str) -> set[str]:
    """The steps of a run of which a result is stored."""
    found = await store.list_checkpoints(store.ids[text], None, SPLIT)
    return {item.metadata["step_path"] for item in found.items if item.type in RESULTS}


async def check(store: Any, text: str, wanted: Result, what: str) -> None:
    """Assert that a run ended as an undisturbed one, with a history without gaps."""
    run, _, _ = await ended_trail(store, store.ids[text])
    result = shown(run)
    if run.workflow_kind in ("graph", "concurrent"):
        # Side by side, who ends first is nobody's promise; nor who ends at all before one fails.
        cut_short = run.workflow_kind == "concurrent" and run.status is RunStatus.FAILED
        result, wanted = (
            replace(one, visited=() if cut_short else tuple(sorted(one.visited)))
            for one in (result, wanted)
        )
    assert result == wanted, what
    assert not run.pending
