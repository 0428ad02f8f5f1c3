"""What is shown of a spec, compared with files: `pytest --rewrite-golden` writes them anew."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kneo_grpc.domain.diagnostic import Diagnostic, has_errors
from kneo_grpc.domain.plan import Plan
from kneo_grpc.spec.compile import plan_of
from kneo_grpc.spec.drawing import dot, mermaid
from kneo_grpc.spec.explain import explain
from kneo_grpc.spec.graph import GraphEdge, graph
from kneo_grpc.spec.lint import lint
from kneo_grpc.spec.load import load_object
from kneo_grpc.spec.model import Spec
from kneo_grpc.spec.names import Known
from kneo_grpc.spec.policy_report import policy_report
from kneo_grpc.spec.validate import examine

HERE = Path(__file__).parent
SPECS = yaml.safe_load((HERE / "view_specs.yaml").read_text(encoding="utf-8"))


def examined(data: dict[str, Any]) -> tuple[Spec, list[Diagnostic]]:
    """The spec, also of what this release does not run yet; it must be sound otherwise."""
    spec, found = examine(load_object(data), Known(), gate=False)
    assert spec is not None, found
    assert not has_errors(found), found
    return spec, found


def plan(name: str) -> Plan:
    return plan_of(examined(SPECS[name])[0], Known())


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


VIEWS = {
    "explain.json": lambda name: as_json(dataclasses.asdict(explain(examined(SPECS[name])[0]))),
    "graph.json": lambda name: as_json(dataclasses.asdict(graph(plan(name)))),
    "graph.mermaid": lambda name: mermaid(graph(plan(name))),
    "graph.dot": lambda name: dot(graph(plan(name))),
    "policy_report.json": lambda name: as_json(policy_report(*examined(SPECS[name]))),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", SPECS)
def test_a_view_is_as_its_file_shows(name: str, view: str, request: pytest.FixtureRequest) -> None:
    found = VIEWS[view](name)
    path = HERE / "golden_views" / f"{name}.{view}"
    if request.config.getoption("--rewrite-golden"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    files = {path.name for path in (HERE / "golden_views").iterdir()}
    assert files == {f"{name}.{view}" for name in SPECS for view in VIEWS}


# Graphs


def edges(name: str) -> list[tuple[str, str, str | None, bool]]:
    return [(e.source, e.target, e.label, e.conditional) for e in graph(plan(name)).root.edges]


def test_a_sequence_is_a_chain_without_the_steps_that_are_left_out() -> None:
    ways = [(source, target) for source, target, _, _ in edges("sequence")]
    assert ways == [
        ("draft", "ask"),
        ("ask", "inner"),
        ("inner", "again"),
        ("again", "publish"),
    ]


def test_a_graph_has_its_edges_with_the_order_in_which_they_are_tried() -> None:
    found = [edge for edge in graph(plan("graph")).root.edges if edge.source == "meet"]
    assert found == [
        GraphEdge(source="meet", target="sort", conditional=True, priority=0),
        GraphEdge(source="meet", target="person", conditional=False, priority=1),
    ]


def test_a_nested_workflow_stands_once_however_many_steps_run_it() -> None:
    shown = graph(plan("sequence"))
    assert [node.subgraph for node in shown.root.nodes if node.subgraph] == ["review", "review"]
    assert [flow.id for flow in shown.nested] == ["review"]


def test_a_workflow_behind_an_agent_is_shown_too() -> None:
    shown = graph(plan("graph"))
    assert [(node.id, node.subgraph) for node in shown.root.nodes if node.subgraph] == [
        ("tone", "talk")
    ]
    assert [flow.id for flow in shown.nested] == ["talk"]


def test_many_levels_of_nesting_stay_as_many_subgraphs() -> None:
    twice = [{"id": word, "kind": "workflow"} for word in ("a", "b")]
    levels = {
        f"w{level}": {
            "type": "sequential",
            "steps": [{**step, "ref": f"w{level + 1}"} for step in twice],
        }
        for level in range(14)
    }
    levels["w14"] = {"type": "sequential", "steps": ["root"]}
    data = {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {"type": "sequential", "steps": [{**step, "ref": "w0"} for step in twice]},
        "components": {"workflows": levels},
    }
    shown = graph(plan_of(examined(data)[0], Known()))
    assert len(shown.nested) == 15
    assert mermaid(shown).count("subgraph") == 15


def test_a_handoff_goes_through_its_sequence_and_says_the_turns_where_one_comes_twice() -> None:
    (nested,) = graph(plan("concurrent")).nested
    assert [(edge.source, edge.target, edge.label) for edge in nested.edges] == [
        ("root", "other", "1"),
        ("other", "root", "2"),
    ]


def test_a_round_robin_and_rounds_lead_back() -> None:
    assert edges("handoff")[-1] == ("c", "root", "again", True)
    assert edges("group_chat")[-1] == ("b", "root", "3 rounds", True)


def test_participants_without_an_order_have_no_edges_and_no_start() -> None:
    for name in ("concurrent", "chosen_handoff"):
        root = graph(plan(name)).root
        assert (root.edges, root.start) == ((), None)
    assert graph(plan("chosen_handoff")).root.selector_agent == "Chooser"


def test_an_agent_alone_is_one_node() -> None:
    shown = graph(plan("agent_alone"))
    assert [(node.id, node.kind) for node in shown.root.nodes] == [("solo", "agent")]
    assert (shown.root.name, shown.root.kind) == (None, None)


def test_the_target_agent_is_one_node_too() -> None:
    assert [node.id for node in graph(plan("sequence"), "agent").root.nodes] == ["root"]


# Drawings

MERMAID_LINE = re.compile(
    r"""flowchart\ TD
    |\s+\w+(\(\[|\[\[|\[/|\[|\{\{|\{|\(\()"[^"]*"(\]\)|\]\]|/\]|\]|\}\}|\}|\)\))
    |\s+subgraph\ \w+\["[^"]*"\]|\s+end
    |\s+\w+\ (-->|-\.->|<-->)(\|"[^"|]*"\|)?\ \w+
    |\s+classDef\ off\ stroke-dasharray:4\ 4,opacity:0\.6|\s+class\ [\w,]+\ off""",
    re.VERBOSE,
)
MERMAID_LABEL = re.compile(r"(?:[\w ]|(?<=\w)[-_.](?=\w)|#\d+;|<br/>)*")
DOT_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@pytest.mark.parametrize("name", SPECS)
def test_no_id_leaves_its_quotes_in_mermaid(name: str) -> None:
    for line in mermaid(graph(plan(name))).splitlines():
        assert MERMAID_LINE.fullmatch(line), line
        for label in re.findall(r'"([^"]*)"', line):
            assert MERMAID_LABEL.fullmatch(label), label


@pytest.mark.parametrize("name", SPECS)
def test_no_id_leaves_its_quotes_in_dot(name: str) -> None:
    text = DOT_QUOTED.sub('""', dot(graph(plan(name))))
    assert set(text) <= set(
        'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=>-;[]{} \n"'
    )
    assert text.count('"') % 2 == 0


@pytest.mark.parametrize("sign", ["\\", '"', "\n", "\x7f", "\u202e", "]", "|", "&", "%%", "`", ";"])
def test_no_sign_of_a_label_reaches_a_drawing_unescaped(sign: str) -> None:
    data = {
        "version": "v1",
        "agent": {"name": "a"},
        "workflow": {
            "type": "graph",
            "start": "x",
            "nodes": {"x": {"id": "x", "kind": "agent", "ref": "a"}},
            "edges": [{"from": "x", "to": "x", "label": f"to{sign}{sign}end"}],
        },
    }
    shown = graph(plan_of(examined(data)[0], Known()))
    assert all(MERMAID_LINE.fullmatch(line) for line in mermaid(shown).splitlines())
    (edge,) = [line for line in dot(shown).splitlines() if "w0n0 -> w0n0" in line]
    assert re.fullmatch(rf"  w0n0 -> w0n0 \[label={DOT_QUOTED.pattern}\];", edge)


def test_a_long_label_is_cut() -> None:
    name = "x" * 128
    data = {"version": "v1", "agent": {"name": name}}
    text = mermaid(graph(plan_of(examined(data)[0], Known())))
    assert "x" * 79 + "#8230;" in text
    assert "x" * 80 not in text


# Policy reports and lint


def report(**changes: Any) -> dict[str, Any]:
    return policy_report(*examined({"version": "v1", "agent": {"name": "a"}, **changes}))


def test_people_are_counted_in_every_kind_of_workflow() -> None:
    step = {"id": "p", "kind": "human", "ref": "boss"}
    agent = {"id": "w", "kind": "agent", "ref": "a"}
    flows = {
        "sequential": {"type": "sequential", "steps": [step]},
        "graph": {"type": "graph", "start": "p", "nodes": {"p": step}, "edges": []},
        "concurrent": {"type": "concurrent", "participants": [step, agent]},
        "handoff": {"type": "handoff", "participants": [step, agent]},
        "group-chat": {"type": "group-chat", "participants": [step, agent]},
    }
    found = report(components={"humans": {"boss": {}}, "workflows": flows})
    assert found["summary"]["human_review_step_count"] == 5
    assert [item["workflow"] for item in found["human_review"]["workflow_steps"]] == [
        f"components.workflows.{name}" for name in flows
    ]


@pytest.mark.parametrize(
    ("permissions", "unrestricted"),
    [
        (None, True),
        ({}, False),
        ({"allow_filesystem_read": True}, False),
        ({"allow_shell": True}, True),
        ({"allow_filesystem_write": True}, True),
        ({"allow_network": True}, True),
        ({"allow_network": True, "allowed_domains": ["example.com"]}, False),
        ({"allow_network": True, "denied_domains": ["example.com"]}, True),
    ],
)
def test_tools_without_limits_are_named(
    permissions: dict[str, Any] | None, unrestricted: bool
) -> None:
    given = {} if permissions is None else {"permissions": permissions}
    found = report(
        agent={"name": "a", "tools": {"include": ["t"], **given}},
        tools={"t": {"description": "x", "implementation": "shop.t"}},
    )
    (policy,) = found["tools"]["agent_policies"]
    assert policy["unrestricted"] is unrestricted
    assert ("permissions" in policy) is (permissions is not None)


def test_wide_permissions_require_a_person_and_tell_when_nobody_is_asked() -> None:
    agent = {"name": "a", "tools": {"include": ["t"], "permissions": {"allow_shell": True}}}
    tools = {"t": {"description": "x", "implementation": "shop.t"}}
    review = report(agent=agent, tools=tools)["human_review"]
    assert (review["required"], review["missing"]) == (True, True)
    assert [item["code"] for item in review["requirements"]] == ["W_TOOL_SHELL_ALLOWED"]
    flow = {"type": "sequential", "steps": [{"id": "p", "kind": "human", "ref": "boss"}]}
    people = {"humans": {"boss": {}}}
    review = report(agent=agent, tools=tools, workflow=flow, components=people)["human_review"]
    assert (review["required"], review["missing"]) == (True, False)


def test_people_who_are_asked_are_a_requirement_of_their_own() -> None:
    flow = {"type": "sequential", "steps": [{"id": "p", "kind": "human", "ref": "boss"}]}
    review = report(workflow=flow, components={"humans": {"boss": {}}})["human_review"]
    assert [item["code"] for item in review["requirements"]] == ["I_HUMAN_REVIEW_CONFIGURED"]
    assert (review["required"], review["missing"]) == (True, False)


def test_review_by_people_whom_no_step_asks_is_not_called_configured() -> None:
    review = report(components={"humans": {"boss": {}}})["human_review"]
    assert (review["reviewers"], review["requirements"]) == (["boss"], [])
    assert (review["required"], review["missing"]) == (False, False)


def test_a_step_that_is_left_out_asks_nobody() -> None:
    step = {"id": "p", "kind": "human", "ref": "boss", "enabled": False}
    flow = {"type": "sequential", "steps": [{"id": "w", "kind": "agent", "ref": "a"}, step]}
    review = report(workflow=flow, components={"humans": {"boss": {}}})["human_review"]
    assert (review["workflow_steps"], review["required"]) == ([], False)


def test_a_step_that_is_left_out_approves_nothing() -> None:
    agent = {"name": "a", "tools": {"include": ["t"], "permissions": {"allow_shell": True}}}
    tools = {"t": {"description": "x", "implementation": "shop.t"}}
    for enabled, codes in ((True, set()), (False, {"W_HUMAN_APPROVAL_MISSING"})):
        step = {"id": "p", "kind": "human", "ref": "boss", "enabled": enabled}
        flow = {"type": "sequential", "steps": [{"id": "w", "kind": "agent", "ref": "a"}, step]}
        found = report(
            agent=agent, tools=tools, workflow=flow, components={"humans": {"boss": {}}}
        )["diagnostics"]
        assert {item["code"] for item in found} & {"W_HUMAN_APPROVAL_MISSING"} == codes


def test_errors_of_meaning_leave_a_report_valid() -> None:
    data = {"version": "v1", "agent": {"name": "a", "tools": ["nope"]}}
    spec, found = examine(load_object(data), Known())
    shown = policy_report(spec, found)
    assert (shown["valid"], shown["summary"]["diagnostic_count"]) == (True, len(found))
    assert shown["diagnostics"][0]["code"] == "E_UNKNOWN_TOOL"


def test_what_is_no_spec_has_its_findings_only() -> None:
    spec, found = examine(load_object({"version": "v1"}), Known())
    shown = policy_report(spec, found)
    assert shown["valid"] is False
    assert set(shown) == {"valid", "diagnostics"}


@pytest.mark.parametrize(
    ("severities", "clean", "warnings", "errors"),
    [((), True, 0, 0), (("info",), True, 0, 0), (("warning", "error", "error"), False, 1, 2)],
)
def test_lint_counts(severities: tuple[str, ...], clean: bool, warnings: int, errors: int) -> None:
    found = [{"code": "X", "severity": severity, "message": "m"} for severity in severities]
    assert lint(found) == {
        "clean": clean,
        "warning_count": warnings,
        "error_count": errors,
        "diagnostics": found,
    }
