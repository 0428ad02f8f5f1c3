"""The tools, functions and models that an embedding program brings along."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.integrations.callables import make_function, make_tool
from kneo_grpc.integrations.code import CodeRegistry
from kneo_grpc.integrations.models.dummy import DummyModels
from kneo_grpc.ports.code import Function, RegisteredTool
from kneo_grpc.ports.models import ModelReply, ModelRequest, Models

F = TypeVar("F", bound=Callable[..., Any])


class OwnCode:
    """What was registered, before a platform is open and while it is."""

    def __init__(
        self,
        tools: Iterable[Callable[..., Any] | RegisteredTool],
        functions: Mapping[str, Callable[..., Any]],
    ) -> None:
        self._tools: dict[str, RegisteredTool] = {}
        self._functions: dict[str, Function] = {}
        self._registry: CodeRegistry | None = None
        for tool in tools:
            self.add_tool(make_tool(tool))
        for name, function in functions.items():
            self.add_function(*make_function(function, name))

    def add_tool(self, tool: RegisteredTool) -> None:
        """Raises InvalidInput on a second tool of one name."""
        if tool.name in self._tools:
            raise InvalidInput(f"there is a tool {tool.name} already")
        self._tools[tool.name] = tool
        if self._registry is not None:
            self._registry.register_tool(tool)

    def add_function(self, name: str, function: Function) -> None:
        """Raises InvalidInput on a second function of one name."""
        if name in self._functions:
            raise InvalidInput(f"there is a function {name} already")
        self._functions[name] = function
        if self._registry is not None:
            self._registry.register_function(name, function)

    def attach(self, registry: CodeRegistry) -> None:
        """Register everything, and what comes later, in a platform's registry."""
        self._registry = registry
        for tool in self._tools.values():
            registry.register_tool(tool)
        for name, function in self._functions.items():
            registry.register_function(name, function)


class TakesCode:
    """Registration, as both platforms offer it; before they are open and while they are."""

    _code: OwnCode

    def register_tool(
        self,
        handler: Callable[..., Any] | RegisteredTool,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Let agents call a function, or a coroutine function, as a tool.

        Left out, the name is the function's, the description its docstring's first paragraph, and
        the parameters (JSON Schema of an object) come from its annotations. Given parameters, a
        function with one parameter that is none of the properties gets all arguments as one dict.
        A shipped example tool of the same name gives way. Raises InvalidInput.
        """
        tool = make_tool(handler, name=name, description=description, parameters=parameters)
        self._code.add_tool(tool)

    @overload
    def tool(self, handler: F, /) -> F: ...
    @overload
    def tool(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Callable[[F], F]: ...

    def tool(
        self,
        handler: Any = None,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Any:
        """As register_tool, as a decorator: `@platform.tool` or `@platform.tool(name=…)`."""

        def register(decorated: F) -> F:
            self.register_tool(decorated, name=name, description=description, parameters=parameters)
            return decorated

        return register if handler is None else register(handler)

    def register_function(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        """Let steps call a function, or a coroutine function, that takes and returns a text.

        name: what the spec says as `implementation`, a dotted name; `module.function` when left
        out. Raises InvalidInput.
        """
        self._code.add_function(*make_function(function, name))

    @overload
    def function(self, function: F, /) -> F: ...
    @overload
    def function(self, *, name: str | None = None) -> Callable[[F], F]: ...

    def function(self, function: Any = None, *, name: str | None = None) -> Any:
        """As register_function, as a decorator: `@platform.function` or with `(name=…)`."""

        def register(decorated: F) -> F:
            self.register_function(decorated, name=name)
            return decorated

        return register if function is None else register(function)


class OwnModels:
    """A program's models beside the shipped ones; where both know a provider, the program's."""

    def __init__(self, own: Models) -> None:
        self._own = own
        self._shipped = DummyModels()

    def names(self) -> tuple[str, ...]:
        """See Models."""
        return tuple(sorted({*self._own.names(), *self._shipped.names()}))

    async def complete(self, request: ModelRequest) -> ModelReply:
        """See Models."""
        own = request.provider in self._own.names()
        return await (self._own if own else self._shipped).complete(request)
