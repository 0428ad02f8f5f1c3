"""The HTTP routes of the contract, and which path takes which method."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

Method = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One HTTP route of an rpc. verb: in capitals; path: with its {variables}; body: `*` for all
    fields that the path leaves, the name of the one field that is the body, or "" for none.
    """

    verb: Method
    path: str
    body: str


def routes_of(rpc: descriptor_pb2.MethodDescriptorProto) -> Iterator[Route]:
    """Yield an rpc's routes, the first one first."""
    rule: http_pb2.HttpRule = rpc.options.Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb is not None and verb != "custom":
            yield Route(verb=verb.upper(), path=getattr(binding, verb), body=binding.body)


def rpcs_of(
    files: descriptor_pb2.FileDescriptorSet, services: Sequence[str]
) -> Iterator[tuple[str, descriptor_pb2.MethodDescriptorProto]]:
    """Yield the rpcs of some services, each with its service's full name."""
    for file in files.file:
        for service in file.service:
            name = f"{file.package}.{service.name}"
            if name in services:
                for rpc in service.method:
                    yield name, rpc


def methods_by_path(descriptor: Path, services: Sequence[str]) -> dict[frozenset[Method], str]:
    """Return, for each set of methods, one RE2 expression of the paths that take exactly these."""
    methods: dict[str, set[Method]] = {}
    for _, path, verb in _bindings(descriptor, services):
        methods.setdefault(path, set()).add(verb)
    grouped: dict[frozenset[Method], list[str]] = {}
    for path, verbs in methods.items():
        grouped.setdefault(frozenset(verbs), []).append(path)
    return {verbs: f"(?:{'|'.join(sorted(paths))})/?" for verbs, paths in grouped.items()}


def streaming_paths(descriptor: Path, services: Sequence[str]) -> str | None:
    """Return one RE2 expression of the paths that answer with a stream; None without any."""
    found = {path for rpc, path, _ in _bindings(descriptor, services) if rpc.server_streaming}
    return f"(?:{'|'.join(sorted(found))})/?" if found else None


def _bindings(
    descriptor: Path, services: Sequence[str]
) -> Iterator[tuple[descriptor_pb2.MethodDescriptorProto, str, Method]]:
    """Yield each rpc's routes: the rpc, an RE2 expression of the path, and the method."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor.read_bytes())
    for _, rpc in rpcs_of(files, services):
        for route in routes_of(rpc):
            yield rpc, _expression(route.path), route.verb


def _expression(path: str) -> str:
    """Literal parts are escaped, each {variable} is one path segment."""
    parts = re.split(r"\{[^}]*\}", path)
    return "[^/]+".join(re.escape(part) for part in parts)
