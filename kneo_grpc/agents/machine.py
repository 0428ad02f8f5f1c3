"""The agent machine: (agent, state, event) to (state, commands). Pure, like the workflow engine.

simple: one model call, tool calls ignored. react: model and tools in turn until the model asks for
no tool.
plan-act: a planning call without tools first, then as react.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kneo_grpc.domain.plan import AgentPlan, SkillPlan
from kneo_grpc.domain.run import TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model's wish to call a tool. id: unique within the agent's step."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """role: system, user, assistant or tool."""

    role: str
    content: str
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """Where an agent's step stands. open_calls: tool calls without a result so far, in order.

    usage: the sum over its model calls, None where no model told any.
    """

    messages: tuple[Message, ...]
    planning: bool = False
    plan: str | None = None
    iterations: int = 0
    open_calls: tuple[ToolCall, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    usage: TokenUsage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReplied:
    """What the model answered."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    usage: TokenUsage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturned:
    """What a tool answered; an error is a text as well."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallModel:
    """Ask the model. tools: names it may call; planning: it shall plan and not act."""

    messages: tuple[Message, ...]
    tools: tuple[str, ...]
    planning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTool:
    """Run a tool. index: 0-based number of the call within the agent's step."""

    call: ToolCall
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDone:
    """The agent's answer. stopped: the model still wanted tools when the iterations were used
    up.
    """

    text: str
    metadata: Mapping[str, Any]
    stopped: bool = False


AgentEvent = ModelReplied | ToolReturned
AgentCommand = CallModel | CallTool | AgentDone


def begin(
    agent: AgentPlan,
    text: str,
    skills: Sequence[SkillPlan] = (),
    heard: Sequence[Message] = (),
) -> tuple[AgentState, tuple[AgentCommand, ...]]:
    """Start an agent's step on a user's text. skills: those of the agent, in order; heard: what was
    said before.
    """
    prompt = _prompt(agent, skills) if skills else agent.system_prompt
    system = (Message(role="system", content=prompt),) if prompt else ()
    planning = agent.strategy == "plan-act"
    messages = (*system, *heard, Message(role="user", content=text))
    state = AgentState(messages=messages, planning=planning)
    return state, (_ask(agent, state),)


def advance(
    agent: AgentPlan, state: AgentState, event: AgentEvent
) -> tuple[AgentState, tuple[AgentCommand, ...]]:
    """Return what follows from a reply."""
    if isinstance(event, ToolReturned):
        return _tool_returned(agent, state, event)
    state = replace(state, iterations=state.iterations + 1)
    if event.usage is not None:
        state = replace(state, usage=(state.usage or TokenUsage()) + event.usage)
    if state.planning:
        said = Message(role="assistant", content=event.text)
        state = replace(state, planning=False, plan=event.text, messages=(*state.messages, said))
        return state, (_ask(agent, state),)
    if agent.strategy == "simple" or not event.tool_calls:
        return state, (_done(agent, state, event.text),)
    limit = agent.max_iterations + (1 if state.plan is not None else 0)
    if state.iterations >= limit:
        return state, (_done(agent, state, event.text, stopped=True),)
    asked = Message(role="assistant", content=event.text, tool_calls=event.tool_calls)
    before = sum(len(message.tool_calls) for message in state.messages)
    state = replace(
        state, messages=(*state.messages, asked), open_calls=event.tool_calls, results={}
    )
    calls = tuple(
        CallTool(call=call, index=before + number) for number, call in enumerate(event.tool_calls)
    )
    return state, calls


def _prompt(agent: AgentPlan, skills: Sequence[SkillPlan]) -> str:
    """Return the system prompt with the instructions of the skills behind it."""
    parts = [agent.system_prompt] if agent.system_prompt else []
    for skill in skills:
        about = f"\n{skill.description}" if skill.description else ""
        parts.append(f"## Skill: {skill.name}{about}\n\n{skill.text}")
    return "\n\n".join(parts)


def _tool_returned(
    agent: AgentPlan, state: AgentState, event: ToolReturned
) -> tuple[AgentState, tuple[AgentCommand, ...]]:
    results = {**state.results, event.call_id: event.text}
    if any(call.id not in results for call in state.open_calls):
        return replace(state, results=results), ()
    answers = tuple(
        Message(role="tool", name=call.name, tool_call_id=call.id, content=results[call.id])
        for call in state.open_calls
    )
    state = replace(state, messages=(*state.messages, *answers), open_calls=(), results={})
    return state, (_ask(agent, state),)


def _ask(agent: AgentPlan, state: AgentState) -> CallModel:
    tools = () if state.planning or agent.strategy == "simple" else agent.tools
    return CallModel(messages=state.messages, tools=tools, planning=state.planning)


def _done(agent: AgentPlan, state: AgentState, text: str, *, stopped: bool = False) -> AgentDone:
    metadata: dict[str, Any] = {
        "runtime_mode": agent.runtime_mode,
        "runtime_name": f"{agent.strategy}@{agent.provider}",
        "agent_name": agent.name,
        "iterations": state.iterations,
    }
    if state.plan is not None:
        metadata["plan"] = state.plan
    if state.usage is not None:
        metadata["usage"] = state.usage.facts()
    if stopped:
        metadata["stopped_by_max_iterations"] = True
    return AgentDone(text=text, metadata=metadata, stopped=stopped)
