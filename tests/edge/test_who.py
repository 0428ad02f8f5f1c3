"""Every rpc with no key, a bad key and each role, through Envoy and straight to the gRPC port."""

import asyncio
import json

import grpc
import httpx
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from tests.edge import contract, matrix
from tests.edge.conftest import Edge
from tests.edge.contract import RPCS, Rpc

CODES = {grpc.StatusCode.UNAUTHENTICATED: "401", grpc.StatusCode.PERMISSION_DENIED: "403"}


def credentials(who: str) -> dict[str, str]:
    if who == "no key":
        return {}
    return {
        "authorization": f"Bearer {matrix.KEYS[who][0] if who in matrix.KEYS else 'nobody-has'}"
    }


async def by_grpc(
    channel: grpc.aio.Channel, edge: Edge, rpc: Rpc, who: str, *, gateway: bool = False
) -> str:
    """Call with an empty request; a stream's first message is enough."""
    headers = tuple(credentials(who).items())
    try:
        if rpc.method.client_streaming:
            # Another thread, because a refusal that is faster than the message is an internal error
            # of the asynchronous client.
            await asyncio.to_thread(stream, edge, rpc, headers, gateway=gateway)
        elif rpc.method.server_streaming:
            call = channel.unary_stream(rpc.name)(b"", metadata=headers, timeout=20)
            await call.read()
            call.cancel()
        else:
            await channel.unary_unary(rpc.name)(b"", metadata=headers, timeout=20)
    except grpc.RpcError as error:
        assert error.code() not in (
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.UNIMPLEMENTED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        ), f"{rpc.name} for {who}: {error}"
        return CODES.get(error.code(), "may")
    return "may"


def stream(edge: Edge, rpc: Rpc, headers: tuple[tuple[str, str], ...], *, gateway: bool) -> None:
    with edge.blocking_channel(gateway=gateway) as channel:
        call = channel.stream_stream(rpc.name)(iter([b""]), metadata=headers, timeout=20)
        next(call, None)
        call.cancel()


async def by_json(http: httpx.AsyncClient, rpc: Rpc, who: str) -> str:
    body = {"json": {}} if rpc.body else {}
    async with http.stream(rpc.verb, rpc.url(), headers=credentials(who), **body) as answer:
        status = answer.status_code
        if status in (401, 403):
            error = json.loads(await answer.aread())
            assert error["error"] == {401: "unauthorized", 403: "forbidden"}[status]
            assert ("www-authenticate" in answer.headers) == (status == 401)
            return str(status)
    assert status < 500, f"{rpc.name} for {who}: {status}"
    return "may"


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
async def test_each_role_may_what_the_contract_says(
    edge: Edge, report: list[matrix.Outcome], rpc: Rpc
) -> None:
    wanted = matrix.expected(rpc.name)
    callers = [*wanted.answers, *matrix.scope_keys(rpc.name)]
    async with (
        edge.channel() as straight,
        edge.channel(gateway=True) as through,
        httpx.AsyncClient(base_url=edge.url, timeout=20) as http,
    ):
        past = {who: await by_grpc(straight, edge, rpc, who) for who in callers}
        if rpc.path:
            behind = {who: await by_json(http, rpc, who) for who in callers}
        else:
            behind = {who: await by_grpc(through, edge, rpc, who, gateway=True) for who in callers}
    assert past == {**wanted.answers, **matrix.scope_keys(rpc.name)}
    assert behind == past
    report.append(matrix.Outcome(rpc.name, {who: past[who] for who in wanted.answers}))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_the_walk_misses_no_service(edge: Edge, version: str) -> None:
    """What the server itself says that it offers is what was walked."""
    async with edge.channel() as channel:
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        stream = call(iter([ask]), metadata=tuple(credentials("viewer").items()))
        answer = await stream.read()
        offered = {item.name for item in answer.list_services_response.service}
        stream.cancel()
    assert offered == contract.services()


# Each is sent straight to the gRPC port and through Envoy; none is a key that anybody has.
UNFIT = {
    "empty": [("authorization", b"Bearer ")],
    "no scheme": [("authorization", b"viewer-key")],
    "other scheme": [("authorization", b"Basic viewer-key")],
    "blank": [("x-kneo-api-key", b"   ")],
    "utf-8": [("authorization", "Bearer viewer-këy".encode())],
    "latin-1": [("authorization", b"Bearer viewer-k\xebty")],
    "no text at all": [("x-kneo-api-key", b"\xff\xfe\xc3\x28")],
    "five thousand characters": [("authorization", b"Bearer " + b"k" * 5_000)],
    "twenty thousand characters": [("authorization", b"Bearer " + b"k" * 20_000)],
    "twice": [("authorization", b"Bearer viewer-key"), ("authorization", b"Bearer admin-key")],
    "twice the same header": [("x-kneo-api-key", b"viewer-key"), ("x-kneo-api-key", b"wrong")],
    "a wrong one first": [("x-kneo-api-key", b"wrong"), ("x-kneo-api-key", b"admin-key")],
    "a key and more": [("authorization", b"Bearer viewer-key, Bearer viewer-key")],
}


@pytest.mark.parametrize("case", UNFIT)
async def test_unfit_credentials_are_no_credentials(edge: Edge, case: str) -> None:
    """Never 500, and never the rights of a key that is somewhere among them."""
    answers = [await raw_http(edge, UNFIT[case])]
    for gateway in (False, True):
        answers.append(await raw_grpc(edge, UNFIT[case], gateway=gateway))
    assert answers == ["401", "401", "401"]


async def raw_http(edge: Edge, headers: list[tuple[str, bytes]]) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.http_port)
    lines = [b"GET /v1/runs HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close"]
    lines += [name.encode() + b": " + value for name, value in headers]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer.split(b" ", 2)[1].decode()


async def raw_grpc(edge: Edge, headers: list[tuple[str, bytes]], *, gateway: bool) -> str:
    """What gRPC's own client refuses to send has not come in."""
    async with edge.channel(gateway=gateway) as channel:
        try:
            metadata = tuple((name, value.decode("ascii")) for name, value in headers)
        except UnicodeDecodeError:
            return "401"
        try:
            await channel.unary_unary("/kneo.v1.RunService/ListRuns")(b"", metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return CODES.get(error.code(), error.code().name)
        return "may"


async def test_strangers_learn_that_all_is_well_and_nothing_else(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url, timeout=20) as http:
        for who in ("no key", "bad key"):
            told = (await http.get("/readyz", headers=credentials(who))).json()["metadata"]
            assert told == {"ready": True, "manager": "PlatformManager", "checks": {}}
        known = (await http.get("/readyz", headers=credentials("only audit:write"))).json()
        assert len(known["metadata"]["checks"]) == 8
        assert known["metadata"]["checks"]["tool_registry"]["names"]
