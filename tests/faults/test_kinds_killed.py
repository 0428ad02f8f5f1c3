"""kill -9 in the middle of a run of each kind: another worker ends it, and repeats no result."""

import asyncio
from collections import Counter
from typing import Any

from kneo_grpc._gen.kneo.v1 import human_task_pb2, run_pb2
from tests.faults.service_process import DEADLINE_SECONDS, Calls, Site
from tests.faults.trail import begun, ended_trail
from tests.service import create

LEASE = 2
TEXT = "to two"
"""What holds every run in its step two."""


def part(name: str, kind: str = "function", **fields: Any) -> dict[str, Any]:
    return {"id": name, "kind": kind, "ref": fields.pop("ref", name), **fields}


ASK = part("ask", "human", ref="boss")
FORK = {
    "type": "graph",
    "start": "one",
    "nodes": {
        "one": part("one", fan_out=True),
        "two": part("two"),
        "ask": ASK,
        "three": part("three", join="all"),
    },
    "edges": [
        {"from": source, "to": target}
        for source, target in (("one", "two"), ("one", "ask"), ("two", "three"), ("ask", "three"))
    ],
}
FLOWS: dict[str, dict[str, Any]] = {
    "graph": FORK,
    "concurrent": {"type": "concurrent", "participants": [part("one"), part("two"), ASK]},
    "handoff": {"type": "handoff", "participants": [part("one"), part("two"), ASK]},
    "group-chat": {"type": "group-chat", "participants": [part("one"), part("two")], "rounds": 2},
    "nested": {
        "type": "sequential",
        "steps": [part("first", ref="one"), part("inner", "workflow"), part("last", ref="three")],
    },
}
OUTPUTS = {
    "graph": "to two one two\n\nyes three",
    "concurrent": "to two one\n\nto two two\n\nyes",
    "handoff": "yes",
    "group-chat": "to two one two one two",
    "nested": "to two one one two\n\nyes three three",
}
PATHS = {
    "graph": ["one#1", "two#1", "three#1"],
    "concurrent": ["one#1", "two#1"],
    "handoff": ["one#1", "two#1"],
    "group-chat": ["one#1", "two#1", "one#2", "two#2"],
    "nested": ["first#1", "inner#1/one#1", "inner#1/two#1", "inner#1/three#1", "last#1"],
}
HELD = {kind: "inner#1/two#1" if kind == "nested" else "two#1" for kind in FLOWS}
ASKED_BEFORE = ("graph", "concurrent", "nested")
"""Kinds of which a branch waits for a person when the process dies."""


def spec_of(flow: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {"name": "flow", **flow},
        "components": {
            "functions": {
                name: {"implementation": f"tests.faults.acts.{name}"}
                for name in ("one", "two", "three")
            },
            "humans": {"boss": {"request_type": "review"}},
            "workflows": {"inner": {"name": "inner", **FORK}},
        },
    }


async def test_a_run_of_each_kind_outlives_its_process(postgres_site: Site) -> None:
    """One run of each kind, one kill for all of them. Of two that have a branch which waits for a
    person the answer comes while nobody executes them.
    """
    site = postgres_site
    gate = site.close_gate("two")
    lease = {"WORKER_LEASE_SECONDS": str(LEASE)}
    api, (killed,) = await site.crew(1, **lease)
    async with api.calls() as calls:
        runs = {}
        for kind, flow in FLOWS.items():
            request = create(TEXT, spec=spec_of(flow), async_mode=True)
            runs[kind] = (await calls.runs.CreateRun(request)).run_id
        for kind, run_id in runs.items():
            await site.ledger_line(run=run_id, step="two")
            if kind in ASKED_BEFORE:
                await question(calls, run_id)
        await stored(calls, runs["concurrent"], "one")
        killed.kill()
        for kind in ("graph", "nested"):
            answer = await decide(calls, runs[kind])
            assert answer.status == "running"
        gate.open()
        other = await site.start_worker(**lease).ready()
        for kind in ("concurrent", "handoff"):
            await decide(calls, runs[kind])
        for run_id in runs.values():
            await calls.completed(run_id)
        listed = await calls.tasks.ListHumanTasks(human_task_pb2.ListHumanTasksRequest())
        assert not listed.tasks
    assert await site.rows("jobs") == []
    async with site.reader() as store:
        for kind, run_id in runs.items():
            lines = begun(site, run=run_id)
            executed = Counter(path_of(line) for line in lines)
            assert executed == {path: 1 + (path == HELD[kind]) for path in PATHS[kind]}, kind
            calls_made = Counter((line["key"], line["attempt"]) for line in lines)
            assert max(calls_made.values()) == 1, kind
            assert {line["pid"] for line in lines} == {killed.process.pid, other.process.pid}
            run, _, _ = await ended_trail(store, run_id)
            assert run.output_text == OUTPUTS[kind], kind


def path_of(line: dict[str, Any]) -> str:
    """The step's path; a key is run/path/number."""
    return str(line["key"].partition("/")[2].rpartition("/")[0])


async def stored(calls: Calls, run_id: str, step: str) -> None:
    """Wait until a step's result is stored."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            run = await calls.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id))
            if step in run.visited_steps:
                return
            await asyncio.sleep(0.02)


async def question(calls: Calls, run_id: str) -> Any:
    """Wait until a run asks somebody; return the task."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            request = human_task_pb2.ListHumanTasksRequest(run_id=run_id)
            tasks = (await calls.tasks.ListHumanTasks(request)).tasks
            if tasks:
                return tasks[0]
            await asyncio.sleep(0.02)


async def decide(calls: Calls, run_id: str) -> Any:
    task = await question(calls, run_id)
    return await calls.tasks.ResumeHumanTask(
        human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=task.id,
            request_id=task.pending_human_request_id,
            decision="edited",
            content="yes",
        )
    )
