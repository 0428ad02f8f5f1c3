"""A run's trace as a tree of spans."""

import re
from hashlib import blake2b

from kneo_grpc._gen.kneo.v1 import run_pb2
from tests.api.test_kinds import edge, part, run
from tests.service import create, function_spec

INNER = {"type": "sequential", "name": "inner", "steps": [part("x", "agent", ref="root")]}
DEEP = {"type": "sequential", "name": "deep", "steps": [part("in", "workflow", ref="inner")]}
BRANCHES = {
    "type": "graph",
    "start": "a",
    "nodes": {
        "a": part("a", "agent", ref="root", fan_out=True),
        "b": part("b", "workflow", ref="deep"),
        "c": part("c", "workflow", ref="inner"),
        "d": part("d", "agent", ref="root", join="all"),
    },
    "edges": [edge("a", "b"), edge("a", "c"), edge("b", "d"), edge("c", "d")],
}
COMPONENTS = {"workflows": {"inner": INNER, "deep": DEEP}}


async def trace(service, run_id):
    request = run_pb2.GetRunTraceRequest(run_id=run_id, limit=1000)
    return (await service.runs.GetRunTrace(request)).events


def tree(events):
    """Parent by span, and the names of the spans' steps; every span has one parent."""
    parents, names = {}, {}
    for event in events:
        parent = event.parent_span_id if event.HasField("parent_span_id") else None
        assert parents.setdefault(event.span_id, parent) == parent
        names.setdefault(event.span_id, event.step_id if parent else "run")
    return parents, names


def shape(parents, names, span):
    inside = [shape(parents, names, child) for child, parent in parents.items() if parent == span]
    return (names[span], sorted(inside))


async def test_a_nested_run_with_two_branches_is_one_tree(service) -> None:
    done = await run(service, BRANCHES, **COMPONENTS)
    assert done.status == "completed"
    parents, names = tree(await trace(service, done.run_id))
    (root,) = [span for span, parent in parents.items() if parent is None]
    assert set(parents.values()) - {None} <= set(parents)
    assert all(re.fullmatch("[0-9a-f]{16}", span) for span in parents)
    assert shape(parents, names, root) == (
        "run",
        [
            ("a", []),
            ("b", [("in", [("x", [])])]),
            ("c", [("x", [])]),
            ("d", []),
        ],
    )


async def test_spans_are_of_their_run_alone_and_known_beforehand(service) -> None:
    runs = [await run(service, BRANCHES, **COMPONENTS) for _ in range(2)]
    first, second = [tree(await trace(service, item.run_id))[0] for item in runs]
    assert not set(first) & set(second)
    of_run = blake2b(f"{runs[0].run_id}/".encode(), digest_size=8).hexdigest()
    of_step = blake2b(f"{runs[0].run_id}/b#1/in#1".encode(), digest_size=8).hexdigest()
    assert (first[of_run], of_step in first) == (None, True)


async def test_an_agent_that_is_executed_alone_is_the_run(service) -> None:
    spec = function_spec("note")
    alone = await service.runs.CreateRun(create(spec=spec, target="agent"))
    parents, _ = tree(await trace(service, alone.run_id))
    assert list(parents.values()) == [None]


async def test_a_fork_has_a_tree_of_its_own(service, code) -> None:
    inner = {**INNER, "steps": [part("w"), part("y", ref="broken"), *INNER["steps"]]}
    outer = {"type": "sequential", "steps": [part("in", "workflow", ref="inner")]}
    failed = await run(service, outer, workflows={"inner": inner})
    parents, names = tree(await trace(service, failed.run_id))
    assert sorted(names.values()) == ["in", "run", "y"]
    code.broken = lambda text: text
    forked = await service.runs.ForkRun(run_pb2.ForkRunRequest(run_id=failed.run_id))
    assert forked.status == "completed"
    parents, names = tree(await trace(service, forked.run_id))
    (root,) = [span for span, parent in parents.items() if parent is None]
    assert shape(parents, names, root) == ("run", [("in", [("x", [])])])
