"""Runs of each kind as `kneo runs show` draws them, compared with files: `pytest --rewrite-golden`
writes them anew.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kneo_grpc._gen.kneo.v1 import run_pb2
from kneo_grpc.cli.run_picture import picture, plain
from kneo_grpc.cli.run_show import flowchart
from tests.api.test_kinds import FORK, edge, part, run, stored
from tests.service import create, data, function_spec

GOLDEN = Path(__file__).with_name("golden_pictures")
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
ASKING = {"humans": {"boss": {"description": "Is this fine?", "assignee": "anna"}}}
INNER = {"type": "sequential", "name": "inner", "steps": [part("x"), part("y", ref="broken")]}
LOOP = {
    "type": "graph",
    "start": "a",
    "nodes": {"a": part("a"), "b": part("b", "human", ref="boss")},
    "edges": [edge("a", "b", type="output_contains", value="..."), edge("a", "a")],
}
CHOSEN = {
    "type": "handoff",
    "participants": [part("a"), part("b")],
    "selector": {"type": "agent", "ref": "chooser"},
}
NESTED = {
    "type": "sequential",
    "steps": [part("first"), part("in", "workflow", ref="inner"), part("last")],
}
RUNS = {
    "sequential": (
        {"type": "sequential", "steps": [part("a"), part("b", "human", ref="boss"), part("c")]},
        ASKING,
    ),
    "graph": (FORK, ASKING),
    "loop": (LOOP, ASKING),
    "concurrent": (
        {"type": "concurrent", "participants": [part("a"), part("b", "human", ref="boss")]},
        ASKING,
    ),
    "handoff": ({"type": "handoff", "participants": [part("a"), part("b")]}, {}),
    "chosen": (CHOSEN, {"agents": {"chooser": {"name": "chooser"}}}),
    "group_chat": (
        {"type": "group-chat", "participants": [part("a"), part("b")], "rounds": 2},
        {},
    ),
    "nested": (NESTED, {"workflows": {"inner": INNER}}),
    "instead": (
        {
            "type": "sequential",
            "steps": [
                part("in", "workflow", ref="inner", on_error="fallback", fallback_ref="by"),
                part("by", "workflow", ref="second", enabled=False),
            ],
        },
        {
            "workflows": {
                "inner": INNER,
                "second": {**INNER, "name": "second", "steps": [part("x")]},
            }
        },
    ),
}


def after(seconds):
    return (BEGIN + timedelta(seconds=seconds)).isoformat()


def begun(step):
    return datetime.fromisoformat(step["started_at"]), step["path"]


def steady(run, graph):
    """The run at times of our own: each step begins a second after the one before."""
    run["run_id"] = "run_1"
    run["started_at"] = after(0)
    if "completed_at" in run:
        run["completed_at"] = after(90)
    names = [f"cont_{number}" for number, _ in enumerate(run["continuation_ids"], start=1)]
    run["continuation_ids"] = names
    # Objects keep no order on their way.
    graph["nodes"].sort(key=lambda node: node["id"] if run.get("workflow_kind") == "graph" else "")
    for number, step in enumerate(sorted(graph["steps"], key=begun)):
        step["started_at"] = after(number)
        if "ended_at" in step:
            step["ended_at"] = after(number + 0.25)
    return run, graph


async def drawn(service, run_id):
    graph = await service.runs.GetRunGraph(run_pb2.GetRunGraphRequest(run_id=run_id))
    found, shown = steady(await stored(service, run_id), data(graph))
    lines = plain(picture(found, shown, BEGIN + timedelta(seconds=100)))
    return f"{lines}\n\n{flowchart(shown)}"


def compare(request, name, found):
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--rewrite-golden"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(RUNS))
async def test_a_run_is_drawn_as_its_file_shows(name, request, service) -> None:
    workflow, components = RUNS[name]
    done = await run(service, workflow, **components)
    compare(request, name, await drawn(service, done.run_id))


async def test_a_fork_is_drawn_with_what_it_took_over(request, service, code) -> None:
    failed = await run(service, NESTED, workflows={"inner": INNER})
    code.broken = lambda text: text
    done = await service.runs.ForkRun(run_pb2.ForkRunRequest(run_id=failed.run_id))
    found = await drawn(service, done.run_id)
    compare(request, "fork", found.replace(failed.run_id, "run_0"))


async def test_an_agent_alone_is_drawn(request, service) -> None:
    done = await service.runs.CreateRun(create(spec=function_spec("note"), target="agent"))
    compare(request, "agent", await drawn(service, done.run_id))


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {*RUNS, "fork", "agent"}
