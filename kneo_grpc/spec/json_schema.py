"""The language as a JSON Schema (draft 2020-12), for editors and for checks before a commit.

What needs more than one place to judge, such as a reference, is left to validation.
"""

import ast
import copy
import inspect
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

from kneo_grpc.spec import model, model_agents, model_components, model_workflows, shapes
from kneo_grpc.spec.model import Spec

_MODULES = (shapes, model_agents, model_components, model_workflows, model)
_INNER = ("properties", "$defs")
"""Where keys are names that the language gives."""


@cache
def _schema() -> dict[str, Any]:
    schema = Spec.model_json_schema(by_alias=True)
    for name, shape in {**schema["$defs"], "Spec": schema}.items():
        _describe(shape, _field_texts().get(name, {}))
    # The older spelling of a kind is understood as well.
    chat = schema["$defs"]["GroupChatWorkflow"]["properties"]["type"]
    chat.pop("const", None)
    chat["enum"] = ["group-chat", "group_chat"]
    tidy: dict[str, Any] = _tidy(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Kneo spec v1",
        **tidy,
    }


def json_schema() -> dict[str, Any]:
    """Return the schema; the caller may change what it got."""
    return copy.deepcopy(_schema())


def _describe(shape: dict[str, Any], texts: dict[str, str]) -> None:
    for name, field in shape.get("properties", {}).items():
        text = texts.get("source" if name == "from" else name)
        if text is not None:
            field["description"] = text
    if "description" in shape:
        shape["description"] = " ".join(str(shape["description"]).split())


def _tidy(value: Any) -> Any:
    """Return a copy without what only repeats: titles, null defaults, discriminators."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: {name: _tidy(part) for name, part in item.items()} if key in _INNER else _tidy(item)
        for key, item in value.items()
        if not (key in ("title", "discriminator") or (key == "default" and item is None))
    }
    if "patternProperties" in kept:
        # The names are checked by propertyNames; the values are all alike.
        (kept["additionalProperties"],) = kept.pop("patternProperties").values()
    return _joined(kept)


def _joined(schema: dict[str, Any]) -> dict[str, Any]:
    """Write a choice between one plain type and null as a list of types."""
    choice = schema.get("anyOf", ())
    if len(choice) != 2 or choice[1] != {"type": "null"}:
        return schema
    other = choice[0]
    if not isinstance(other.get("type"), str) or "enum" in other or "const" in other:
        return schema
    rest = {key: item for key, item in schema.items() if key != "anyOf"}
    return {**other, "type": [other["type"], "null"], **rest}


@cache
def _field_texts() -> dict[str, dict[str, str]]:
    """Return, by shape and field, the texts that stand under the fields; a shape inherits."""
    found: dict[str, dict[str, str]] = {}
    for module in _MODULES:
        for shape in _classes(module):
            texts: dict[str, str] = {}
            for base in shape.bases:
                if isinstance(base, ast.Name):
                    texts |= found.get(base.id, {})
            for field, text in zip(shape.body, shape.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    texts[ast.unparse(field.target)] = " ".join(
                        ast.literal_eval(text.value).split()
                    )
            found[shape.name] = texts
    return found


def _classes(module: ModuleType) -> Iterator[ast.ClassDef]:
    tree = ast.parse(inspect.getsource(module))
    return (node for node in tree.body if isinstance(node, ast.ClassDef))
