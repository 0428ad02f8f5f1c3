"""Every rpc that the service offers, as its descriptors tell: a new one is covered by itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import kneo_grpc

COMPILED = Path(kneo_grpc.__file__).parent / "_gen" / "api.binpb"


@dataclass(frozen=True)
class Rpc:
    """name: as on the wire, `/kneo.v1.RunService/GetRun`. verb, path: of the first HTTP route,
    empty where there is none. body: whether the route takes one.
    """

    name: str
    method: MethodDescriptor
    verb: str = ""
    path: str = ""
    body: bool = False

    @property
    def short(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def request(self) -> type[Message]:
        return message_factory.GetMessageClass(self.method.input_type)

    @property
    def fields(self) -> list[FieldDescriptor]:
        return list(self.method.input_type.fields)

    @property
    def path_fields(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def url(self, values: dict[str, str] | None = None) -> str:
        return re.sub(r"{(\w+)}", lambda found: (values or {}).get(found[1], "x"), self.path)


def _load() -> list[Rpc]:
    files = descriptor_pb2.FileDescriptorSet.FromString(COMPILED.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    found = []
    for file in files.file:
        pool.Add(file)
    for file in files.file:
        for service in file.service:
            described = pool.FindServiceByName(f"{file.package}.{service.name}")
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                verb = rule.WhichOneof("pattern") or ""
                found.append(
                    Rpc(
                        name=f"/{described.full_name}/{method.name}",
                        method=described.methods_by_name[method.name],
                        verb=verb.upper(),
                        path=getattr(rule, verb) if verb else "",
                        body=bool(rule.body),
                    )
                )
    for module in (health_pb2, reflection_pb2):
        for described in module.DESCRIPTOR.services_by_name.values():
            found += [
                Rpc(name=f"/{described.full_name}/{method.name}", method=method)
                for method in described.methods
            ]
    # The package that describes reflection knows its older name only; the messages are the same.
    newer = [replace(rpc, name=rpc.name.replace(".v1alpha.", ".v1.")) for rpc in found[-1:]]
    return [*found, *newer]


RPCS = _load()
OURS = [rpc for rpc in RPCS if rpc.name.startswith("/kneo.")]


def services() -> set[str]:
    return {rpc.name.split("/")[1] for rpc in RPCS}


def is_struct(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.full_name in (
        "google.protobuf.Struct",
        "google.protobuf.Value",
    )


def is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


def texts_of(kind: Descriptor, above: tuple[FieldDescriptor, ...] = ()) -> Iterator[Any]:
    """Yield the way to every text field of a message, as (field, …, text field)."""
    for field in kind.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield (*above, field)
        elif _is_ours(field) and len(above) < 3:
            yield from texts_of(field.message_type, (*above, field))


def _is_ours(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and not (is_map(field) or kind.full_name.startswith("google.protobuf."))


def varint(number: int) -> bytes:
    """Return a number as protobuf's varint, negative ones as 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def delimited(field: FieldDescriptor, content: bytes) -> bytes:
    """Return a field's bytes on the wire, whatever its content."""
    return varint(field.number << 3 | 2) + varint(len(content)) + content
