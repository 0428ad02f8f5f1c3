"""The examples that users see are the ones in the package, and they run."""

import importlib
from pathlib import Path

import pytest

import kneo_grpc.examples
from kneo_grpc.domain.plan import ROOT
from kneo_grpc.examples.tools import TOOLS
from kneo_grpc.spec.compile import Compiled, compile_spec
from kneo_grpc.spec.load import load_text
from kneo_grpc.spec.merge import merge

PACKAGED = Path(kneo_grpc.examples.__file__).parent
SHOWN = Path(__file__).parents[3] / "examples"
NAMES = [
    "concurrent_checks",
    "graph_review",
    "group_chat_editors",
    "handoff_desk",
    "human_approval_workflow",
    "nested_report",
    "research_agent",
    "research_agent.dev",
    "research_agent.prod",
    "research_agent.staging",
    "smoke_human_workflow",
    "three_steps",
]


def compiled(name: str) -> Compiled:
    base, _, overlay = name.partition(".")
    document = load_text((PACKAGED / f"{base}.yaml").read_bytes())
    if overlay:
        document = merge(document, load_text((PACKAGED / f"{name}.yaml").read_bytes()))
    return compile_spec(document)


def test_the_shown_examples_are_copies_of_the_packaged_ones() -> None:
    packaged = {path.name: path.read_bytes() for path in PACKAGED.glob("*.yaml")}
    shown = {path.name: path.read_bytes() for path in SHOWN.glob("*.yaml")}
    assert shown == packaged
    assert sorted(packaged) == sorted(f"{name}.yaml" for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_compiles_without_any_finding(name: str) -> None:
    done = compiled(name)
    assert done.diagnostics == ()
    assert ROOT in done.plan.workflows


@pytest.mark.parametrize("name", NAMES)
def test_what_an_example_imports_is_there(name: str) -> None:
    plan = compiled(name).plan
    paths = [part.implementation for part in (*plan.functions.values(), *plan.tools.values())]
    for path in paths:
        module, _, attribute = str(path).rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute))


def test_the_smoke_example_asks_a_person_before_the_agent_answers() -> None:
    plan = compiled("smoke_human_workflow").plan
    assert [(step.id, step.kind) for step in plan.workflows[ROOT].steps] == [
        ("approve", "human"),
        ("respond", "agent"),
    ]
    boss = plan.humans["smoke-reviewer"]
    assert (boss.assignee, boss.timeout_seconds, boss.on_timeout) == (
        "reviewer@example.com",
        3600,
        "escalate",
    )


def test_the_overlays_change_the_research_agent() -> None:
    kinds = {
        name: [step.kind for step in compiled(f"research_agent{name}").plan.workflows[ROOT].steps]
        for name in ("", ".dev", ".staging", ".prod")
    }
    assert kinds[".prod"] == ["agent", "human", "function"]
    assert kinds[""] == kinds[".dev"] == kinds[".staging"] == ["agent", "function"]
    assert compiled("research_agent.dev").plan.agents[ROOT].max_iterations == 2
    assert "temperature" not in compiled("research_agent.prod").plan.agents[ROOT].model_settings


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("web_search", {"query": "owls"}, "Search result for: owls"),
        ("summarize", {"text": "owls"}, "Summary: owls"),
        ("compress_history", {"text": "owls"}, "[compressed] owls"),
        ("publish_report", {"text": "owls"}, "Published: owls"),
    ],
)
def test_a_tool_answers(name: str, arguments: dict[str, str], result: str) -> None:
    description, parameters, path = TOOLS[name]
    module, _, attribute = path.rpartition(".")
    assert getattr(importlib.import_module(module), attribute)(arguments) == result
    assert description
    assert parameters["required"] == list(arguments)


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("check_facts", "Facts checked: owls"),
        ("check_style", "Style checked: owls"),
        ("compress_history", "[compressed] owls"),
        ("draft_report", "Draft report for: owls"),
        ("publish_report", "Published: owls"),
    ],
)
def test_a_function_answers(name: str, result: str) -> None:
    assert getattr(importlib.import_module("kneo_grpc.examples.functions"), name)("owls") == result
