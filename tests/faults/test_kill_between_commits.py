"""kill -9 at every point of a run: what was committed is there, whole, and nothing else is."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc

from kneo_grpc._gen.kneo.v1 import run_pb2
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.ports.store import PageRequest, RunFilter
from tests.contract.builders import summary
from tests.faults.record import check_record
from tests.faults.service_process import SPEC, STEPS, Calls, ServiceProcess, Site
from tests.service import create, data
from tests.waiting import until


@dataclass(frozen=True)
class Point:
    """Where a run stands when the process dies. gate: what holds it there; finished: steps whose
    result is stored; executed: steps whose code ran.
    """

    gate: str
    finished: int
    executed: int


POINTS = [
    Point("one", finished=0, executed=1),
    Point("two", finished=1, executed=2),
    Point("three", finished=2, executed=3),
    # The create is a run's first commit, each step's result one more.
    Point("before:2", finished=0, executed=1),
    Point("after:2", finished=1, executed=1),
    Point("before:4", finished=2, executed=3),
    Point("after:4", finished=3, executed=3),
]


async def test_a_killed_service_leaves_what_it_committed(site: Site) -> None:
    """One run at each point, one kill for all of them."""
    first = await site.start(hold_commits=True).ready()
    async with first.calls() as calls:
        creating = []
        for point in POINTS:
            site.close_gate(point.gate)
            call = calls.runs.CreateRun(create(f"to {point.gate}", spec=SPEC))
            creating.append(asyncio.ensure_future(call))
        run_ids = [(await site.ledger_line(reached=point.gate))["run"] for point in POINTS]
        before = [await read(calls, run_id) for run_id in run_ids]
        first.kill()
        answers = await asyncio.gather(*creating, return_exceptions=True)
        for point, answer in zip(POINTS, answers, strict=True):
            if point.gate == "after:4" and not isinstance(answer, BaseException):
                # The watch may have seen before the kill that the run has ended.
                assert answer.status == "completed"
            else:
                assert isinstance(answer, grpc.aio.AioRpcError)
    await site.sessions_ended()

    async with site.reader() as store:
        runs = [
            await check_record(store, run_id, point.finished)
            for run_id, point in zip(run_ids, POINTS, strict=True)
        ]
        listed = await store.list_runs(RunFilter(), PageRequest(sort_by="id"))
    assert sorted(listed.items, key=id_of) == [summary(run) for run in sorted(runs, key=id_of)]
    await check_jobs(site, {run.id for run in runs if run.status is RunStatus.RUNNING}, first)
    for table, count in {"plans": 1, "audit_events": len(runs), "human_tasks": 0}.items():
        assert len(await site.rows(table)) == count, table
    for run_id, point in zip(run_ids, POINTS, strict=True):
        assert [line for line in site.ledger() if line["run"] == run_id and "step" in line] == [
            {"run": run_id, "step": name, "key": f"{run_id}/{name}#1/0", "attempt": 1}
            for name in STEPS[: point.executed]
        ]

    second = await site.start("--no-worker").ready()
    async with second.calls() as calls:
        assert [await read(calls, run_id) for run_id in run_ids] == before


async def test_a_kill_among_many_runs_loses_no_answer_and_no_finished_step(site: Site) -> None:
    first = await site.start().ready()
    site.close_gate("two")
    async with first.calls() as calls:
        # One is under way for certain.
        texts = ["to two", *(f"run {number}" for number in range(99))]
        creating = [
            asyncio.ensure_future(calls.runs.CreateRun(create(text, spec=SPEC))) for text in texts
        ]
        await site.ledger_line(reached="two")
        await until(lambda: len(site.ledger()) >= 60)
        first.kill()
        answers = await asyncio.gather(*creating, return_exceptions=True)
    await site.sessions_ended()

    executed: dict[str, list[str]] = {}
    for line in site.ledger():
        if "step" in line:
            executed.setdefault(line["run"], []).append(line["step"])
    async with site.reader() as store:
        runs = (await store.list_runs(RunFilter(), PageRequest(limit=200, sort_by="id"))).items
        for run in runs:
            await check_record(store, run.id, len(run.visited_steps))
        for answer in answers:
            if isinstance(answer, BaseException):
                assert isinstance(answer, grpc.aio.AioRpcError)
                continue
            assert answer.status == "completed"
            stored = await store.load_run(RunId(answer.run_id))
            assert stored is not None
            assert stored.output_text == answer.output_text
    stored_steps = {run.id: run.visited_steps for run in runs}
    assert any(len(steps) < len(STEPS) for steps in stored_steps.values()), "killed too late"
    for run_id, steps in executed.items():
        assert steps == list(STEPS[: len(steps)]), "a step ran twice or out of order"
        # A step starts after the result of the one before was committed, and not earlier.
        assert len(steps) - 1 <= len(stored_steps[RunId(run_id)]) <= len(steps)
    assert len({run.input_text for run in runs}) == len(runs)


def id_of(run: Run) -> str:
    return run.id


async def check_jobs(site: Site, running: set[RunId], dead: ServiceProcess) -> None:
    """The runs under way still have their job, and the dead process is still its owner."""
    jobs = await site.rows("jobs")
    assert sorted((job["run_id"], job["kind"], job["subject"]) for job in jobs) == [
        (run_id, "run", "") for run_id in sorted(running)
    ]
    assert all(f"_{dead.process.pid}_" in job["lease_owner"] for job in jobs)


async def read(calls: Calls, run_id: str) -> list[dict[str, Any]]:
    """All that the service tells about a run."""
    answers = await asyncio.gather(
        calls.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id)),
        calls.runs.GetRunTrace(run_pb2.GetRunTraceRequest(run_id=run_id)),
        calls.runs.ListCheckpoints(run_pb2.ListCheckpointsRequest(run_id=run_id)),
        calls.runs.GetRunRecovery(run_pb2.GetRunRecoveryRequest(run_id=run_id)),
    )
    return [data(answer) for answer in answers]
