"""The compiled spec: frozen, complete, and the only thing that a run executes.

A plan is stored once per digest (SHA-256 over its canonical JSON) and never re-read from a file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kneo_grpc.domain.human import HumanRequestType, OnTimeout

PLAN_FORMAT = 1
"""A release reads plans of its own format and of the one before."""

# Fields that came after the first release of the format are left out of the canonical JSON while
# they have their default: what says nothing new keeps its digest.
_LATER = {"later": True}

ROOT = ""
"""Key of the root agent in Plan.agents and of the root workflow in Plan.workflows."""


SELECTOR = "#selector"
"""Id of the step by which an agent chooses the next participant; no name of a spec has a #."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """One step, node or participant.

    kind: agent, function, workflow, human or guardrail; ref: key into the plan's table of that
    kind.
    on_error: fail, continue, retry or fallback; fallback_ref: id of a step of the same workflow.
    max_retries: extra attempts after the first; timeout_seconds: per attempt, None waits for ever.
    on_reject: continue, fail or goto, of a human step; goto_ref: id of the step to go to.
    fan_out: a graph's node whose matching edges are all followed; join: None, or all or any of the
    branches that arrive.
    """

    id: str
    kind: str
    ref: str
    enabled: bool = True
    on_error: str = "fail"
    fallback_ref: str | None = None
    max_retries: int = 0
    timeout_seconds: float | None = None
    on_reject: str = field(default="continue", metadata=_LATER)
    goto_ref: str | None = field(default=None, metadata=_LATER)
    fan_out: bool = field(default=False, metadata=_LATER)
    join: str | None = field(default=None, metadata=_LATER)


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


@dataclass(frozen=True, kw_only=True)  # no slots: it keeps an index of its steps
class WorkflowPlan:
    """A workflow of one of five kinds.

    steps: the steps of a sequence, the nodes of a graph, the participants of the other kinds, in
    order of declaration.
    selector: sequence, round_robin or agent, and then selector_ref is the agent; stop: ends a group
    chat when it holds.
    merge: all or last of the texts of branches.
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
    selector_ref: str | None = field(default=None, metadata=_LATER)
    stop: ConditionPlan | None = field(default=None, metadata=_LATER)
    merge: str = field(default="all", metadata=_LATER)

    def step(self, step_id: str) -> StepPlan:
        """Return a step by id; the compiler made sure that it is there."""
        return self.by_id[step_id]

    @cached_property
    def by_id(self) -> Mapping[str, StepPlan]:
        """The steps by id."""
        steps = {step.id: step for step in self.steps}
        if self.selector_ref is not None:
            steps[SELECTOR] = StepPlan(id=SELECTOR, kind="agent", ref=self.selector_ref)
        return steps

    @cached_property
    def onward(self) -> Mapping[str, tuple[EdgePlan, ...]]:
        """The edges by the node that they leave, in order of declaration."""
        leaving: dict[str, tuple[EdgePlan, ...]] = {}
        for edge in self.edges:
            leaving[edge.source] = (*leaving.get(edge.source, ()), edge)
        return leaving

    @cached_property
    def asked_variables(self) -> frozenset[str]:
        """The variables that conditions of the workflow look at."""
        found: set[str] = set()
        todo = [edge.condition for edge in self.edges if edge.condition]
        todo += [self.stop] if self.stop else []
        while todo:
            condition = todo.pop()
            todo += condition.conditions
            if condition.type == "variable_equals" and condition.key:
                found.add(condition.key)
        return frozenset(found)

    def leading_to(self, step_id: str) -> frozenset[str]:
        """Return the nodes from which a branch may come to this one, in any number of steps."""
        found = self._leading_to.get(step_id)
        if found is None:
            before: dict[str, set[str]] = {}
            for source, target in self._ways():
                before.setdefault(target, set()).add(source)
            seen: set[str] = set()
            todo = [step_id]
            while todo:
                fresh = before.get(todo.pop(), set()) - seen
                seen |= fresh
                todo += fresh
            found = self._leading_to[step_id] = frozenset(seen)
        return found

    @cached_property
    def _leading_to(self) -> dict[str, frozenset[str]]:
        return {}

    def _ways(self) -> Iterator[tuple[str, str]]:
        """Yield every way from node to node. A fallback works in the place of its node; a
        disabled node is as good as none.
        """
        enabled = {step.id for step in self.steps if step.enabled}
        yield from ((edge.source, edge.target) for edge in self.edges if edge.target in enabled)
        yield from ((step.id, step.goto_ref) for step in self.steps if step.goto_ref)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """A part that does a piece of work. kind: function or agent; ref: key into the plan's table."""

    kind: str
    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What a model sees of the conversation; see the spec language for the policies."""

    policy: str = "full"
    max_messages: int = 20
    preserve_system_messages: bool = True
    summarizer: CallPlan | None = None
    retriever: CallPlan | None = None
    top_k: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailPlan:
    """A check. stage: input, output, tool or workflow; type: keyword, regex, function or agent, and
    for the last two `call` is what checks.
    target: name of the tool or step that is checked, None for all.
    """

    id: str
    stage: str
    type: str
    action: str = "block"
    target: str | None = None
    call: CallPlan | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimePlan:
    """What an agent's runtime may be besides the preferred mode. allowed_modes: None for all."""

    fallback_mode: str | None = None
    allowed_modes: tuple[str, ...] | None = None
    native_provider: str | None = None
    adapter_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """An agent.

    strategy: simple, react or plan-act; max_iterations counts model calls of the loop.
    tools: names the agent may call; tool_permissions: what those may touch, as the spec says it;
    permits_nothing: the spec has permissions, and they name no right.
    as_agent: key of the workflow that answers in its place.
    append_mode: auto, never, user_only or assistant_only: what a turn adds to the history.
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
    stop_on_tool_error: bool = field(default=False, metadata=_LATER)
    parallel_tool_calls: bool = field(default=True, metadata=_LATER)
    runtime: RuntimePlan = field(default=RuntimePlan(), metadata=_LATER)
    memory: MemoryPlan = field(default=MemoryPlan(), metadata=_LATER)
    guardrails: tuple[GuardrailPlan, ...] = field(default=(), metadata=_LATER)
    skills: tuple[str, ...] = field(default=(), metadata=_LATER)
    permits_nothing: bool = field(default=False, metadata=_LATER)
    append_mode: str = field(default="auto", metadata=_LATER)
    as_agent: str | None = field(default=None, metadata=_LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionPlan:
    """A function step's code. implementation: `module.attribute`."""

    name: str
    implementation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPlan:
    """A tool that a model may call. parameters: JSON Schema; implementation: `module.attribute`,
    None when registered by name, or when a server's tool (mcp_server, mcp_name) or an agent does
    the work.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    implementation: str | None = None
    mcp_server: str | None = field(default=None, metadata=_LATER)
    mcp_name: str | None = field(default=None, metadata=_LATER)
    agent: str | None = field(default=None, metadata=_LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServerPlan:
    """How to reach an MCP server. transport: stdio, http or sse; settings: the other fields that
    the spec gives, under the names it gives them.
    """

    name: str
    transport: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillPlan:
    """Instructions that agents share. source: path below the folder of specs, where the text was
    read when the plan was made; text: empty while no agent has the skill.
    """

    name: str
    source: str
    description: str | None = None
    text: str = field(default="", metadata=_LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanPlan:
    """Whom to ask and how. timeout_seconds: None or 0 waits for ever.

    default_on_timeout: the default option is the answer when the time is up.
    response_role: user, assistant or system adds the answer to the messages.
    """

    name: str
    description: str | None = None
    assignee: str | None = None
    timeout_seconds: int | None = None
    on_timeout: OnTimeout = OnTimeout.FAIL
    request_type: HumanRequestType = HumanRequestType.APPROVAL
    options: tuple[str, ...] | None = None
    default_option: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    default_on_timeout: bool = field(default=False, metadata=_LATER)
    response_role: str | None = field(default=None, metadata=_LATER)


@dataclass(frozen=True, kw_only=True)  # no slots: it keeps its implicit workflow
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
    mcp_servers: Mapping[str, McpServerPlan] = field(default_factory=dict, metadata=_LATER)
    skills: Mapping[str, SkillPlan] = field(default_factory=dict, metadata=_LATER)

    def root(self, target: str) -> WorkflowPlan:
        """Return what a run of `target` (workflow or agent) executes; without a root workflow it
        is the root agent.
        """
        if target == "workflow" and ROOT in self.workflows:
            return self.workflows[ROOT]
        return self._agent_alone

    @cached_property
    def _agent_alone(self) -> WorkflowPlan:
        agent = self.agents[ROOT]
        step = StepPlan(id=agent.name, kind="agent", ref=ROOT)
        return WorkflowPlan(name=agent.name, kind="sequential", steps=(step,), implicit=True)
