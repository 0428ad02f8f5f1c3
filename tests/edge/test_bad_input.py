"""Bad values in every field of every rpc, found by its type in the descriptors."""

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict

from tests.edge.asking import ask
from tests.edge.conftest import Edge
from tests.edge.contract import OURS, RPCS, Rpc, delimited, is_struct, texts_of, varint

Code = grpc.StatusCode
Field = FieldDescriptor

WORDS = {"target", "decision", "sort_by", "sort_order", "format"}
"""Fields of any request that take one of a few words."""
WORDS_HERE = {("ListRuns", "status"), ("ListHumanTasks", "status")}
"""The same, in one rpc only."""
IDS = {"run_id", "continuation_id", "request_id"}
NUMBERS = {"limit", "offset"}
TOKENS = {"page_token"}
INSTANTS = {"created_after", "created_before"}
FREE = {"environment"}
"""Names in paths that stand for something whether it was ever used or not."""
VALID: dict[str, dict[str, Any]] = {
    "ResumeHumanTask": {"request_id": "req_x", "decision": "approved"},
}
"""What a request needs beside its ids, that nothing but the id is wrong."""

UNFIT_IDS = ["", "x" * 5_000, "\0", "run\n1", "\u202egnp", "x" * 129]
UNFIT_TOKENS = ["x", "\0", "é" * 20, "x" * 5_000, "AAAA", "n"]
UNFIT_INSTANTS = ["yesterday", "2026-13-01", "1735689600", "0001-01-01T00:00:00+09:00"]
UNFIT_NUMBERS = [-1, -(2**31), 2**31 - 1]
DEPTHS = (200, 2_000)


def message(rpc: Rpc, **fields: Any) -> bytes:
    known = {field.name for field in rpc.fields}
    given = {name: value for name, value in fields.items() if name in known}
    return ParseDict(given, rpc.request()).SerializeToString()


def plausible(rpc: Rpc, **fields: Any) -> bytes:
    """A request in which only `fields` may be wrong."""
    ids = {name: f"{name.removesuffix('_id')}_x" for name in rpc.path_fields}
    return message(rpc, **{**ids, **VALID.get(rpc.short, {}), **fields})


@pytest.mark.parametrize("rpc", OURS, ids=lambda rpc: rpc.short)
def test_bad_values_are_told_by_field(channel: grpc.Channel, rpc: Rpc) -> None:
    names = {field.name for field in rpc.fields}
    for field in rpc.fields:
        word = field.name in WORDS or (rpc.short, field.name) in WORDS_HERE
        if word and field.type == Field.TYPE_STRING:
            for value in ("nonsense", "ASC", "x" * 5_000, "é", "id; drop table runs", "metadata.x"):
                reply = ask(channel, rpc, plausible(rpc, **{field.name: value}))
                assert reply.code is Code.INVALID_ARGUMENT, (field.name, value, reply)
                assert field.name in reply.fields, (field.name, value, reply)
    for name in names & IDS:
        required = name in rpc.path_fields or (rpc.short, name) == ("ResumeHumanTask", "request_id")
        for value in UNFIT_IDS:
            reply = ask(channel, rpc, plausible(rpc, **{name: value}))
            if required:
                assert (reply.code, name in reply.fields) == (Code.INVALID_ARGUMENT, True), value
    for name in names & NUMBERS:
        for value in UNFIT_NUMBERS:
            reply = ask(channel, rpc, plausible(rpc, **{name: value}))
            assert (reply.code, name in reply.fields) == (Code.INVALID_ARGUMENT, True), (
                name,
                value,
                reply,
            )
    for name in names & TOKENS:
        for value in UNFIT_TOKENS:
            reply = ask(channel, rpc, plausible(rpc, **{name: value}))
            assert reply.code is Code.INVALID_ARGUMENT, (value, reply)
            assert reply.reason == "invalid_page_token" or name in reply.fields, (value, reply)
    for name in names & INSTANTS:
        for value in UNFIT_INSTANTS:
            reply = ask(channel, rpc, plausible(rpc, **{name: value}))
            assert (reply.code, reply.reason) == (Code.INVALID_ARGUMENT, "invalid_timestamp"), value

    for name in names & {"checkpoint_sequence"}:
        for value in (0, -1, -(2**31)):
            reply = ask(channel, rpc, plausible(rpc, **{name: value}))
            assert (reply.code, name in reply.fields) == (Code.INVALID_ARGUMENT, True), value


def test_what_is_said_here_of_rpcs_and_fields_is_true_of_them() -> None:
    """An rpc has either a field of which bad values are known, or it is among those without."""
    fields = {rpc.short: {field.name for field in rpc.fields} for rpc in OURS}
    known = WORDS | IDS | NUMBERS | TOKENS | INSTANTS
    assert {short for short, names in fields.items() if not names & known} == WITHOUT
    everywhere = set().union(*fields.values())
    assert known | FREE <= everywhere
    assert {(short, name) for short, name in WORDS_HERE if name in fields[short]} == WORDS_HERE
    for short, given in VALID.items():
        assert set(given) <= fields[short]


WITHOUT = {
    "GetHealth",
    "GetLiveness",
    "GetReadiness",
    "PruneTimedOutRuns",
    "PruneExpiredHumanTasks",
    "PruneRetention",
    "ValidateSpec",
    "CompileSpec",
    "ExplainSpec",
    "GetPolicyReport",
    "ListEnvironmentPolicies",
    "GetEnvironmentPolicy",
    "PutEnvironmentPolicy",
    "PreviewEnvironmentPolicy",
    "ListCredentials",
    "GetOpenApi",
    "GetMetrics",
}
"""Requests that hold neither a word of a few, nor an id, nor a page, nor an instant."""


@pytest.mark.parametrize(
    "rpc",
    [rpc for rpc in OURS if rpc.path_fields and not FREE & set(rpc.path_fields)],
    ids=lambda rpc: rpc.short,
)
def test_what_there_is_not_is_not_found(
    http: httpx.Client, channel: grpc.Channel, rpc: Rpc
) -> None:
    assert ask(channel, rpc, plausible(rpc)).code is Code.NOT_FOUND
    body = {"json": VALID.get(rpc.short, {})} if rpc.body else {}
    answer = http.request(rpc.verb, rpc.url(), **body)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
def test_text_that_is_no_utf_8_is_invalid(channel: grpc.Channel, rpc: Rpc) -> None:
    for way in texts_of(rpc.method.input_type):
        for text in (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"ok \x80"):
            content = text
            for field in reversed(way):
                content = delimited(field, content)
            reply = ask(channel, rpc, content)
            assert reply.code is Code.INVALID_ARGUMENT, ([field.name for field in way], reply)


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
def test_no_value_of_a_type_breaks_the_service(channel: grpc.Channel, rpc: Rpc) -> None:
    """Whatever the field means: the answer may be good or bad, but it is an answer."""
    for field in rpc.fields:
        for content in harsh(field):
            ask(channel, rpc, plausible(rpc) + content)


def harsh(field: FieldDescriptor) -> Iterator[bytes]:
    """Yield a field's bytes with values that programs stumble over."""
    number = field.number << 3
    if field.type in (Field.TYPE_STRING, Field.TYPE_BYTES):
        texts = [
            "",
            "\0",
            "x" * 5_000,
            "\U0010ffff" * 50,
            "../../../etc/passwd",
            "%s%n{}{0}",
            "1e999",
        ]
        texts += ["2026-02-30T25:61:61Z", "0001-01-01T00:00:00-23:59", "9999-12-31T23:59:59-23:59"]
        yield from (delimited(field, text.encode()) for text in texts)
        if field.is_repeated:
            yield delimited(field, b"x") * 5_000
    elif is_struct(field):
        yield from (delimited(field, nested(depth)) for depth in (10, 40, *DEPTHS))
        for double in (b"\0\0\0\0\0\0\xf0\x7f", b"\0\0\0\0\0\0\xf8\x7f", b"\xff" * 6 + b"\xef\x7f"):
            yield delimited(field, entry("n", b"\x11" + double))
        yield delimited(field, entry("", b"")) + delimited(field, entry("\0", b"\x1a\x01x"))
    elif field.message_type is None:
        kinds = (Field.TYPE_DOUBLE, Field.TYPE_FLOAT, Field.TYPE_FIXED64, Field.TYPE_FIXED32)
        if field.type not in kinds:
            for value in (0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63)):
                yield varint(number) + varint(value)
    # The field with another wire type is an unknown field, or cannot be read.
    yield varint(number | 1) + b"\xff" * 8
    yield varint(number | 3) + varint(number | 4)
    yield varint(number | 2) + varint(1 << 40)


def entry(key: str, value: bytes) -> bytes:
    """Return the bytes of a Struct with one entry."""
    name = key.encode()
    pair = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(value)) + value
    return b"\x0a" + varint(len(pair)) + pair


def nested(depth: int) -> bytes:
    """Return the bytes of a Struct in a Struct, `depth` times."""
    content = b""
    for _ in range(depth):
        content = entry("a", b"\x2a" + varint(len(content)) + content)
    return content


BODIES = [rpc for rpc in OURS if rpc.body]


@pytest.mark.parametrize("rpc", BODIES, ids=lambda rpc: rpc.short)
def test_json_that_is_too_deep_is_refused(http: httpx.Client, rpc: Rpc) -> None:
    """Two hundred objects and lists in each other, in a field and as the whole body."""
    fields = [field.name for field in rpc.fields if is_struct(field)] or ["x"]
    bodies = [f'{{"{name}":{deep}}}' for name in fields for deep in deep_texts(200)]
    refuse(http, rpc, bodies + deep_texts(200))


@pytest.mark.parametrize("verb", sorted({rpc.verb for rpc in BODIES}))
def test_json_of_a_hundred_thousand_levels_is_refused(http: httpx.Client, verb: str) -> None:
    """Envoy reads it, so one route stands for all of its verb."""
    refuse(http, next(rpc for rpc in BODIES if rpc.verb == verb), deep_texts(100_000))


def refuse(http: httpx.Client, rpc: Rpc, bodies: list[str]) -> None:
    for body in bodies:
        answer = http.request(rpc.verb, rpc.url(), content=body)
        assert answer.status_code in (400, 413, 422), (body[:60], answer.text)
        assert answer.json()["error"], body[:60]


def deep_texts(depth: int) -> list[str]:
    return ['{"a":' * depth + "1" + "}" * depth, "[" * depth + "]" * depth]


def test_the_service_is_unharmed(edge: Edge) -> None:
    edge.check_unharmed()
