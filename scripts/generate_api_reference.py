"""Writes docs/api.md from the protobuf contract, the policy table, the error table and the enums.

--check changes nothing and exits with 1 when the file is not what it would write.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from kneo_grpc.api.errors import status_of_kind
from kneo_grpc.api.policy import ANY_KEY, OPEN, POLICY, ROLES
from kneo_grpc.app.gateway.routes import routes_of
from kneo_grpc.domain.errors import KneoError, LeaseLost, StartRefused
from kneo_grpc.domain.human import Decision
from kneo_grpc.domain.run import STATUS_ALIASES, TERMINAL, RunStatus

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "api.md"

INTRO = """\
# The API

<!-- Written by scripts/generate_api_reference.py; what is edited here is lost. -->

One contract, [proto/kneo/v1](../proto/kneo/v1), in two forms on the same port: gRPC (and gRPC-Web)
under the names below, and HTTP/JSON under the paths. Each path also answers without `/v1`.

- A JSON body is an object with the fields of the request, in snake_case, under
  `content-type: application/json`; a GET takes them as query parameters. A field of the path is not
  repeated in the body. What is absent is left out, never null.
- `authorization: Bearer <key>` where the service has keys; the scope is what the key's role must
  hold, see [Roles](#roles).
- `idempotency-key: <text>` on a call that creates, continues, resumes or cancels a run or puts a
  policy: a repeat with it does nothing twice.
- `x-request-id` names a call in logs; one is made where none is sent, and every answer carries it.
- Lists come in pages: `limit`, `offset`, `sort_by`, `sort_order` in the query; `count` and `total`
  in the answer. `next_page_token` in an answer, sent as `page_token` in place of an offset, gives
  the page that follows.
- An error is `{"error": reason, "message": …, "request_id": …, "detail": {…}}` with the details of
  its reason also at the top; over gRPC the reason stands in `google.rpc.ErrorInfo`. See
  [Errors](#errors).
"""

_SCALARS = {
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_INT32: "int32",
    FieldDescriptorProto.TYPE_INT64: "int64",
    FieldDescriptorProto.TYPE_DOUBLE: "double",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
}
_KNOWN = {
    ".google.protobuf.Struct": "object",
    ".google.protobuf.Timestamp": "RFC 3339 time",
    ".google.protobuf.Value": "any JSON",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The files of the contract; comments: by (file, path in it), as protobuf keeps them."""

    files: tuple[FileDescriptorProto, ...]
    comments: Mapping[tuple[str, tuple[int, ...]], str]

    @classmethod
    def built(cls) -> "Contract":
        """Let buf read the files: only it keeps the comments."""
        buf = Path(sys.executable).parent / "buf"
        command = [str(buf), "build", "proto", "--as-file-descriptor-set", "-o", "-#format=binpb"]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        found = FileDescriptorSet.FromString(done.stdout)
        own = tuple(file for file in found.file if file.package == "kneo.v1")
        comments = {
            (file.name, tuple(place.path)): " ".join(place.leading_comments.split())
            for file in own
            for place in file.source_code_info.location
        }
        return cls(files=own, comments=comments)

    def comment(self, file: FileDescriptorProto, *path: int) -> str:
        """Return the comment before a part of a file."""
        return self.comments.get((file.name, path), "")


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = "\n".join(page(Contract.built())) + "\n"
    if not parser.parse_args().check:
        DOCS.write_text(text)
        return 0
    if DOCS.exists() and DOCS.read_text() == text:
        return 0
    print("docs/api.md is not up to date: run scripts/generate_api_reference.py", file=sys.stderr)
    return 1


def page(contract: Contract) -> Iterator[str]:
    """Yield the page's lines."""
    yield INTRO
    yield from _routes(contract)
    yield from _calls(contract)
    yield from _messages(contract)
    yield from _roles()
    yield from _statuses()
    yield from _errors()


def _routes(contract: Contract) -> Iterator[str]:
    yield "## Routes\n"
    yield "| route | scope | gRPC | |"
    yield "| --- | --- | --- | --- |"
    for service, rpc, comment in _rpcs(contract):
        names = f"{_scope(service, rpc)} | `{service}/{rpc.name}`"
        yield f"| `{_route(rpc)}` | {names} | {_first(comment)} |"
    yield ""


def _calls(contract: Contract) -> Iterator[str]:
    yield "## Calls\n"
    for service, rpc, comment in _rpcs(contract):
        yield f"### {rpc.name}\n"
        yield f"`{_route(rpc)}`, `kneo.v1.{service}/{rpc.name}`, scope {_scope(service, rpc)}\n"
        yield f"{comment}\n"
        takes, gives = (name.rpartition(".")[2] for name in (rpc.input_type, rpc.output_type))
        streamed = "a stream of " if rpc.server_streaming else ""
        yield f"Takes {_link(takes)}, gives {streamed}{_link(gives)}.\n"


def _messages(contract: Contract) -> Iterator[str]:
    yield "## Objects\n"
    found = [
        (message.name, file, index, message)
        for file in contract.files
        for index, message in enumerate(file.message_type)
    ]
    for name, file, index, message in sorted(found, key=lambda item: item[0]):
        yield f"### {name}\n"
        yield f"{contract.comment(file, 4, index)}\n"
        if message.field:
            yield "| field | type | |"
            yield "| --- | --- | --- |"
            for number, field in enumerate(message.field):
                about = _cell(contract.comment(file, 4, index, 2, number))
                yield f"| `{field.name}` | {_type(field, message)} | {about} |"
            yield ""


def _roles() -> Iterator[str]:
    yield "## Roles\n"
    yield "A key has roles, or scopes by name; `*` is every scope.\n"
    yield "| role | scopes |"
    yield "| --- | --- |"
    for role, scopes in sorted(ROLES.items()):
        yield f"| `{role}` | {', '.join(f'`{scope}`' for scope in sorted(scopes))} |"
    yield ""


def _statuses() -> Iterator[str]:
    yield "## Statuses of runs\n"
    yield "| status | |"
    yield "| --- | --- |"
    about = {
        RunStatus.QUEUED: "waits for a worker",
        RunStatus.RUNNING: "a process executes it",
        RunStatus.BLOCKED: "waits for a person",
        RunStatus.COMPLETED: "has its output",
        RunStatus.FAILED: "a step failed; `continue` lets it go on",
        RunStatus.CANCELLED: "somebody ended it",
        RunStatus.EXPIRED: "nobody answered in time",
        RunStatus.TIMED_OUT: "its deadline passed",
    }
    for status in RunStatus:
        final = "; final" if status in TERMINAL and status is not RunStatus.FAILED else ""
        yield f"| `{status}` | {about[status]}{final} |"
    aliases = ", ".join(f"`{old}` for `{new}`" for old, new in STATUS_ALIASES.items())
    yield f"\nA filter also takes {aliases}.\n"
    yield "## Decisions of human tasks\n"
    yield ", ".join(f"`{item}`" for item in Decision) + ".\n"


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield "| reason | HTTP | gRPC | |"
    yield "| --- | --- | --- | --- |"
    for kind in _tree(KneoError):
        # A process that does not start, and a worker that lost its run, answer nobody.
        if issubclass(kind, (StartRefused, LeaseLost)):
            continue
        code, http = status_of_kind(kind)
        yield f"| `{kind.reason}` | {http} | {code.name} | {_cell(kind.__doc__ or '')} |"


def _tree(kind: type[KneoError]) -> Iterator[type[KneoError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == KneoError.__module__:
            yield from _tree(child)


def _rpcs(contract: Contract) -> Iterator[tuple[str, MethodDescriptorProto, str]]:
    for file in contract.files:
        for number, service in enumerate(file.service):
            for index, rpc in enumerate(service.method):
                yield service.name, rpc, contract.comment(file, 6, number, 2, index)


def _route(rpc: MethodDescriptorProto) -> str:
    first = next(routes_of(rpc), None)
    return f"{first.verb} {first.path}" if first else "gRPC only"


def _scope(service: str, rpc: MethodDescriptorProto) -> str:
    scope = POLICY[f"/kneo.v1.{service}/{rpc.name}"]
    return {OPEN: "none", ANY_KEY: "any key"}.get(scope, f"`{scope}`")


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    kind = _SCALARS.get(field.type) or _KNOWN.get(field.type_name)
    if kind is None:
        nested = {item.name: item for item in message.nested_type}.get(
            field.type_name.rpartition(".")[2]
        )
        if nested is not None and nested.options.map_entry:
            return f"object of {_type(nested.field[1], nested)}"
        kind = _link(field.type_name.rpartition(".")[2])
    return f"list of {kind}" if field.label == FieldDescriptorProto.LABEL_REPEATED else kind


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _first(comment: str) -> str:
    sentence = re.split(r"(?<=[.;:]) ", comment, maxsplit=1)[0]
    return _cell(sentence.partition(" ")[2].rstrip(".;:"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
