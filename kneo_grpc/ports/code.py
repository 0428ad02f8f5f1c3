"""The users' own code: functions of workflow steps and tools of agents."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

Function = Callable[[str], Any]
"""Takes the step's text; what it returns becomes text. May be a coroutine function."""

ToolHandler = Callable[[dict[str, Any]], Any]
"""Takes the arguments; what it returns becomes text. May be a coroutine function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What a function or tool may ask about the call that it serves.

    idempotency_key: the same in every attempt of this call and in no other; hand it on to systems
    that must not act twice. attempt: from 1 on, higher with each further execution of this call;
    it may skip numbers, so it is no count.
    """

    run_id: str
    step_path: str
    idempotency_key: str
    attempt: int


call_context: ContextVar[CallContext] = ContextVar("kneo_call_context")
"""Set while users' code runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredTool:
    """A tool known by name. parameters: JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    handler: ToolHandler


class CodeNotAllowed(Exception):
    """The implementation's module is not among those that this process may import."""


class CodeMissing(Exception):
    """The implementation does not exist in this process."""


class Code(Protocol):
    """Finds the users' code. Both lookups raise CodeNotAllowed or CodeMissing."""

    def function(self, implementation: str) -> Function:
        """Return the callable at `module.attribute`."""

    def tool(self, name: str, implementation: str | None) -> ToolHandler:
        """Return a tool's handler by its implementation, else by its registered name."""

    def tools(self) -> Mapping[str, RegisteredTool]:
        """Return the tools registered by name."""
