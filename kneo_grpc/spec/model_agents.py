"""The shapes of agents: model, strategy, tools and their limits, memory, guardrails."""

# ruff: noqa: RUF012 # pydantic gives each object a copy of a default
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from kneo_grpc.spec.shapes import Call, Mode, Name, Ref, Seconds, Shape

GUARDRAIL_TYPES = ("keyword", "regex", "function", "agent")
GUARDRAIL_ACTIONS = {
    "input": ("block", "warn", "retry", "escalate", "human_review"),
    "output": ("block", "warn", "retry", "escalate", "human_review", "revise"),
    "tool": ("block", "warn", "retry", "escalate", "human_review", "revise", "redact"),
    "workflow": ("block", "warn", "retry", "escalate", "human_review", "revise", "redact"),
}
"""What a guardrail can do, by stage."""


class Model(Shape):
    """Which model an agent talks to. A text alone is the name, of the provider `default`."""

    provider: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    """Who serves it, such as `openai`; `dummy` answers without any model."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """The model's name at its provider."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    """How freely it words its answers; the provider decides where it is left out."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    """Longest answer, in tokens."""
    timeout_seconds: Seconds | None = None
    """How long one call may take."""
    token_budget: Annotated[int, Field(gt=0)] | None = None
    """Tokens that the agent may use in one run, questions and answers together."""
    extra: dict[str, Any] = {}
    """More settings, handed to the provider as they are, such as `base_url` and `api_key_ref`."""


class Strategy(Shape):
    """How an agent works. A text alone is the type."""

    type: Literal["simple", "react", "plan-act"]
    """`simple` asks the model once; `react` calls tools until it has an answer; `plan-act` makes a
    plan before it does so.
    """
    max_iterations: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most calls of the model in the loop; 10 where it is left out."""
    stop_on_tool_error: bool | None = None
    """Whether a failing tool ends the run; otherwise the model is told."""
    parallel_tool_calls: bool | None = None
    """Whether tools that the model asks for together run at the same time."""


class RuntimePreferences(Shape):
    """Where an agent runs."""

    preferred_mode: Mode | None = None
    """`bridge` is the platform's own loop and the default; `native` a provider's agent runtime;
    `adapter` a runtime that the operator registered.
    """
    fallback_mode: Mode | None = None
    """Mode to take when the preferred one is not available."""
    allowed_modes: list[Mode] | None = None
    """Modes that may be used at all."""
    native_provider: str | None = None
    """Provider of the native runtime; the model's provider where it is left out."""
    adapter_ref: str | None = None
    """Name of the registered adapter."""
    bridge_provider: str | None = None
    """Kept for specs that name it; has no effect."""


class Permissions(Shape):
    """What an agent's tools may touch. What is not said is not limited here."""

    allow_network: bool | None = None
    """Whether tools may reach other hosts."""
    allow_filesystem_read: bool | None = None
    """Whether tools may read files."""
    allow_filesystem_write: bool | None = None
    """Whether tools may write files."""
    allow_shell: bool | None = None
    """Whether tools may run commands."""
    allowed_domains: list[str] = []
    """Hosts that URLs in arguments may name, with their subdomains; empty: all."""
    denied_domains: list[str] = []
    """Hosts that URLs in arguments must not name, with their subdomains; this list wins."""


class ToolSelection(Shape):
    """Which tools an agent may call. A list alone is `include`."""

    include: list[Ref] = []
    """Tools declared under `tools`, or registered with the platform."""
    exclude: list[Ref] = []
    """Tools that the agent must not have."""
    permissions: Permissions | None = None
    """What the tools may touch."""


class ToolPolicy(Shape):
    """Limits of an agent's tools in fewer words. Where `tools.permissions` says something else, the
    stricter one holds.
    """

    allow: list[Ref] = []
    """Tools that may be called; empty: all that are included."""
    deny: list[Ref] = []
    """Tools that must not be called; the model does not see them. This list wins."""
    network: bool | None = None
    """As `allow_network`."""
    filesystem: bool | None = None
    """As `allow_filesystem_read` and `allow_filesystem_write` together."""
    shell: bool | None = None
    """As `allow_shell`."""


class AgentPolicies(Shape):
    """Policies of one agent."""

    tool: ToolPolicy | None = None
    """Limits of its tools."""


class Memory(Shape):
    """What an agent's model sees of the conversation."""

    model_config = ConfigDict(json_schema_extra={"required": ["policy"]})

    policy: Literal["full", "sliding_window", "summary", "retrieval"] | None = None
    """Required. `full` shows all messages, `sliding_window` the last ones, `summary` a summary and
    the last question, `retrieval` what a retriever finds, before the conversation.
    """
    max_messages: Annotated[int, Field(ge=1, le=10_000)] = 20
    """`sliding_window`: how many messages stay."""
    preserve_system_messages: bool = True
    """`sliding_window`: whether system messages stay beside them."""
    summarizer: Call = None
    """`summary`: who sums up. A text alone is the ref."""
    retriever: Call = None
    """`retrieval`: who searches; it is given the last question. A text alone is the ref."""
    top_k: Annotated[int, Field(ge=1, le=1000)] = 5
    """`retrieval`: how many results are shown."""


class GuardrailConfig(Shape):
    """What a guardrail looks for. Functions and agents may have fields of their own."""

    model_config = ConfigDict(extra="allow")

    keywords: list[Annotated[str, StringConstraints(min_length=1)]] = []
    """`keyword`: texts that must not occur, in whatever case."""
    patterns: list[Annotated[str, StringConstraints(min_length=1, max_length=1024)]] = []
    """`regex`: Python regular expressions that must not be found."""


def _word(*words: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(words)})


class Guardrail(Shape):
    """A check on what an agent is told or says."""

    id: Name
    """Name in traces and errors."""
    type: Annotated[str, _word(*GUARDRAIL_TYPES)]
    """`keyword` and `regex` look for texts; `function` and `agent` ask the one named by `ref`."""
    mode: Annotated[str, _word("middleware")] = "middleware"
    """Only `middleware`."""
    action: Annotated[str, _word(*GUARDRAIL_ACTIONS["tool"])] = "block"
    """What follows from a failed check. All stages: `block`, `warn`, `retry`, `escalate`,
    `human_review`; not on input: `revise`; only for tools and workflows: `redact`.
    """
    ref: str | None = None
    """The function or agent of the components that checks."""
    target: str | None = None
    """Name of the tool or step that is checked; all where it is left out."""
    config: GuardrailConfig = GuardrailConfig()
    """What to look for."""


class Guardrails(Shape):
    """Checks by stage."""

    input: list[Guardrail] = []
    """On what the agent is asked."""
    output: list[Guardrail] = []
    """On what the agent answers."""
    tool: list[Guardrail] = []
    """On the results of its tools."""
    workflow: list[Guardrail] = []
    """On the output of each step of the root workflow; for the root agent only."""


class AgentDefaults(Shape):
    """Settings of an agent's history; other fields have no effect."""

    model_config = ConfigDict(extra="allow")

    append_mode: Literal["auto", "never", "user_only", "assistant_only"] = "auto"
    """What a turn adds to the agent's history: all, nothing, the question or the answer."""


def _model(value: Any) -> Any:
    return {"name": value, "provider": "default"} if isinstance(value, str) else value


def _strategy(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


def _selection(value: Any) -> Any:
    return {"include": value} if isinstance(value, list) else value


_StrategyName = Literal["simple", "react", "plan-act"]


class Agent(Shape):
    """An agent: a model with instructions, tools and limits; or, by `as_agent`, a workflow."""

    name: Name
    """Name in traces; steps may refer to the root agent by it."""
    description: str | None = None
    """What it is for. Read by people, and by a model that has the agent as a tool."""
    system_prompt: str | None = None
    """Its instructions."""
    model: Annotated[
        Model | None, BeforeValidator(_model, json_schema_input_type=Model | str | None)
    ] = None
    """Which model it talks to; the dummy model where it is left out."""
    strategy: Annotated[
        Strategy | None,
        BeforeValidator(_strategy, json_schema_input_type=Strategy | _StrategyName | None),
    ] = None
    """How it works; `simple` where it is left out."""
    runtime_preferences: RuntimePreferences | None = None
    """Where it runs."""
    history: dict[str, Any] | None = None
    """Kept for specs that have it; has no effect."""
    memory: Memory | None = None
    """What its model sees of the conversation; all of it where it is left out."""
    guardrails: Guardrails | None = None
    """Checks on what it is told and says."""
    tools: Annotated[
        ToolSelection | None,
        BeforeValidator(_selection, json_schema_input_type=ToolSelection | list[Ref] | None),
    ] = None
    """Which tools it may call."""
    skills: list[Ref] = []
    """Skills declared under `skills` that it is instructed in."""
    middleware: list[str] = []
    """Kept for specs that have it; has no effect."""
    defaults: AgentDefaults = AgentDefaults()
    """Settings of its history."""
    policies: AgentPolicies | None = None
    """Limits in fewer words."""
    as_agent: Ref | None = None
    """A workflow of the components that answers in its place. Such an agent has no model, strategy,
    runtime_preferences, tools, skills, memory, guardrails, history, middleware or defaults.
    """
