"""Overlays, overrides and legacy shapes."""

import pytest

from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.spec.compile import compile_spec
from kneo_grpc.spec.document import Document
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.merge import fill, merge
from kneo_grpc.spec.migrate import migrate, migration
from kneo_grpc.spec.validate import validate

BASE = {"version": "v1", "a": {"b": 1, "c": [1, 2]}, "d": "x"}


@pytest.mark.parametrize(
    ("over", "result"),
    [
        ({}, BASE),
        ({"d": "y"}, {**BASE, "d": "y"}),
        ({"a": {"b": 2}}, {**BASE, "a": {"b": 2, "c": [1, 2]}}),
        ({"a": {"c": [3]}}, {**BASE, "a": {"b": 1, "c": [3]}}),
        ({"a": 5}, {**BASE, "a": 5}),
        ({"d": {"e": 1}}, {**BASE, "d": {"e": 1}}),
        ({"a": {"b": None}}, {**BASE, "a": {"c": [1, 2]}}),
        ({"a": {"__delete__": True}}, {"version": "v1", "d": "x"}),
        ({"a": {"__delete__": False}}, {**BASE, "a": {**BASE["a"], "__delete__": False}}),
        ({"n": {"m": None, "o": {"p": 1, "q": None}}}, {**BASE, "n": {"o": {"p": 1}}}),
        ({"a": {"c": [None]}}, {**BASE, "a": {"b": 1, "c": [None]}}),
        ({"gone": None}, BASE),
    ],
)
def test_an_overlay_is_laid_over_the_base(over: dict, result: dict) -> None:
    base = load_object(BASE)
    assert merge(base, over).data == result
    assert base.data == BASE


def test_overlays_apply_in_order() -> None:
    merged = merge(load_object(BASE), load_object({"d": 1, "e": 1}), {"d": 2}, {"e": None})
    assert merged.data == {**BASE, "d": 2}


BASE_TEXT = "version: v1\nagent:\n  name: root\n  nme: x\nworkflow: {type: q}\n"


def places(document: Document) -> dict:
    return {item.path: (item.file, item.line, item.column) for item in validate(document)}


def test_what_an_overlay_gave_is_found_in_the_overlay_and_the_rest_in_the_base() -> None:
    base = load_text(BASE_TEXT, name="base.yaml")
    first = load_text("# first\nagent:\n  modle: y\n", name="first.yaml")
    second = load_text("components:\n  agents:\n    a: {nmae: b}\n", name="second.yaml")
    assert places(merge(base, first, second)) == {
        "agent.nme": (None, 4, 3),
        "agent.modle": ("first.yaml", 3, 3),
        "workflow.type": (None, 5, 12),
        "components.agents.a.name": ("second.yaml", 3, 5),
        "components.agents.a.nmae": ("second.yaml", 3, 9),
    }


def test_a_later_overlay_takes_over_the_place() -> None:
    base = load_text(BASE_TEXT, name="base.yaml")
    first = load_text("agent: {nme: y, extra: 1}\n", name="first.yaml")
    second = load_text("\n\nagent: {nme: z}\n", name="second.yaml")
    found = places(merge(base, first, second))
    assert found["agent.nme"] == ("second.yaml", 3, 9)
    assert found["agent.extra"] == ("first.yaml", 1, 17)


def test_an_overlay_over_data_without_lines_keeps_its_own() -> None:
    base = load_object({"version": "v1", "agent": {"name": "a", "nme": 1}})
    overlay = load_text("agent:\n  modle: y\n", name="over.yaml")
    assert places(merge(base, overlay)) == {
        "agent.nme": (None, None, None),
        "agent.modle": ("over.yaml", 2, 3),
    }


def test_overrides_have_no_line() -> None:
    found = places(merge(load_text(BASE_TEXT), {"agent": {"modle": {"x": 1}}}))
    assert found["agent.modle"] == (None, None, None)
    assert found["agent.nme"] == (None, 4, 3)


def test_a_message_names_the_overlay() -> None:
    overlay = load_text("agent:\n  modle: y\n", name="over.yaml")
    base = load_text("version: v1\nagent: {name: a}\n")
    with pytest.raises(SpecInvalid, match=r"\(over.yaml, line 2\)"):
        compile_spec(merge(base, overlay))


def test_an_overlay_of_a_legacy_base_may_be_legacy_too() -> None:
    overlay = load_text("root_agent: {description: d}\nroot_workflow: null\nhumans: {h: {}}\n")
    merged = merge(load_text(LEGACY), overlay)
    assert merged.data["agent"] == {"name": "root", "description": "d"}
    assert "workflow" not in merged.data
    assert merged.data["version"] == "v1"


def test_defaults_fill_in_and_never_change() -> None:
    document = load_object({"a": {"b": 1, "n": None}, "l": [1]})
    defaults = load_object({"a": {"b": 2, "c": 3, "n": 4}, "l": [2], "m": {"k": 1}})
    assert fill(document, defaults).data == {
        "a": {"b": 1, "n": None, "c": 3},
        "l": [1],
        "m": {"k": 1},
    }
    assert document.data == {"a": {"b": 1, "n": None}, "l": [1]}


LEGACY = """
root_agent: {name: root}
root_workflow:
  - first
  - {id: x, kind: function, ref: f}
component_agents:
  first: {name: first}
component_workflows:
  inner:
    steps: [first]
functions:
  f: {implementation: a.b}
humans:
  h: {}
"""


def test_legacy_shapes_become_v1() -> None:
    migrated, applied = migration(load_text(LEGACY))
    assert migrated.data == {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {
            "type": "sequential",
            "steps": ["first", {"id": "x", "kind": "function", "ref": "f"}],
        },
        "components": {
            "agents": {"first": {"name": "first"}},
            "workflows": {"inner": {"type": "sequential", "steps": ["first"]}},
            "functions": {"f": {"implementation": "a.b"}},
            "humans": {"h": {}},
        },
    }
    assert applied == [
        "root_agent -> agent",
        "root_workflow -> workflow",
        "component_agents -> components.agents",
        "component_workflows -> components.workflows",
        "functions -> components.functions",
        "humans -> components.humans",
        "workflow -> sequential",
        "components.workflows.inner -> sequential",
        "version -> v1",
    ]
    assert validate(load_text(LEGACY)) == []


def test_a_fault_in_a_legacy_spec_has_its_line() -> None:
    found = validate(load_text(LEGACY.replace("steps: [first]", "steps: [frist]")))
    assert [(item.code, item.path, item.line) for item in found] == [
        ("E_STEP_AGENT_REF", "components.workflows.inner.steps[0].ref", 10)
    ]
    found = validate(load_text(LEGACY.replace("- first", "- frist")))
    assert [(item.path, item.line) for item in found] == [("workflow.steps[0].ref", 4)]


def test_a_v1_spec_is_not_rewritten() -> None:
    document = load_object({"version": "v1", "root_agent": {"name": "x"}})
    assert migrate(document) is document
    assert {item.path for item in validate(document)} == {"agent", "root_agent"}


def test_a_legacy_field_does_not_push_out_a_new_one() -> None:
    document = load_object({"root_agent": {"name": "old"}, "agent": {"name": "new"}})
    assert migrate(document).data["agent"] == {"name": "new"}
    assert [item.path for item in validate(document)] == ["root_agent"]


@pytest.mark.parametrize("value", [None, 5, "x", [], {"components": 5}])
def test_legacy_fields_of_any_type_are_no_trap(value: object) -> None:
    for key in ("root_agent", "root_workflow", "component_workflows", "humans", "components"):
        data = {"version": "v0", key: value, "functions": value}
        assert validate(load_object(data))


def test_an_overlay_meets_a_legacy_base_in_v1_shape() -> None:
    merged = merge(load_text(LEGACY), {"agent": {"description": "new"}})
    assert merged.data["agent"] == {"name": "root", "description": "new"}
    assert validate(merged) == []
