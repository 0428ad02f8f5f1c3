"""What a Python callable becomes as a tool or as a function."""

import asyncio
import functools
import threading
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, Field

from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.integrations.callables import make_function, make_tool
from kneo_grpc.ports.code import RegisteredTool

OBJECT = {"type": "object"}


class Item(BaseModel):
    name: str
    price: float


class Row(TypedDict):
    name: str


def described(
    query: Annotated[str, Field(description="What to look for.", min_length=1)],
    json: list[Item],
    kind: Literal["a", "b"] = "a",
    *,
    limit: int | None = None,
) -> str:
    """Look for
    something.

    Details.
    """
    return f"{query} {json} {kind} {limit}"


class Directory:
    end = "!"

    def look_up(self, user_id: str) -> str:
        "Look up."
        return user_id + self.end


def test_a_schema_comes_from_the_annotations() -> None:
    tool = make_tool(described)
    assert (tool.name, tool.description) == ("described", "Look for something.")
    schema = dict(tool.parameters)
    assert list(schema.pop("$defs")) == ["Item"]
    assert schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["query", "json"],
        "properties": {
            "query": {"type": "string", "minLength": 1, "description": "What to look for."},
            "json": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
            "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
    }


def test_a_tool_without_parameters_has_an_empty_schema() -> None:
    tool = make_tool(lambda: "now", name="now", description="Tell the time.")
    assert tool.parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    assert tool.handler({}) == "now"


def test_arguments_become_what_the_annotations_say() -> None:
    arguments = {"query": "q", "json": [{"name": "n", "price": 1}], "limit": 2}
    assert make_tool(described).handler(arguments) == "q [Item(name='n', price=1.0)] a 2"


def test_arguments_that_do_not_fit_are_named_without_their_values() -> None:
    with pytest.raises(ValueError, match=r"^query: .*; json: ") as caught:
        make_tool(described).handler({"query": "", "json": "secret", "limit": 1})
    assert "secret" not in str(caught.value)


async def test_a_coroutine_function_stays_one() -> None:
    async def count(number: int) -> int:
        "Count."
        return number + 1

    tool = make_tool(count)
    assert asyncio.iscoroutinefunction(tool.handler)
    assert await tool.handler({"number": "1"}) == 2
    with pytest.raises(ValueError, match="number: "):
        await tool.handler({"number": "one"})


async def test_an_object_with_an_async_call_is_awaited() -> None:
    class Counter:
        """Count."""

        async def __call__(self, arguments: dict[str, Any]) -> str:
            return f"{arguments}"

    tool = make_tool(Counter(), name="counter", parameters=OBJECT)
    assert await tool.handler({"a": 1}) == "{'a': 1}"
    _, function = make_function(Counter(), "shop.counter")
    assert await function("a") == "a"


def test_given_parameters_are_passed_as_one_object_or_by_name() -> None:
    def whole(arguments):
        "Do."
        return arguments

    def by_name(user_id, **rest):
        "Do."
        return user_id, rest

    properties = {"user_id": {"type": "string"}}
    parameters = {"type": "object", "properties": properties}
    assert make_tool(whole, parameters=parameters).handler({"user_id": 1}) == {"user_id": 1}
    called = make_tool(by_name, parameters=parameters).handler({"user_id": 1, "more": 2})
    assert called == (1, {"more": 2})


def test_a_partial_and_a_method_are_callables_too() -> None:
    def both(first: str, second: str) -> str:
        "Join."
        return first + second

    tool = make_tool(functools.partial(both, second="!"), name="joins", description="Join.")
    assert tool.handler({"first": "a"}) == "a!"
    assert make_tool(Directory().look_up).handler({"user_id": "u"}) == "u!"


def test_a_tool_given_as_such_is_taken() -> None:
    tool = RegisteredTool(name="t", description="T.", parameters=OBJECT, handler=str)
    assert make_tool(tool) is tool


def no_annotation(query):
    "Do."


def many(*queries: str):
    "Do."


def by_position(query: str, /):
    "Do."


def whole(arguments: dict[str, Any]):
    "Do."


def typed(row: Row):
    "Do."


def odd(lock: threading.Lock):
    "Do."


def unknown(query: "Nowhere"):  # noqa: F821 # meant
    "Do."


def silent(query: str):
    return query


@pytest.mark.parametrize(
    ("handler", "options", "text"),
    [
        (no_annotation, {}, "query of the tool no_annotation does not say what it takes"),
        (whole, {}, "arguments of the tool whole does not say what it takes"),
        (typed, {}, "give parameters="),
        (many, {}, r"takes \*queries, which no schema describes"),
        (by_position, {}, "takes query by position only"),
        (odd, {}, "the annotations of the tool odd make no JSON Schema"),
        (unknown, {}, "the annotations of the tool unknown make no JSON Schema"),
        (silent, {}, "the tool silent needs a description"),
        (whole, {"name": "no name"}, "'no name' is no name for a tool"),
        (whole, {"parameters": {"type": "array"}}, "must be a JSON Schema of type object"),
        (whole, {"parameters": 3}, "must be a JSON Schema of type object"),
        (whole, {"parameters": {**OBJECT, "properties": []}}, "properties is an object"),
        (whole, {"parameters": {**OBJECT, "default": {1, 2}}}, "as JSON has it"),
        (silent, {"description": "D.", "parameters": {**OBJECT, "properties": {"a": {}}}},
         "the tool silent has no parameter a"),
        (make_tool, {"parameters": {**OBJECT, "properties": {"name": {}, "a": {}}}},
         "the tool make_tool has no parameter a"),
        (None, {}, "a tool must be callable, not of type NoneType"),
    ],
)  # fmt: skip
def test_what_could_not_be_called_is_refused(handler, options, text) -> None:
    with pytest.raises(InvalidInput, match=text):
        make_tool(handler, **options)


def test_a_function_is_known_by_its_path_or_a_given_name() -> None:
    assert make_function(silent)[0] == f"{__name__}.silent"
    assert make_function(silent, "shop.silent") == ("shop.silent", silent)
    assert make_function(str.upper, "shop.upper")[1]("a") == "A"


def test_a_function_that_could_not_be_named_or_called_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs a dotted name"):
        make_function(lambda text: text)
    with pytest.raises(InvalidInput, match="must take one argument"):
        make_function(lambda a, b: a, "shop.two")
    with pytest.raises(InvalidInput, match="must be callable"):
        make_function("shop.two")
