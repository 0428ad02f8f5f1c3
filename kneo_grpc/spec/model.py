"""The shapes of the spec language, version v1. Unknown fields are refused everywhere.

Shorthands are rewritten before validation: a model or strategy as text, a tool list, steps as text.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

TIMEOUT_MAX = 10 * 366 * 24 * 3600
"""Ten years, in seconds."""

# Names become parts of step paths (`a#1/b#2`), so `/` and `#` are not for them.
Name = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=128,
        pattern=r"^[^\s/#\x00-\x1f\x7f](?:[^/#\x00-\x1f\x7f]*[^\s/#\x00-\x1f\x7f])?$",
    ),
]
Ref = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Implementation = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Seconds = Annotated[int, Field(gt=0, le=TIMEOUT_MAX)]
Mode = Literal["bridge", "native", "adapter"]


def _inside(path: str) -> str:
    if path.startswith("~") or ".." in re.split(r"[/\\]", path):
        raise PydanticCustomError("path_outside", "must not start with `~` or hold `..`")
    return path


InsidePath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_inside)]


class Shape(BaseModel):
    """Base of all shapes: frozen, no unknown fields, no conversion between types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Model(Shape):
    """Which model an agent talks to."""

    provider: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    timeout_seconds: Seconds | None = None
    token_budget: Annotated[int, Field(gt=0)] | None = None
    extra: dict[str, Any] = {}


class Strategy(Shape):
    """How an agent thinks."""

    type: Literal["simple", "react", "plan-act"]
    max_iterations: Annotated[int, Field(ge=1, le=1000)] | None = None
    stop_on_tool_error: bool | None = None
    parallel_tool_calls: bool | None = None


class RuntimePreferences(Shape):
    """Where an agent runs."""

    preferred_mode: Mode | None = None
    fallback_mode: Mode | None = None
    allowed_modes: list[Mode] | None = None
    native_provider: str | None = None
    adapter_ref: str | None = None
    bridge_provider: str | None = None


class Permissions(Shape):
    """What an agent's tools may touch."""

    allow_network: bool | None = None
    allow_filesystem_read: bool | None = None
    allow_filesystem_write: bool | None = None
    allow_shell: bool | None = None
    allowed_domains: list[str] = []
    denied_domains: list[str] = []


class ToolSelection(Shape):
    """Which tools an agent may call."""

    include: list[Ref] = []
    exclude: list[Ref] = []
    permissions: Permissions | None = None


class ToolPolicy(Shape):
    """The same limits in the words of `agent.policies.tool`."""

    allow: list[Ref] = []
    deny: list[Ref] = []
    network: bool | None = None
    filesystem: bool | None = None
    shell: bool | None = None


class AgentPolicies(Shape):
    """Policies of one agent."""

    tool: ToolPolicy | None = None


class Guardrail(Shape):
    """A check on what goes in or out."""

    id: Name
    type: str
    mode: str = "middleware"
    action: str = "block"
    ref: str | None = None
    target: str | None = None
    config: dict[str, Any] = {}


class Guardrails(Shape):
    """Checks by stage."""

    input: list[Guardrail] = []
    output: list[Guardrail] = []
    tool: list[Guardrail] = []
    workflow: list[Guardrail] = []


def _model(value: Any) -> Any:
    return {"name": value, "provider": "default"} if isinstance(value, str) else value


def _strategy(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


def _selection(value: Any) -> Any:
    return {"include": value} if isinstance(value, list) else value


class Agent(Shape):
    """An agent."""

    name: Name
    description: str | None = None
    system_prompt: str | None = None
    model: Annotated[Model | None, BeforeValidator(_model)] = None
    strategy: Annotated[Strategy | None, BeforeValidator(_strategy)] = None
    runtime_preferences: RuntimePreferences | None = None
    history: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    guardrails: Guardrails | None = None
    tools: Annotated[ToolSelection | None, BeforeValidator(_selection)] = None
    skills: list[Ref] = []
    middleware: list[str] = []
    defaults: dict[str, Any] = {}
    policies: AgentPolicies | None = None
    as_agent: Ref | None = None


class ToolMcp(Shape):
    """A tool of an MCP server. name: there; default the tool's own."""

    server: str | None = None
    name: str | None = None


class Tool(Shape):
    """A tool; one of implementation, mcp and agent backs it."""

    description: str
    parameters: dict[str, Any] = {}
    implementation: Implementation | None = None
    mcp: ToolMcp | None = None
    agent: Ref | None = None


class McpServer(Shape):
    """How to reach an MCP server; times in seconds."""

    transport: Literal["stdio", "http", "sse"]
    command: str | None = None
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: InsidePath | None = None
    url: str | None = None
    sse_url: str | None = None
    message_url: str | None = None
    headers: dict[str, str] = {}
    timeout: Annotated[float, Field(gt=0)] | None = None
    max_response_bytes: Annotated[int, Field(gt=0)] | None = None
    sse_read_timeout: Annotated[float, Field(gt=0)] | None = None
    verify: bool = True
    ca_bundle: InsidePath | None = None
    client_cert: InsidePath | None = None
    client_key: InsidePath | None = None
    client_key_ref: str | None = None


class Skill(Shape):
    """Instructions from a file or directory."""

    source: InsidePath
    description: str | None = None


class Function(Shape):
    """A function that takes a text and returns one."""

    implementation: Implementation
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


class Human(Shape):
    """Somebody to ask. timeout_seconds: 0 waits for ever."""

    description: str | None = None
    assignee: str | None = None
    timeout_seconds: Annotated[int, Field(ge=0, le=TIMEOUT_MAX)] | None = None
    on_timeout: Literal["fail", "continue", "escalate"] = "fail"
    request_type: Literal["approval", "review", "correction", "selection", "freeform"] = "approval"
    options: list[str] | None = None
    default_option: str | None = None
    context: dict[str, Any] | None = None
    response_role: Literal["user", "assistant", "system"] | None = None


class Step(Shape):
    """One step, node or participant."""

    id: Name
    kind: Literal["agent", "function", "workflow", "human", "guardrail"]
    ref: Ref
    enabled: bool = True
    on_error: Literal["fail", "continue", "retry", "fallback"] = "fail"
    fallback_ref: Ref | None = None
    max_retries: Annotated[int, Field(ge=0, le=1000)] = 0
    timeout_seconds: Annotated[float, Field(gt=0, le=TIMEOUT_MAX)] | None = None


class Condition(Shape):
    """A test on an edge. condition: what `not` turns round."""

    type: Literal[
        "always",
        "never",
        "output_contains",
        "output_equals",
        "metadata_equals",
        "variable_equals",
        "status_is",
        "all_of",
        "any_of",
        "not",
    ]
    key: str | None = None
    value: Any = None
    case_sensitive: bool = False
    conditions: "list[Condition]" = []
    condition: "Condition | None" = None


class Edge(Shape):
    """A way from one node to another."""

    source: Ref = Field(alias="from")
    to: Ref
    condition: Condition | None = None
    label: str | None = None


def _steps(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [
        {"id": item, "kind": "agent", "ref": item} if isinstance(item, str) else item
        for item in value
    ]


Steps = Annotated[list[Step], Field(min_length=1), BeforeValidator(_steps)]


class _Workflow(Shape):
    name: Name | None = None
    description: str | None = None


class SequentialWorkflow(_Workflow):
    """Steps one after the other."""

    type: Literal["sequential"]
    steps: Steps


class GraphWorkflow(_Workflow):
    """Nodes joined by edges."""

    type: Literal["graph"]
    start: Ref
    nodes: Annotated[dict[Name, Step], Field(min_length=1)]
    edges: list[Edge]
    max_steps: int = 50


class ConcurrentWorkflow(_Workflow):
    """Participants side by side."""

    type: Literal["concurrent"]
    participants: Steps
    max_iterations: Annotated[int, Field(ge=1)] | None = None


class Selector(Shape):
    """Who comes next in a handoff."""

    type: Literal["sequence", "round_robin"] = "sequence"
    sequence: list[Ref] = []


class HandoffWorkflow(_Workflow):
    """Participants that hand over to each other."""

    type: Literal["handoff"]
    participants: Steps
    selector: Selector = Selector()
    max_iterations: Annotated[int, Field(ge=1)] | None = None


class GroupChatWorkflow(_Workflow):
    """Participants that talk in rounds."""

    type: Literal["group-chat"]
    participants: Steps
    rounds: int = 1
    max_iterations: Annotated[int, Field(ge=1)] | None = None


AnyWorkflow = (
    SequentialWorkflow | GraphWorkflow | ConcurrentWorkflow | HandoffWorkflow | GroupChatWorkflow
)


def _workflow(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") == "group_chat":
        return {**value, "type": "group-chat"}
    return value


Workflow = Annotated[AnyWorkflow, Field(discriminator="type"), BeforeValidator(_workflow)]


class Components(Shape):
    """What workflows refer to, by kind and name."""

    agents: dict[Name, Agent] = {}
    workflows: dict[Name, Workflow] = {}
    functions: dict[Name, Function] = {}
    humans: dict[Name, Human] = {}


class Spec(Shape):
    """A whole spec."""

    version: Literal["v1"]
    metadata: dict[str, Any] | None = None
    agent: Agent
    workflow: Workflow | None = None
    components: Components = Components()
    tools: dict[Name, Tool] = {}
    skills: dict[Name, Skill] = {}
    mcp_servers: dict[Name, McpServer] = {}
    policies: dict[str, Any] = {}
