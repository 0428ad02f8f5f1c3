"""Which path takes which method, read from the compiled contract."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

Method = str


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
    for file in files.file:
        for service in file.service:
            if f"{file.package}.{service.name}" not in services:
                continue
            for rpc in service.method:
                rule = rpc.options.Extensions[annotations_pb2.http]
                for binding in (rule, *rule.additional_bindings):
                    verb = binding.WhichOneof("pattern")
                    if verb is not None and verb != "custom":
                        yield rpc, _expression(getattr(binding, verb)), verb.upper()


def _expression(path: str) -> str:
    """Literal parts are escaped, each {variable} is one path segment."""
    parts = re.split(r"\{[^}]*\}", path)
    return "[^/]+".join(re.escape(part) for part in parts)
