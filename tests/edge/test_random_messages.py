"""Random bytes, random messages and damaged ones for every rpc.

KNEO_TEST_EXAMPLES sets how many of each kind an rpc gets; 2,000 take some minutes.
"""

import json
import os
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.edge.asking import ask
from tests.edge.conftest import Edge
from tests.edge.contract import RPCS, Rpc, is_map, is_struct

EXAMPLES = int(os.environ.get("KNEO_TEST_EXAMPLES", "4"))
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    # The service is one for all examples and tests; it is what must not mind.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    phases=[Phase.generate, Phase.shrink],
)

Field = FieldDescriptor
INTS = {
    Field.TYPE_INT32: (-(2**31), 2**31 - 1),
    Field.TYPE_INT64: (-(2**63), 2**63 - 1),
    Field.TYPE_UINT32: (0, 2**32 - 1),
    Field.TYPE_UINT64: (0, 2**64 - 1),
}
WORDS = """asc desc id created_at approved rejected edited selected workflow agent asks.yaml
completed blocked dev run_x cont_x mermaid true 0 2026-01-01T00:00:00Z"""
TEXTS = st.one_of(
    st.text(max_size=40),
    # Words that mean something somewhere lead deeper into the service than noise does.
    st.sampled_from(WORDS.split()),
)
DATA = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
SPECS = st.dictionaries(
    st.sampled_from(["version", "agent", "workflow", "components", "tools", "skills", "metadata"]),
    st.one_of(
        DATA, st.just("v1"), st.just({"name": "root"}), st.just({"type": "sequential", "steps": []})
    ),
)


def message_data(kind: Descriptor, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """A message as data, with each of its fields or without it."""
    fields = [field for field in kind.fields if not (field.message_type and depth > 2)]
    data = st.fixed_dictionaries({}, optional={f.name: field_data(f, depth) for f in fields})
    return data.map(lambda given: without_rivals(kind, given))


def without_rivals(kind: Descriptor, data: dict[str, Any]) -> dict[str, Any]:
    """Return data with at most one field of each oneof."""
    chosen: dict[str, str] = {}
    for name in data:
        group = kind.fields_by_name[name].containing_oneof
        chosen.setdefault(name if group is None else group.full_name, name)
    return {name: data[name] for name in chosen.values()}


def field_data(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if is_map(field):
        value = field.message_type.fields_by_name["value"]
        return st.dictionaries(st.text(max_size=8), one_data(value, depth), max_size=3)
    one = one_data(field, depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def one_data(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if is_struct(field):
        return SPECS if field.name == "spec" else st.dictionaries(TEXTS, DATA, max_size=3)
    if field.message_type is not None:
        known = {"google.protobuf.Timestamp": st.just("2026-01-01T00:00:00Z")}
        name = field.message_type.full_name
        return known.get(name) or message_data(field.message_type, depth + 1)
    if field.type == Field.TYPE_STRING:
        return TEXTS
    if field.type == Field.TYPE_BOOL:
        return st.booleans()
    if field.type in INTS:
        low, high = INTS[field.type]
        return st.one_of(st.integers(low, high), st.integers(0, 5))
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == Field.TYPE_BYTES:
        return st.just("eA==")
    return st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def damaged(draw: st.DrawFn, rpc: Rpc) -> bytes:
    """A valid message with some of its bytes changed, cut out or doubled."""
    content = bytearray(
        ParseDict(draw(message_data(rpc.method.input_type)), rpc.request()).SerializeToString()
    )
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        cut = draw(st.integers(0, 3))
        content[at : at + cut] = draw(st.binary(max_size=4))
    return bytes(content)


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
def test_random_bytes_are_answered(channel: grpc.Channel, rpc: Rpc) -> None:
    @QUICK
    @given(st.binary(max_size=200))
    def run(content: bytes) -> None:
        ask(channel, rpc, content)

    run()


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
def test_random_messages_are_answered(channel: grpc.Channel, rpc: Rpc) -> None:
    @QUICK
    @given(message_data(rpc.method.input_type))
    def run(data: dict[str, Any]) -> None:
        ask(channel, rpc, ParseDict(data, rpc.request()).SerializeToString())

    run()


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
def test_damaged_messages_are_answered(channel: grpc.Channel, rpc: Rpc) -> None:
    @QUICK
    @given(damaged(rpc))
    def run(content: bytes) -> None:
        ask(channel, rpc, content)

    run()


@pytest.mark.parametrize("rpc", [rpc for rpc in RPCS if rpc.path], ids=lambda rpc: rpc.name)
def test_random_json_is_answered(http: httpx.Client, rpc: Rpc) -> None:
    """As a body or as a query, whole or cut off, through Envoy."""

    @QUICK
    @given(message_data(rpc.method.input_type), st.one_of(st.none(), st.integers(1, 30)))
    def run(data: dict[str, Any], cut: int | None) -> None:
        text = json.dumps(data)
        sent = {"content": text[: -cut if cut else None]} if rpc.body else {"params": data}
        answer = http.request(rpc.verb, rpc.url(), **sent)
        assert answer.status_code < 500, (text, answer.text)
        if answer.status_code >= 400:
            assert answer.json()["error"], (text, answer.text)

    run()


def test_the_service_is_unharmed(edge: Edge) -> None:
    edge.check_unharmed()
