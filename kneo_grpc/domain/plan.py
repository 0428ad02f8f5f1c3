"""The compiled spec: frozen, complete, and the only thing that a run executes.

A plan is stored once per digest (SHA-256 over its canonical JSON) and never re-read from a file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kneo_grpc.domain.data import from_data, to_data
from kneo_grpc.domain.human import HumanRequestType, OnTimeout
from kneo_grpc.domain.ids import PlanDigest

PLAN_FORMAT = 1
"""A release reads plans of its own format and of the one before."""

ROOT = ""
"""Key of the root agent in Plan.agents and of the root workflow in Plan.workflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """One step, node or participant.

    kind: agent, function, workflow, human or guardrail; ref: key into the plan's table of that
    kind.
    on_error: fail, continue, retry or fallback; fallback_ref: id of a step of the same workflow.
    max_retries: extra attempts after the first; timeout_seconds: per attempt, None waits for ever.
    """

    id: str
    kind: str
    ref: str
    enabled: bool = True
    on_error: str = "fail"
    fallback_ref: str | None = None
    max_retries: int = 0
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionPlan:
    """A test on an edge; see the spec language for its types."""

    type: str
    key: str | None = None
    value: Any = None
    case_sensitive: bool = False
    conditions: tuple["ConditionPlan", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePlan:
    """A way from one node to another; no condition always matches."""

    source: str
    target: str
    condition: ConditionPlan | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPlan:
    """A workflow of one of five kinds.

    steps: the steps of a sequence, the nodes of a graph, the participants of the other kinds, in
    order of declaration.
    implicit: made by the compiler around a single agent; it emits no workflow events.
    """

    name: str
    kind: str
    description: str | None = None
    steps: tuple[StepPlan, ...]
    start: str | None = None
    edges: tuple[EdgePlan, ...] = ()
    max_steps: int = 50
    max_iterations: int | None = None
    selector: str = "sequence"
    selector_sequence: tuple[str, ...] = ()
    rounds: int = 1
    implicit: bool = False

    def step(self, step_id: str) -> StepPlan:
        """Return a step by id; the compiler made sure that it is there."""
        return next(step for step in self.steps if step.id == step_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """An agent.

    strategy: simple, react or plan-act; max_iterations counts model calls of the loop.
    tools: names the agent may call; tool_permissions: what those may touch, as the spec says it.
    """

    name: str
    description: str | None = None
    system_prompt: str | None = None
    provider: str = "dummy"
    model: str = "dummy"
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    runtime_mode: str = "bridge"
    strategy: str = "simple"
    max_iterations: int = 10
    tools: tuple[str, ...] = ()
    tool_permissions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionPlan:
    """A function step's code. implementation: `module.attribute`."""

    name: str
    implementation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPlan:
    """A tool that a model may call. parameters: JSON Schema; implementation: `module.attribute`,
    None when registered by name.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    implementation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanPlan:
    """Whom to ask and how. timeout_seconds: None or 0 waits for ever."""

    name: str
    description: str | None = None
    assignee: str | None = None
    timeout_seconds: int | None = None
    on_timeout: OnTimeout = OnTimeout.FAIL
    request_type: HumanRequestType = HumanRequestType.APPROVAL
    options: tuple[str, ...] | None = None
    default_option: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run needs to know of its spec. agents[ROOT] always exists, workflows[ROOT]
    where the spec has one.
    """

    format: int = PLAN_FORMAT
    agents: Mapping[str, AgentPlan]
    workflows: Mapping[str, WorkflowPlan] = field(default_factory=dict)
    functions: Mapping[str, FunctionPlan] = field(default_factory=dict)
    humans: Mapping[str, HumanPlan] = field(default_factory=dict)
    tools: Mapping[str, ToolPlan] = field(default_factory=dict)

    def root(self, target: str) -> WorkflowPlan:
        """Return what a run of `target` (workflow or agent) executes; without a root workflow it
        is the root agent.
        """
        if target == "workflow" and ROOT in self.workflows:
            return self.workflows[ROOT]
        agent = self.agents[ROOT]
        step = StepPlan(id=agent.name, kind="agent", ref=ROOT)
        return WorkflowPlan(name=agent.name, kind="sequential", steps=(step,), implicit=True)


def encode_plan(plan: Plan) -> tuple[PlanDigest, bytes]:
    """Return the plan's digest (64 hex digits) and its canonical JSON in UTF-8."""
    text = json.dumps(
        to_data(plan), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    content = text.encode()
    return PlanDigest(hashlib.sha256(content).hexdigest()), content


def decode_plan(content: bytes) -> Plan:
    """Read what encode_plan wrote, of this format or of the one before. Raises ValueError on any
    other.
    """
    data = json.loads(content)
    if data.get("format") != PLAN_FORMAT:
        found = data.get("format")
        raise ValueError(f"plan format {found} is unknown; this release reads {PLAN_FORMAT}")
    return from_data(Plan, data)
