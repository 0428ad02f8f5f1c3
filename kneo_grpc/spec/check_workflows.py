"""Checks workflows: ids, references, sequences and orchestration."""

from collections.abc import Collection, Iterable

from kneo_grpc.spec.check_fallbacks import check_fallback_cycles, check_goto, fallback
from kneo_grpc.spec.check_graphs import check_condition, check_graph
from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import (
    AnyWorkflow,
    GraphWorkflow,
    GroupChatWorkflow,
    HandoffWorkflow,
    Selector,
    SequentialWorkflow,
    Spec,
    Step,
)
from kneo_grpc.spec.names import steps, workflows


def check_workflows(spec: Spec, findings: Findings) -> None:
    """Note what is wrong with the root workflow and the component workflows."""
    tables = _tables(spec)
    for path, workflow in workflows(spec):
        placed = steps(path, workflow)
        for step_path, step in placed:
            _check_ref(step_path, step, path, tables, findings)
        if isinstance(workflow, SequentialWorkflow):
            _check_sequence(placed, findings)
        elif isinstance(workflow, GraphWorkflow):
            check_graph(path, workflow, findings)
        else:
            _check_participants(path, workflow, placed, spec, findings)


def _tables(spec: Spec) -> dict[str, Collection[str]]:
    """Return the names that a step of each kind may refer to."""
    parts = spec.components
    # The root agent answers to its name as well.
    agents = {**parts.agents, spec.agent.name: spec.agent}
    return {
        "agent": agents,
        "guardrail": agents,
        "function": parts.functions,
        "workflow": parts.workflows,
        "human": parts.humans,
    }


def _check_ref(
    path: Path, step: Step, owner: Path, tables: dict[str, Collection[str]], findings: Findings
) -> None:
    table = tables[step.kind]
    if step.ref not in table:
        noun = "agent" if step.kind == "guardrail" else step.kind
        place = f"components.{noun}s"
        findings.error(
            f"E_STEP_{step.kind.upper()}_REF",
            (*path, "ref"),
            f"step {shown(step.id)} refers to the {noun} {shown(step.ref)}, "
            f"which {place} does not have",
            Near(step.ref, table, f"declare it under {place}"),
        )
    elif step.kind == "workflow" and owner == ("components", "workflows", step.ref):
        findings.error(
            "E_STEP_WORKFLOW_SELF_REF",
            (*path, "ref"),
            f"the workflow {shown(step.ref)} refers to itself",
        )


def _check_duplicates(
    placed: Iterable[tuple[Path, Step]], code: str, noun: str, findings: Findings
) -> None:
    seen: set[str] = set()
    for path, step in placed:
        if step.id in seen:
            findings.error(
                code, (*path, "id"), f"another {noun} has the id {shown(step.id)} already"
            )
        seen.add(step.id)


def _check_sequence(placed: list[tuple[Path, Step]], findings: Findings) -> None:
    _check_duplicates(placed, "E_STEP_DUPLICATE_ID", "step", findings)
    by_id = {step.id: step for _, step in placed}
    for path, step in placed:
        check_goto(path, step, by_id, "step", findings)
        if step.on_error != "fallback":
            continue
        target = fallback(path, step, by_id, "E_STEP_FALLBACK", "step", findings)
        if target is None:
            continue
        if target.kind == "human":
            text = "a person cannot be a fallback"
            findings.error("E_STEP_FALLBACK_HUMAN", (*path, "fallback_ref"), text)
        elif not target.enabled:
            text = f"the fallback {shown(target.id)} is disabled"
            findings.warning("W_STEP_FALLBACK_DISABLED", (*path, "fallback_ref"), text)
    check_fallback_cycles(placed, by_id, findings)


def _check_participants(
    path: Path,
    workflow: AnyWorkflow,
    placed: list[tuple[Path, Step]],
    spec: Spec,
    findings: Findings,
) -> None:
    _check_duplicates(placed, "E_PARTICIPANT_DUPLICATE_ID", "participant", findings)
    for step_path, step in placed:
        if step.on_error == "fallback" or step.fallback_ref is not None:
            field = "fallback_ref" if step.fallback_ref is not None else "on_error"
            text = "participants have no fallback"
            findings.error("E_PARTICIPANT_FALLBACK_UNSUPPORTED", (*step_path, field), text)
        if step.on_reject == "goto" or step.goto_ref is not None:
            field = "goto_ref" if step.goto_ref is not None else "on_reject"
            text = "participants have no place to go to"
            findings.error("E_PARTICIPANT_GOTO_UNSUPPORTED", (*step_path, field), text)
    if isinstance(workflow, GroupChatWorkflow):
        if workflow.rounds < 1:
            findings.error("E_GROUP_CHAT_ROUNDS", (*path, "rounds"), "rounds must be at least 1")
        if workflow.stop_when is not None:
            check_condition((*path, "stop_when"), workflow.stop_when, findings)
    if isinstance(workflow, (HandoffWorkflow, GroupChatWorkflow)):
        ids = {step.id: None for _, step in placed}
        _check_selector((*path, "selector"), workflow.selector, ids, spec, findings)


def _check_selector(
    path: Path, selector: Selector, ids: Collection[str], spec: Spec, findings: Findings
) -> None:
    for index, name in enumerate(selector.sequence):
        if name not in ids:
            findings.error(
                "E_HANDOFF_SELECTOR_REF",
                (*path, "sequence", index),
                f"{shown(name)} is not a participant",
                Near(name, ids),
            )
    here = (*path, "ref")
    if selector.type != "agent":
        if selector.ref is not None:
            text = "ref counts only with `type: agent`"
            findings.warning("W_FIELD_IGNORED", here, text)
    elif selector.ref is None:
        text = "the next one is chosen by an agent, and none is named"
        findings.error("E_SELECTOR_AGENT_REF", here, text, "name one of components.agents")
    elif selector.ref not in spec.components.agents:
        text = f"components.agents does not have {shown(selector.ref)}"
        hint = Near(selector.ref, spec.components.agents)
        findings.error("E_SELECTOR_AGENT_REF", here, text, hint)
