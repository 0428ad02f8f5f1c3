"""Specs made from the schema, and right ones that are changed: always judged, and the schema and
validation agree.
"""

import copy
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from kneo_grpc.domain.diagnostic import Diagnostic, has_errors
from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.domain.plan_codec import decode_plan, encode_plan
from kneo_grpc.spec.compile import plan_of
from kneo_grpc.spec.json_schema import json_schema
from kneo_grpc.spec.load import load_object
from kneo_grpc.spec.names import Known
from kneo_grpc.spec.validate import examine

SCHEMA = json_schema()
LANGUAGE = yaml.safe_load(Path(__file__).with_name("language.yaml").read_text())
NAMES = ["root", "helper", "other", "find", "boss", "paths", "a", "b"]

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found: dict[str, Any] = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]]
    return found


def is_type(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


def accepts(part: dict[str, Any], value: Any) -> bool:
    """Tell whether a schema accepts a value; knows the words that ours is written in."""
    part = resolved(part)
    kinds = part.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return (
        (not kinds or any(is_type(kind, value) for kind in kinds))
        and ("enum" not in part or value in part["enum"])
        and ("const" not in part or value == part["const"])
        and ("anyOf" not in part or any(accepts(choice, value) for choice in part["anyOf"]))
        and ("oneOf" not in part or sum(accepts(choice, value) for choice in part["oneOf"]) == 1)
        and all(accepts(choice, value) for choice in part.get("allOf", ()))
        and ("not" not in part or not accepts(part["not"], value))
        and ("if" not in part or not accepts(part["if"], value) or accepts(part["then"], value))
        and inside(part, value)
    )


def inside(part: dict[str, Any], value: Any) -> bool:
    if isinstance(value, str):
        return (
            part.get("minLength", 0) <= len(value) <= part.get("maxLength", len(value))
            and re.search(part.get("pattern", ""), value) is not None
        )
    if isinstance(value, (int, float)):
        return (
            part.get("minimum", value) <= value <= part.get("maximum", value)
            and part.get("exclusiveMinimum", value - 1) < value
        )
    if isinstance(value, list):
        return part.get("minItems", 0) <= len(value) and all(
            accepts(part.get("items", {}), item) for item in value
        )
    if isinstance(value, dict):
        fields, other = part.get("properties", {}), part.get("additionalProperties", True)
        return (
            part.get("minProperties", 0) <= len(value)
            and set(part.get("required", ())) <= set(value)
            and all(accepts(part.get("propertyNames", {}), key) for key in value)
            and all(
                accepts(fields[key], item)
                if key in fields
                else accepts(other, item)
                if isinstance(other, dict)
                else other
                for key, item in value.items()
            )
        )
    return True


def texts(part: dict[str, Any]) -> st.SearchStrategy[str]:
    if part.get("maxLength") == 512:
        return st.sampled_from(["shop.find", "a.b.c"])
    if "not" in part:
        return st.sampled_from(["skills/style", "certs/ca.pem"])
    return st.sampled_from([*NAMES, "ä ö", "x" * 60])


def values(part: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values that the schema accepts, more frugal the deeper they stand."""
    part = resolved(part)
    for choice in ("anyOf", "oneOf"):
        if choice in part and "type" not in part:
            # Lists of types hold the plain ones last: deep down only those are taken.
            kept = part[choice][-1:] if depth > 12 else part[choice]
            return st.one_of([values(item, depth) for item in kept])
    if "const" in part:
        return st.just(part["const"])
    if "enum" in part:
        return st.sampled_from(part["enum"])
    kinds = part.get("type", "any")
    kind = kinds if isinstance(kinds, str) else next(item for item in kinds if item != "null")
    if kind == "null":
        return st.none()
    if kind == "string":
        return texts(part)
    if kind in ("integer", "number"):
        low = part.get("minimum", part.get("exclusiveMinimum", 0))
        return st.integers(int(low) + 1, min(int(low) + 40, part.get("maximum", 10**6)))
    if kind == "array":
        least = part.get("minItems", 0)
        most = least if depth > 8 else least + 2
        return st.lists(
            st.deferred(lambda: values(part["items"], depth + 1)), min_size=least, max_size=most
        )
    if kind == "object":
        return objects(part, depth)
    return st.booleans() if kind == "boolean" else st.sampled_from([None, 1, "x", [1]])


@st.composite
def objects(draw: st.DrawFn, part: dict[str, Any], depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    fields, required = part.get("properties", {}), part.get("required", ())
    for name, field in fields.items():
        if name in required or (depth < 9 and draw(st.integers(0, 2)) == 0):
            made[name] = draw(values(field, depth + 1))
    other = part.get("additionalProperties")
    if isinstance(other, dict) and other and not fields:
        least = part.get("minProperties", 0)
        most = max(least, 2 if depth < 6 else 0)
        for name in draw(
            st.lists(st.sampled_from(NAMES), min_size=least, max_size=most, unique=True)
        ):
            made[name] = draw(values(other, depth + 1))
    for rule in part.get("allOf", ()):
        for name in rule["then"]["required"] if accepts(rule["if"], made) else ():
            made[name] = "x"
    for clash in part.get("not", {}).get("anyOf", ()):
        if accepts(clash, made):
            del made[clash["required"][0]]
    return made


def judged(data: dict[str, Any]) -> list[Diagnostic]:
    """Return the findings; what has no error compiles to a plan that reads back."""
    try:
        document = load_object(data)
    except SpecInvalid as refused:
        assert refused.details["diagnostics"]
        reject()  # a value that no document can hold
    spec, findings = examine(document, Known(), gate=False)
    if spec is not None and not has_errors(findings):
        plan = plan_of(spec, Known())
        digest, content = encode_plan(plan)
        assert encode_plan(decode_plan(content))[0] == digest
    return findings


RELAXED = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=100, **RELAXED)
@given(values(SCHEMA))
def test_what_the_schema_accepts_has_the_right_shape(data: dict[str, Any]) -> None:
    assert accepts(SCHEMA, data)
    assert [item for item in judged(data) if item.code in ("E_SCHEMA", "E_VERSION")] == []


def places(part: dict[str, Any], value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [
        place for key in keys for place in [(*path, key), *places(part, value[key], (*path, key))]
    ]


PLACES = places(SCHEMA, LANGUAGE)
WORDS = st.sampled_from([*NAMES, "type", "ref", "kind", "policy", "graph", "goto", "os.system", ""])
SMALL = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2, 2) | WORDS
ANY = st.recursive(
    SMALL,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
) | st.sampled_from(list(SCHEMA["$defs"])).flatmap(lambda name: values(SCHEMA["$defs"][name], 7))


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """Return the spec of the whole language with up to three changes."""
    spec = copy.deepcopy(LANGUAGE)
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        parent = spec
        try:
            for key in path[:-1]:
                parent = parent[key]
            change = draw(st.sampled_from(["set", "delete", "rename", "copy"]))
            if change == "delete":
                del parent[path[-1]]
            elif change == "rename" and isinstance(parent, dict):
                parent[draw(WORDS)] = parent.pop(path[-1])
            elif change == "copy" and isinstance(parent, list):
                parent.append(parent[path[-1]])
            else:
                parent[path[-1]] = draw(ANY)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return spec


@settings(max_examples=150, **RELAXED)
@given(changed())
def test_a_changed_spec_is_judged_and_the_schema_is_no_stricter(data: dict[str, Any]) -> None:
    findings = judged(data)
    if not has_errors(findings) and data.get("version") == "v1":
        assert accepts(SCHEMA, data)


def test_the_schema_accepts_the_whole_language_and_refuses_what_is_misspelt() -> None:
    assert accepts(SCHEMA, LANGUAGE)
    for path in PLACES[::2]:
        if path[0] in ("metadata", "policies") or not isinstance(path[-1], str):
            continue
        spec = copy.deepcopy(LANGUAGE)
        parent = spec
        for key in path[:-1]:
            parent = parent[key]
        parent[f"{path[-1]}x"] = parent.pop(path[-1])
        fields = {item.path for item in judged(spec) if item.code == "E_SCHEMA"}
        assert accepts(SCHEMA, spec) == (not fields), path
