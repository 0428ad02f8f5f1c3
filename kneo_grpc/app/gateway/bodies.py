"""Which fields a route's JSON body may have, read from the compiled contract, as a Lua table."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from google.protobuf import descriptor_pb2

from kneo_grpc.app.gateway.routes import Route, routes_of, rpcs_of

Fields: TypeAlias = dict[str, "Fields | None"]
"""Field names; None where any value may stand."""

_FieldProto: TypeAlias = descriptor_pb2.FieldDescriptorProto
_Messages: TypeAlias = Mapping[str, descriptor_pb2.DescriptorProto]

_DEPTH_MAX = 8


def body_table(descriptor: Path, services: Sequence[str]) -> str:
    """Return `local ALIASES = {…}` and `local BODIES = {…}`; bodies.lua says what they hold."""
    found: dict[str, dict[str, Fields | None]] = {}
    for verb, path, fields in _bodies(descriptor, services):
        found.setdefault(verb, {})[path.removeprefix("/v1")] = fields
    tables = [fields for paths in found.values() for fields in paths.values() if fields]
    names = {name for fields in tables for name in _all(fields)}
    aliases = [f'{_camel(name)} = "{name}"' for name in sorted(names) if _camel(name) != name]
    lines = [f"local ALIASES = {{{', '.join(aliases)}}}", "local BODIES = {"]
    for verb, paths in sorted(found.items()):
        lines += [f"  {verb} = {{", "    exact = {"]
        fixed = {path: fields for path, fields in paths.items() if "{" not in path}
        lines += [f'      ["{path}"] = {_lua(fields)},' for path, fields in sorted(fixed.items())]
        lines += ["    },", "    patterns = {"]
        lines += [
            f'      {{"^{_pattern(path)}$", {_lua(fields)}}},'
            for path, fields in sorted(paths.items())
            if path not in fixed
        ]
        lines += ["    },", "  },"]
    return "\n".join([*lines, "}", ""])


def _bodies(descriptor: Path, services: Sequence[str]) -> list[tuple[str, str, Fields | None]]:
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor.read_bytes())
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    for file in files.file:
        for message in file.message_type:
            _index(f".{file.package}.{message.name}", message, messages)
    return [
        (route.verb, route.path, _body(route, messages[rpc.input_type], messages))
        for _, rpc in rpcs_of(files, services)
        for route in routes_of(rpc)
        if route.verb in ("POST", "PUT", "PATCH")
    ]


def _index(
    name: str,
    message: descriptor_pb2.DescriptorProto,
    messages: dict[str, descriptor_pb2.DescriptorProto],
) -> None:
    messages[name] = message
    for inner in message.nested_type:
        _index(f"{name}.{inner.name}", inner, messages)


def _body(
    route: Route, request: descriptor_pb2.DescriptorProto, messages: _Messages
) -> Fields | None:
    if route.body == "*":
        return _fields(request, messages, 0)
    for field in request.field:
        if field.name == route.body:
            return _inner(field, messages, 0)
    return {}


def _fields(message: descriptor_pb2.DescriptorProto, messages: _Messages, depth: int) -> Fields:
    return {field.name: _inner(field, messages, depth) for field in message.field}


def _inner(field: _FieldProto, messages: _Messages, depth: int) -> Fields | None:
    """Return a message's fields; None for plain values, well-known types and maps."""
    if field.type != _FieldProto.TYPE_MESSAGE or field.type_name.startswith(".google."):
        return None
    message = messages[field.type_name]
    if message.options.map_entry or depth == _DEPTH_MAX:
        return None
    return _fields(message, messages, depth + 1)


def _all(fields: Fields) -> Iterator[str]:
    for name, inner in fields.items():
        yield name
        yield from _all(inner or {})


def _camel(name: str) -> str:
    """Return JSON's other spelling of a field's name."""
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def _pattern(path: str) -> str:
    """Return a Lua pattern; each {variable} is one path segment."""
    parts = re.split(r"\{[^}]*\}", path)
    return "[^/]+".join(re.sub(r"([^\w/])", r"%\1", part) for part in parts)


def _lua(fields: Fields | None) -> str:
    if fields is None:
        return "false"
    return "{" + ", ".join(f"{name} = {_lua(inner)}" for name, inner in fields.items()) + "}"
