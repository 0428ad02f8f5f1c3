"""Makes tools and functions of Python callables, and refuses what could not be called later."""

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_origin

from pydantic import TypeAdapter, ValidationError, validate_call
from pydantic.errors import PydanticUserError

from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.ports.code import Function, RegisteredTool, ToolHandler

_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")


def make_tool(
    handler: Callable[..., Any] | RegisteredTool,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> RegisteredTool:
    """Return a tool whose definition is what is given, else the callable's own.

    The name is the callable's, the description the first paragraph of its docstring. Without
    parameters the callable gets its arguments by name, checked against its annotations, from which
    the JSON Schema comes. With parameters (JSON Schema of an object) they are passed on as the
    model gave them: by name, or all of them as one dict where the callable's only parameter is none
    of the properties and is not annotated as something else. Raises InvalidInput.
    """
    if isinstance(handler, RegisteredTool):
        _check_name(handler.name)
        _check_schema(handler.name, handler.parameters)
        return handler
    _check_callable("tool", handler)
    own = getattr(handler, "__name__", type(handler).__name__)
    name = own if name is None else name
    _check_name(name)
    if description is None:
        description = (inspect.getdoc(handler) or "").partition("\n\n")[0].replace("\n", " ")
    if not description.strip():
        raise InvalidInput(
            f"the tool {name} needs a description for its model: a docstring, or description="
        )
    if parameters is None:
        schema = _derived(name, handler)
        called = _checking(handler)
    else:
        schema = _check_schema(name, parameters)
        called = _passing(name, handler, schema)
    return RegisteredTool(name=name, description=description, parameters=schema, handler=called)


def make_function(function: Callable[..., Any], name: str | None = None) -> tuple[str, Function]:
    """Return a name that `implementation` takes, and what is called under it.

    The name is `module.qualified_name` where none is given. Raises InvalidInput.
    """
    _check_callable("function", function)
    if name is None:
        own = getattr(function, "__qualname__", type(function).__qualname__)
        name = f"{getattr(function, '__module__', '')}.{own}"
    if not _DOTTED.fullmatch(name):
        raise InvalidInput(
            f"the function needs a dotted name such as shop.draft_report, not {name!r}"
        )
    if not _takes(function, ""):
        raise InvalidInput(f"the function {name} must take one argument, the step's text")
    return name, _settled(function, function)


def _check_callable(noun: str, thing: object) -> None:
    if not callable(thing):
        raise InvalidInput(f"a {noun} must be callable, not of type {type(thing).__name__}")


def _check_name(name: str) -> None:
    if not _TOOL_NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name for a tool: letters, digits and _ . - are taken; give name="
        )


def _check_schema(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema as plain data."""
    fault = f"the parameters of the tool {name} must be a JSON Schema of type object"
    if not isinstance(parameters, Mapping) or parameters.get("type") != "object":
        raise InvalidInput(fault)
    if not isinstance(parameters.get("properties", {}), Mapping):
        raise InvalidInput(f"{fault}; properties is an object")
    try:
        schema: dict[str, Any] = json.loads(json.dumps(dict(parameters), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{fault}, as JSON has it: {error}") from None
    return schema


def _derived(name: str, handler: Callable[..., Any]) -> dict[str, Any]:
    """Return the JSON Schema of a callable's parameters. Raises InvalidInput."""
    taken = _signature(name, handler).parameters.values()
    for parameter in taken:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            text = f"the tool {name} takes *{parameter.name}, which no schema describes"
            raise InvalidInput(f"{text}; give parameters=")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            text = f"the tool {name} takes {parameter.name} by position only"
            raise InvalidInput(f"{text}; its arguments come by name")
        if parameter.annotation is parameter.empty or (len(taken) == 1 and _is_mapping(parameter)):
            raise InvalidInput(
                f"the parameter {parameter.name} of the tool {name} does not say what it takes; "
                "annotate it, or give parameters="
            )
    try:
        taken_whole: Any = handler  # a callable is a type to pydantic, which its stubs do not say
        schema = TypeAdapter(taken_whole).json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        text = f"the annotations of the tool {name} make no JSON Schema: {reason}"
        raise InvalidInput(text) from None
    properties = {
        key: {word: value for word, value in item.items() if word != "title"}
        for key, item in schema.get("properties", {}).items()
    }
    return _check_schema(name, {**schema, "properties": properties})


def _signature(name: str, handler: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(handler)
    except (TypeError, ValueError):
        text = f"Python does not tell what the tool {name} takes; wrap it in a function"
        raise InvalidInput(text) from None


def _is_mapping(parameter: inspect.Parameter) -> bool:
    """Tell whether a parameter is annotated as a bare object, of which a model learns nothing."""
    kind = parameter.annotation
    if isinstance(kind, str):
        return bool(re.match(r"(?:typing\.)?(?:dict|Dict|Mapping)\b", kind))
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, Mapping)


def _checking(handler: Callable[..., Any]) -> ToolHandler:
    """Call by name with arguments that fit the annotations; what does not fit is a ValueError
    whose text tells the model what to mend.
    """
    checked = validate_call(handler)

    def told(error: ValidationError) -> ValueError:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        words = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
        return ValueError("; ".join(words))

    def call(arguments: dict[str, Any]) -> Any:
        try:
            return checked(**arguments)
        except ValidationError as error:
            raise told(error) from None

    async def acall(arguments: dict[str, Any]) -> Any:
        try:
            return await checked(**arguments)
        except ValidationError as error:
            raise told(error) from None

    return acall if _is_async(handler) else call


def _passing(name: str, handler: Callable[..., Any], schema: Mapping[str, Any]) -> ToolHandler:
    """Call with the arguments as the model gave them."""
    properties = schema.get("properties", {})
    parameters = list(_signature(name, handler).parameters.values())
    if len(parameters) == 1 and parameters[0].name not in properties:
        only = parameters[0]
        untold = only.annotation in (only.empty, Any, object, "Any", "object")
        if (untold or _is_mapping(only)) and _takes(handler, {}):
            return _settled(handler, handler)
    missing = [key for key in properties if not _takes_name(parameters, key)]
    if missing:
        raise InvalidInput(f"the tool {name} has no parameter {missing[0]}")

    def spread(arguments: dict[str, Any]) -> Any:
        return handler(**arguments)

    return _settled(spread, handler)


def _takes_name(parameters: list[inspect.Parameter], name: str) -> bool:
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(
        item.kind is item.VAR_KEYWORD or (item.name == name and item.kind in by_name)
        for item in parameters
    )


def _takes(code: Callable[..., Any], argument: object) -> bool:
    """Tell whether code can be called with one argument, as far as Python tells."""
    try:
        inspect.signature(code).bind(argument)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _is_async(code: Callable[..., Any]) -> bool:
    """Tell whether a call gives a coroutine; also of objects whose __call__ is one."""
    return inspect.iscoroutinefunction(code) or inspect.iscoroutinefunction(
        getattr(code, "__call__", None)  # noqa: B004 # the method is looked at, not called
    )


def _settled(call: Callable[[Any], Any], code: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return what the platform sees as async exactly where code is."""
    if not _is_async(code) or inspect.iscoroutinefunction(call):
        return call

    @functools.wraps(call, updated=())
    async def acall(argument: Any) -> Any:
        return await call(argument)

    return acall
