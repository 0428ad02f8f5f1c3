"""Compiles workflows: steps, edges and conditions. References stay names, so any order will do."""

from typing import Any

from kneo_grpc.domain.plan import ROOT, ConditionPlan, EdgePlan, StepPlan, WorkflowPlan
from kneo_grpc.spec.model import (
    AnyWorkflow,
    ConcurrentWorkflow,
    Condition,
    Edge,
    GraphWorkflow,
    GroupChatWorkflow,
    HandoffWorkflow,
    Node,
    Selector,
    SequentialWorkflow,
    Spec,
    Step,
)
from kneo_grpc.spec.names import steps


def workflow_plan(workflow: AnyWorkflow, spec: Spec) -> WorkflowPlan:
    """Compile a workflow in which validation found no error."""
    common: dict[str, Any] = {
        "name": workflow.name or f"{workflow.type}-workflow",
        "kind": workflow.type,
        "description": workflow.description,
        "steps": tuple(_step(path[-1], step, spec) for path, step in steps((), workflow)),
    }
    if isinstance(workflow, SequentialWorkflow):
        return WorkflowPlan(**common)
    if isinstance(workflow, GraphWorkflow):
        return WorkflowPlan(
            **common,
            start=workflow.start,
            edges=tuple(_edge(edge) for edge in workflow.edges),
            max_steps=workflow.max_steps,
            merge=workflow.merge,
        )
    common["max_iterations"] = workflow.max_iterations
    if isinstance(workflow, ConcurrentWorkflow):
        return WorkflowPlan(**common, merge=workflow.merge)
    common |= _selector(workflow.selector)
    if isinstance(workflow, HandoffWorkflow):
        return WorkflowPlan(**common)
    return _group_chat(workflow, common)


def _group_chat(chat: GroupChatWorkflow, common: dict[str, Any]) -> WorkflowPlan:
    stop = _condition(chat.stop_when) if chat.stop_when else None
    return WorkflowPlan(**common, rounds=chat.rounds, stop=stop)


def _selector(selector: Selector) -> dict[str, Any]:
    return {
        "selector": selector.type,
        "selector_sequence": tuple(selector.sequence),
        "selector_ref": selector.ref if selector.type == "agent" else None,
    }


def _step(key: str | int, step: Step, spec: Spec) -> StepPlan:
    """Compile a step. key: of a graph node, it counts rather than the id."""
    ref = step.ref
    if step.kind in ("agent", "guardrail") and ref not in spec.components.agents:
        ref = ROOT  # validation made sure that it is the root agent's name
    on_reject = "continue"
    if step.kind == "human":
        on_reject = step.on_reject or spec.components.humans[ref].on_reject
    node = step if isinstance(step, Node) else None
    return StepPlan(
        id=key if isinstance(key, str) else step.id,
        kind=step.kind,
        ref=ref,
        enabled=step.enabled,
        on_error=step.on_error,
        fallback_ref=step.fallback_ref,
        max_retries=step.max_retries,
        timeout_seconds=step.timeout_seconds,
        on_reject=on_reject,
        goto_ref=step.goto_ref if on_reject == "goto" else None,
        fan_out=node.fan_out if node else False,
        join=node.join if node else None,
    )


def _edge(edge: Edge) -> EdgePlan:
    condition = _condition(edge.condition) if edge.condition else None
    return EdgePlan(source=edge.source, target=edge.to, condition=condition, label=edge.label)


def _condition(condition: Condition) -> ConditionPlan:
    """Compile a condition; children that its type does not look at are left out."""
    inner: list[Condition] = []
    if condition.type in ("all_of", "any_of"):
        inner = condition.conditions
    elif condition.type == "not" and condition.condition is not None:
        inner = [condition.condition]
    return ConditionPlan(
        type=condition.type,
        key=condition.key,
        value=condition.value,
        case_sensitive=condition.case_sensitive,
        conditions=tuple(_condition(child) for child in inner),
    )
