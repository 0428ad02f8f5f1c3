"""Whatever is done to a spec: validation answers, and what it accepts compiles."""

import copy
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kneo_grpc.domain.diagnostic import has_errors
from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.domain.plan_codec import decode_plan, encode_plan
from kneo_grpc.spec.compile import compile_spec
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.merge import merge
from kneo_grpc.spec.validate import validate

SPEC: dict[str, Any] = {
    "version": "v1",
    "metadata": {"team": "x"},
    "agent": {
        "name": "root",
        "model": {"provider": "dummy", "name": "dummy", "temperature": 0.5},
        "strategy": {"type": "react", "max_iterations": 3},
        "tools": {"include": ["t"], "exclude": [], "permissions": {"allow_network": False}},
        "policies": {"tool": {"allow": ["t"], "deny": []}},
    },
    "workflow": {
        "type": "sequential",
        "steps": [
            {
                "id": "a",
                "kind": "agent",
                "ref": "root",
                "on_error": "fallback",
                "fallback_ref": "b",
            },
            {"id": "b", "kind": "function", "ref": "f", "max_retries": 1, "timeout_seconds": 5},
            {"id": "c", "kind": "human", "ref": "h"},
            {"id": "d", "kind": "workflow", "ref": "w"},
        ],
    },
    "components": {
        "agents": {"g": {"name": "g"}},
        "workflows": {
            "w": {"type": "sequential", "steps": ["g"]},
        },
        "functions": {"f": {"implementation": "a.b"}},
        "humans": {"h": {"options": ["x"], "default_option": "x", "timeout_seconds": 60}},
    },
    "tools": {"t": {"description": "t", "implementation": "a.t", "parameters": {"type": "object"}}},
}

GRAPH = {
    "type": "graph",
    "start": "a",
    "nodes": {"a": {"id": "a", "kind": "agent", "ref": "root"}},
    "edges": [
        {"from": "a", "to": "a", "condition": {"type": "not", "condition": {"type": "never"}}}
    ],
}

WORDS = st.sampled_from(
    [
        "a",
        "b",
        "f",
        "h",
        "w",
        "g",
        "root",
        "agent",
        "human",
        "workflow",
        "fallback",
        "ref",
        "type",
        "sequential",
        "graph",
        "concurrent",
        "handoff",
        "group-chat",
        "v0",
        "os.system",
        "nodes",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-2, 2)
    | WORDS
    | st.text(max_size=4)
    | st.builds(lambda: copy.deepcopy(GRAPH))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        value.keys()
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    return [place for key in keys for place in [(*path, key), *places(value[key], (*path, key))]]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(spec) or [("version",)]))
        parent: Any = spec
        for key in place[:-1]:
            parent = parent[key]
        change = draw(st.sampled_from(["set", "delete", "add", "rename"]))
        if change == "delete":
            parent.pop(place[-1], None) if isinstance(parent, dict) else parent.pop(place[-1])
        elif change == "add" and isinstance(parent, list):
            parent.append(draw(VALUES))
        elif change in ("add", "rename") and isinstance(parent, dict):
            old = parent.pop(place[-1], None) if change == "rename" else draw(VALUES)
            parent[draw(WORDS)] = old
        else:
            parent[place[-1]] = draw(VALUES)
    return spec


def check(data: dict[str, Any]) -> None:
    try:
        document = load_object(data)
    except SpecInvalid:
        return
    found = validate(document)
    if has_errors(found):
        return
    plan = compile_spec(document).plan
    digest, content = encode_plan(plan)
    assert encode_plan(decode_plan(content))[0] == digest
    flows = list(plan.workflows.values())
    tables = {"agent": plan.agents, "function": plan.functions, "human": plan.humans}
    tables["workflow"] = plan.workflows
    for step in (step for flow in flows for step in flow.steps):
        assert step.ref in tables[step.kind]
    assert {name for agent in plan.agents.values() for name in agent.tools} <= set(plan.tools)


def test_the_spec_that_is_mutated_is_right() -> None:
    assert validate(load_object(SPEC)) == []


@settings(max_examples=250, deadline=None)
@given(mutated())
def test_a_mutated_spec_is_judged_and_what_passes_compiles(data: dict[str, Any]) -> None:
    check(data)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(WORDS, VALUES, max_size=4))
def test_an_overlay_of_any_shape_is_judged(over: dict[str, Any]) -> None:
    validate(merge(load_object(SPEC), over))


TEXT = yaml.safe_dump(SPEC, sort_keys=False)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, len(TEXT)),
    st.integers(0, 4),
    st.text(st.sampled_from("{}[]:,-&*!|>'\"#%@`? \n\t<x1é\\"), max_size=4),
)
def test_text_with_a_piece_replaced_is_read_or_refused(at: int, gone: int, new: str) -> None:
    try:
        document = load_text(TEXT[:at] + new + TEXT[at + gone :])
    except SpecInvalid as refused:
        assert refused.details["diagnostics"]
        return
    validate(document)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        load_text(data)
    except SpecInvalid as refused:
        assert refused.details["diagnostics"]
