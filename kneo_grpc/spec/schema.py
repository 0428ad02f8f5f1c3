"""Fits a document to the spec model and says in plain words where it does not fit."""

import types
import typing
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kneo_grpc.spec.document import Document, Path
from kneo_grpc.spec.findings import FINDINGS_MAX, Findings, Near, Suggestion, shown
from kneo_grpc.spec.model import AnyWorkflow, Spec

_WORKFLOW_TYPES = ("sequential", "graph", "concurrent", "handoff", "group-chat")

_PLAIN_WORDS = {
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be a name: no `/`, `#`, line break or blank at its ends",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_short": "must not be empty",
}


def fit(document: Document, findings: Findings) -> Spec | None:
    """Return the document as a Spec, or None after noting each fault as E_SCHEMA."""
    try:
        return Spec.model_validate(document.data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=True, include_input=True)
        for fault in faults[:FINDINGS_MAX]:
            _note(fault, findings)
        return None


def _note(fault: ErrorDetails, findings: Findings) -> None:
    path, shape = _locate(fault["loc"])
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    hint: Suggestion = None
    if kind == "missing":
        text = f"{shown(path[-1])} is required"
    elif kind == "extra_forbidden":
        text = f"the field {shown(path[-1])} is not known here"
        hint = _near_field(path[-1], shape)
    elif kind == "literal_error":
        text = f"must be {context['expected'].replace(chr(39), '`')}"
        hint = Near(value, context["expected"].replace("'", "").replace(" or", ",").split(", "))
    elif kind in ("union_tag_not_found", "union_tag_invalid"):
        path = (*path, "type")
        words = ", ".join(f"`{word}`" for word in _WORKFLOW_TYPES)
        found = value.get("type") if isinstance(value, dict) else None
        text = f"must be one of {words}" if found is not None else f"`type` is required: {words}"
        hint = Near(found, _WORKFLOW_TYPES)
    elif kind == "string_too_long":
        text = f"must not be longer than {context['max_length']} characters"
    else:
        text = _PLAIN_WORDS.get(kind) or fault["msg"].replace("Input should be", "must be")
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        hint = "put it in quotes"
    if kind not in ("missing", "extra_forbidden", "union_tag_not_found") and path:
        text = f"{shown(path[-1]) if isinstance(path[-1], str) else 'the item'} {text}"
    findings.error("E_SCHEMA", path, text, hint)


def _locate(loc: tuple[int | str, ...]) -> tuple[Path, type[BaseModel] | None]:
    """Return the path in the document, and the shape that the last key is a field of.

    pydantic's locations hold two things that are not in the document: the tag of a union's member
    and `[key]` behind a key that is at fault itself.
    """
    path: list[str | int] = []
    shape: type[BaseModel] | None = None
    expected: Any = Spec
    for step in loc:
        members = _members(expected)
        if len(members) > 1:
            expected = next((m for m in members if _tag(m) == step), None)
            continue
        if step == "[key]":
            continue
        path.append(step)
        shape, expected = _into(members[0] if members else None, step)
    return tuple(path), shape


def _into(expected: Any, step: int | str) -> tuple[type[BaseModel] | None, Any]:
    if isinstance(expected, type) and issubclass(expected, BaseModel):
        field = next((f for n, f in expected.model_fields.items() if (f.alias or n) == step), None)
        return expected, field.annotation if field else None
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    return None, arguments[-1] if origin in (dict, list) else None


def _members(expected: Any) -> list[Any]:
    """Return what an annotation allows, without None and without its wrappers."""
    if typing.get_origin(expected) is typing.Annotated:
        return _members(typing.get_args(expected)[0])
    if typing.get_origin(expected) in (typing.Union, types.UnionType):
        inner = [_members(arg) for arg in typing.get_args(expected) if arg is not type(None)]
        return [member for members in inner for member in members]
    return [expected]


def _tag(member: Any) -> str | None:
    if member not in typing.get_args(AnyWorkflow):
        return None
    return str(typing.get_args(member.model_fields["type"].annotation)[0])


def _fields(shape: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in shape.model_fields.items()]


def _near_field(word: object, shape: type[BaseModel] | None) -> Suggestion:
    if shape is None:
        return None
    fields = _fields(shape)
    return Near(word, fields, f"known fields: {', '.join(fields)}")
