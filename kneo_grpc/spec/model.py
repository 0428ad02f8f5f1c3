"""The shapes of the spec language, version v1. Unknown fields are refused everywhere.

Shorthands are rewritten before validation: a model or strategy as text, a tool list, steps as text.
"""

# ruff: noqa: RUF012 # pydantic gives each object a copy of a default
from typing import Any, Literal

from kneo_grpc.spec.model_agents import (
    Agent,
    AgentDefaults,
    AgentPolicies,
    Guardrail,
    GuardrailConfig,
    Guardrails,
    Memory,
    Model,
    Permissions,
    RuntimePreferences,
    Strategy,
    ToolPolicy,
    ToolSelection,
)
from kneo_grpc.spec.model_components import Function, Human, McpServer, Skill, Tool, ToolMcp
from kneo_grpc.spec.model_workflows import (
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
    Step,
    Workflow,
)
from kneo_grpc.spec.shapes import TIMEOUT_MAX, CallRef, Name, Shape

__all__ = [
    "TIMEOUT_MAX",
    "Agent",
    "AgentDefaults",
    "AgentPolicies",
    "AnyWorkflow",
    "CallRef",
    "Components",
    "ConcurrentWorkflow",
    "Condition",
    "Edge",
    "Function",
    "GraphWorkflow",
    "GroupChatWorkflow",
    "Guardrail",
    "GuardrailConfig",
    "Guardrails",
    "HandoffWorkflow",
    "Human",
    "McpServer",
    "Memory",
    "Model",
    "Node",
    "Permissions",
    "RuntimePreferences",
    "Selector",
    "SequentialWorkflow",
    "Shape",
    "Skill",
    "Spec",
    "Step",
    "Strategy",
    "Tool",
    "ToolMcp",
    "ToolPolicy",
    "ToolSelection",
    "Workflow",
]


class Components(Shape):
    """What workflows and tools refer to, by kind and name. Any order will do."""

    agents: dict[Name, Agent] = {}
    """Agents."""
    workflows: dict[Name, Workflow] = {}
    """Workflows that stand in others, or behind agents."""
    functions: dict[Name, Function] = {}
    """Code that steps run."""
    humans: dict[Name, Human] = {}
    """People that steps ask."""


class Spec(Shape):
    """A whole spec."""

    version: Literal["v1"]
    """Version of the language."""
    metadata: dict[str, Any] | None = None
    """Notes of any kind."""
    agent: Agent
    """The root agent: what a run of the target `agent` executes."""
    workflow: Workflow | None = None
    """The root workflow: what a run executes unless the agent is asked for."""
    components: Components = Components()
    """What workflows and tools refer to."""
    tools: dict[Name, Tool] = {}
    """Tools by name."""
    skills: dict[Name, Skill] = {}
    """Skills by name."""
    mcp_servers: dict[Name, McpServer] = {}
    """MCP servers by name."""
    policies: dict[str, Any] = {}
    """Notes on policies; `project_defaults` comes from the project's configuration. They inform and
    bind nothing.
    """
