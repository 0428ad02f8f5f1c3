"""What the graph of a run tells of the steps that it executed."""

import asyncio

import pytest

from kneo_grpc._gen.kneo.v1 import run_pb2
from kneo_grpc.platform import executed_steps
from tests.api.test_kinds import FORK, edge, part, resume, run, stored
from tests.service import create, data, function_spec

INNER = {"type": "sequential", "name": "inner", "steps": [part("x"), part("y", ref="broken")]}


async def graph(service, run_id):
    return data(await service.runs.GetRunGraph(run_pb2.GetRunGraphRequest(run_id=run_id)))


def told(shown, *names):
    return [tuple(step.get(name) for name in names) for step in shown["steps"]]


async def test_steps_of_a_sequence_are_told_with_their_times(service) -> None:
    done = await service.runs.CreateRun(create(spec=function_spec("note", "broken", "number")))
    shown = await graph(service, done.run_id)
    first, second = shown["steps"]
    assert {name: first[name] for name in first if not name.endswith("_at")} == {
        "path": "note#1",
        "step_id": "note",
        "kind": "function",
        "ref": "note",
        "workflow_name": "functions",
        "status": "completed",
        "attempt": 1,
        "iteration": 1,
        "output_preview": "hi.",
    }
    assert first["started_at"] <= first["ended_at"] <= second["ended_at"]
    assert (second["status"], second["error"]) == (
        "failed",
        {"type": "ValueError", "message": "the step broke"},
    )
    assert (shown["step_count"], shown["visited"], shown["current_nodes"]) == (2, ["note"], [])


async def test_attempts_are_one_row_and_a_passed_over_failure_stays_one(service) -> None:
    spec = function_spec(
        "flaky", "broken", flaky={"max_retries": 2}, broken={"on_error": "continue"}
    )
    done = await service.runs.CreateRun(create(spec=spec))
    shown = await graph(service, done.run_id)
    assert told(shown, "path", "status", "attempt") == [
        ("flaky#1", "completed", 2),
        ("broken#1", "failed", 1),
    ]
    assert shown["steps"][1]["error"]["message"] == "the step broke"


async def test_branches_loops_and_waiting_are_told(service) -> None:
    paused = await run(service, {**FORK, "nodes": {**FORK["nodes"], "c": part("c")}})
    shown = await graph(service, paused.run_id)
    assert told(shown, "path", "status", "branch", "kind", "ref") == [
        ("a#1", "completed", None, "function", "note"),
        ("c#1", "completed", "1", "function", "note"),
        ("b#1", "waiting", "0", "human", "boss"),
    ]
    assert (shown["current_nodes"], shown["visited"]) == (["b"], ["a", "c"])
    loop = {
        "type": "graph",
        "start": "a",
        "nodes": {"a": part("a")},
        "edges": [edge("a", "a")],
        "max_steps": 3,
    }
    done = await run(service, loop)
    shown = await graph(service, done.run_id)
    assert told(shown, "path", "iteration") == [("a#1", 1), ("a#2", 2), ("a#3", 3)]


async def test_nested_steps_are_told_inside_of_theirs(service) -> None:
    outer = {"type": "concurrent", "participants": [part("in", "workflow", ref="inner"), part("z")]}
    done = await run(service, outer, workflows={"inner": INNER})
    shown = await graph(service, done.run_id)
    rows = {step["path"]: step for step in shown["steps"]}
    assert {path: (row["status"], row.get("parent_path")) for path, row in rows.items()} == {
        "in#1/x#1": ("completed", "in#1"),
        "in#1/y#1": ("failed", "in#1"),
        "in#1": ("failed", None),
        "z#1": (rows["z#1"]["status"], None),
    }
    assert rows["in#1/x#1"]["workflow_name"] == "inner"


async def test_a_nested_workflow_in_which_everybody_waits_waits(service) -> None:
    inner = {**INNER, "steps": [part("ask", "human", ref="boss")]}
    outer = {"type": "handoff", "participants": [part("in", "workflow", ref="inner")]}
    paused = await run(service, outer, workflows={"inner": inner})
    shown = await graph(service, paused.run_id)
    assert told(shown, "path", "status") == [("in#1", "waiting"), ("in#1/ask#1", "waiting")]
    assert shown["current_nodes"] == ["in"]


async def test_what_a_cancellation_stopped_is_told(service) -> None:
    paused = await run(service, FORK)
    await service.runs.CancelRun(run_pb2.CancelRunRequest(run_id=paused.run_id))
    shown = await graph(service, paused.run_id)
    assert told(shown, "path", "status") == [
        ("a#1", "completed"),
        ("b#1", "stopped"),
        ("c#1", "stopped"),
    ]
    assert shown["current_nodes"] == []


async def test_what_the_first_branch_stopped_is_told(service, code) -> None:
    nodes = {**FORK["nodes"], "b": part("b"), "d": part("d", join="any")}
    nodes["c"] = part("c", "workflow", ref="inner")
    inner = {**INNER, "steps": [part("x", ref="gated")]}
    done = await run(service, {**FORK, "nodes": nodes}, workflows={"inner": inner})
    assert done.status == "completed"
    code.GATE.set()
    shown = await graph(service, done.run_id)
    assert told(shown, "path", "status") == [
        ("a#1", "completed"),
        ("b#1", "completed"),
        ("c#1", "stopped"),
        ("c#1/x#1", "stopped"),
        ("d#1", "completed"),
    ]


async def test_steps_under_way_are_told_for_a_chat_whose_agent_chooses(service, code) -> None:
    chat = {
        "type": "group-chat",
        "participants": [part("a", ref="gated"), part("b")],
        "rounds": 1,
    }
    call = asyncio.create_task(run(service, chat))
    for _ in range(500):
        found = (await service.runs.ListRuns(run_pb2.ListRunsRequest())).runs
        if found and found[0].status == "running":
            break
        await asyncio.sleep(0.01)
    shown = await graph(service, found[0].run_id)
    assert told(shown, "path", "status", "ended_at") == [("a#1", "running", None)]
    assert shown["steps"][0]["started_at"]
    code.GATE.set()
    done = await call
    shown = await graph(service, done.run_id)
    assert (shown["visited"], shown["step_count"]) == (["a", "b"], 2)


async def test_an_agent_that_chooses_is_a_step_but_no_node(service) -> None:
    chat = {
        "type": "handoff",
        "participants": [part("a")],
        "selector": {"type": "agent", "ref": "chooser"},
    }
    done = await run(service, chat, agents={"chooser": {"name": "chooser"}})
    shown = await graph(service, done.run_id)
    assert told(shown, "path", "kind", "ref") == [("#selector#1", "agent", "chooser")]


async def test_a_fallback_is_told_and_its_workflow_is_found(service) -> None:
    inner = {**INNER, "steps": [part("x")]}
    steps = [
        part("a", ref="broken", on_error="fallback", fallback_ref="b"),
        part("b", "workflow", ref="inner", enabled=False),
    ]
    done = await run(service, {"type": "sequential", "steps": steps}, workflows={"inner": inner})
    shown = await graph(service, done.run_id)
    assert told(shown, "path", "status", "fallback_step") == [
        ("a#1/x#1", "completed", None),
        ("a#1", "completed", "b"),
    ]


async def test_a_workflow_in_another_one_s_place_is_told_from_it(service) -> None:
    """Both have a step of the same name."""
    first = {**INNER, "steps": [part("x"), part("y", ref="broken")]}
    steps = [
        part("n", "workflow", ref="first", on_error="fallback", fallback_ref="z"),
        part("z", "workflow", ref="second", enabled=False),
    ]
    flows = {"first": first, "second": {**INNER, "name": "second", "steps": [part("x")]}}
    done = await run(service, {"type": "sequential", "steps": steps}, workflows=flows)
    assert done.status == "completed"
    shown = await graph(service, done.run_id)
    assert told(shown, "path", "status", "workflow_name", "fallback_step") == [
        ("n#1/x#1", "completed", INNER["name"], None),
        ("n#1/y#1", "failed", INNER["name"], None),
        ("n#1", "failed", "flow", None),
        ("n#1#z/x#1", "completed", "second", None),
        ("n#1#z", "completed", "flow", "z"),
    ]


async def test_the_newest_are_listed_and_all_are_counted(service, monkeypatch) -> None:
    monkeypatch.setattr(executed_steps, "STEPS_MAX", 3)
    names = "abcde"
    steps = [part(name) for name in names]
    done = await run(service, {"type": "sequential", "steps": steps})
    shown = await graph(service, done.run_id)
    assert [step["step_id"] for step in shown["steps"]] == ["c", "d", "e"]
    assert shown["step_count"] == 5


@pytest.mark.parametrize("status", ["blocked", "completed"])
async def test_a_fork_tells_what_it_executed_itself(service, status) -> None:
    steps = [part("a"), part("ask", "human", ref="boss")]
    first = await run(service, {"type": "sequential", "steps": steps})
    forked = await service.runs.ForkRun(run_pb2.ForkRunRequest(run_id=first.run_id))
    if status == "completed":
        kept = await stored(service, forked.run_id)
        await resume(service, kept, forked.continuation_id)
    shown = await graph(service, forked.run_id)
    now = "waiting" if status == "blocked" else "completed"
    assert told(shown, "path", "status") == [("ask#1", now)]
    assert shown["visited"] == (["a"] if status == "blocked" else ["a", "ask"])
