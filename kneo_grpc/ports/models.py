"""Language models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kneo_grpc.domain.plan import ToolPlan
from kneo_grpc.domain.run import TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMessage:
    """role: system, user, assistant or tool."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One completion. tools: those the model may call; planning: it shall plan and not act."""

    provider: str
    model: str
    settings: Mapping[str, Any]
    messages: Sequence[ModelMessage]
    tools: Sequence[ToolPlan]
    planning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelToolCall:
    """A model's wish to call a tool."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReply:
    """A completion. usage: what it took, where the model tells."""

    text: str
    tool_calls: tuple[ModelToolCall, ...] = ()
    usage: TokenUsage | None = None


class Models(Protocol):
    """The models of all providers that this process knows."""

    def names(self) -> tuple[str, ...]:
        """Return the providers, sorted."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Ask a model. Raises KeyError for a provider that is not known."""
