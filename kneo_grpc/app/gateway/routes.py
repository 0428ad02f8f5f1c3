"""Which path takes which method, read from the compiled contract."""

import re
from collections.abc import Sequence
from pathlib import Path

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

Method = str


def methods_by_path(descriptor: Path, services: Sequence[str]) -> dict[frozenset[Method], str]:
    """Return, for each set of methods, one RE2 expression of the paths that take exactly these."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor.read_bytes())
    methods: dict[str, set[Method]] = {}
    for file in files.file:
        for service in file.service:
            if f"{file.package}.{service.name}" not in services:
                continue
            for rpc in service.method:
                rule = rpc.options.Extensions[annotations_pb2.http]
                for binding in (rule, *rule.additional_bindings):
                    _add(methods, binding)
    grouped: dict[frozenset[Method], list[str]] = {}
    for path, verbs in methods.items():
        grouped.setdefault(frozenset(verbs), []).append(path)
    return {verbs: f"(?:{'|'.join(sorted(paths))})/?" for verbs, paths in grouped.items()}


def _add(methods: dict[str, set[Method]], rule: http_pb2.HttpRule) -> None:
    verb = rule.WhichOneof("pattern")
    if verb is None or verb == "custom":
        return
    # Literal parts are escaped, each {variable} is one path segment.
    parts = re.split(r"\{[^}]*\}", getattr(rule, verb))
    path = "[^/]+".join(re.escape(part) for part in parts)
    methods.setdefault(path, set()).add(verb.upper())
