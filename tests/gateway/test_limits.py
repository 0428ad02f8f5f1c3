"""What the gateway refuses by itself where its operator says so; a hand-made service is behind."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
import pytest_asyncio

from kneo_grpc._gen.kneo.v1 import run_pb2, run_pb2_grpc
from kneo_grpc.app.gateway import (
    EnvoyProcess,
    GatewaySettings,
    ensure_local_certificate,
    wait_ready,
)
from kneo_grpc.client import Client, ServiceError
from kneo_grpc.integrations.clock import SystemClock
from tests.gateway.support_certificates import Files, make_authority, make_client
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDENTITY = "spiffe://example.org/ci"


class Door(NamedTuple):
    """An Envoy and what stands behind it. ca: of its own certificate. clients: of its clients."""

    settings: GatewaySettings
    runs: Any
    ca: Path
    clients: Files
    folder: Path

    @property
    def plain(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    @property
    def tls(self) -> str:
        return f"https://localhost:{self.settings.tls_port}"


@contextlib.asynccontextmanager
async def opened(folder: Path, stub: Any, make_settings: Any, **changes: Any) -> Any:
    server, runs = await stub.start_stub(folder / "api.sock")
    pair = ensure_local_certificate(folder / "tls", ["localhost"])
    clients = make_authority(folder, "clients")
    settings = make_settings(
        folder / "api.sock",
        tls_port=free_port(),
        certificate=pair.certificate,
        private_key=pair.key,
        client_ca=clients[0],
        **changes,
    )
    envoy = EnvoyProcess(settings, SystemClock())
    await envoy.start()
    yield Door(settings, runs, pair.ca, clients, folder)
    await envoy.stop()
    await server.stop(None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    tmp_path_factory: pytest.TempPathFactory, stub: Any, make_settings: Any
) -> AsyncIterator[Door]:
    timeouts = {
        "read_timeout": timedelta(milliseconds=400),
        "request_timeout": timedelta(milliseconds=800),
    }
    changes = {"key_rate": 12, "max_connections": 20, **timeouts}
    async with opened(tmp_path_factory.mktemp("d"), stub, make_settings, **changes) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(
    tmp_path_factory: pytest.TempPathFactory, stub: Any, make_settings: Any
) -> AsyncIterator[Door]:
    changes = {"address_rate": 12, "client_required": True}
    async with opened(tmp_path_factory.mktemp("s"), stub, make_settings, **changes) as found:
        yield found


def asking(door: Door, client: Files | None = None) -> httpx.AsyncClient:
    trust = ssl.create_default_context(cafile=door.ca)
    if client is not None:
        trust.load_cert_chain(*client)
    return httpx.AsyncClient(verify=trust, timeout=20)


# Rates


async def test_a_key_that_calls_too_often_waits_while_others_are_served(door: Door) -> None:
    async with asking(door) as http:
        for header in ("authorization", "x-kneo-api-key"):
            # Ten seconds' worth at once is two calls; then there is one every five seconds.
            answers = [
                await http.get(f"{door.plain}/v1/runs/r1", headers={header: "Bearer a"})
                for _ in range(4)
            ]
            assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
            body = answers[-1].json()
            assert body["error"] == body["detail"]["error"] == "resource_exhausted"
            assert body["request_id"] == answers[-1].headers["x-request-id"]
            assert answers[-1].headers["retry-after"] == "5"
            assert "x-envoy-ratelimited" not in answers[-1].headers
            other = await http.get(f"{door.plain}/v1/runs/r1", headers={header: "Bearer b"})
            assert other.status_code == 200
        keyless = [await http.get(f"{door.plain}/v1/runs/r1") for _ in range(4)]
    assert {answer.status_code for answer in keyless} == {200}


async def test_a_native_caller_is_told_in_its_own_terms(door: Door) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{door.settings.port}") as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            for _ in range(4):
                key = (("authorization", "Bearer native"),)
                await stub.GetRun(run_pb2.GetRunRequest(run_id="r1"), metadata=key)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ("retry-after", "5") in tuple(caught.value.initial_metadata() or ()) + tuple(
        caught.value.trailing_metadata() or ()
    )


@pytest.mark.parametrize("scheme", ["http", "grpc"])
async def test_the_client_comes_again_when_it_is_told_to(door: Door, scheme: str) -> None:
    pauses: list[float] = []

    def ask() -> ServiceError:
        target = f"{scheme}://127.0.0.1:{door.settings.port}"
        key = f"patient-{scheme}"
        with Client(target, api_key=key, sleep=pauses.append) as client:
            for _ in range(2):
                client.get_run("r1")
            with pytest.raises(ServiceError) as caught:
                client.get_run("r1")
        return caught.value

    error = await asyncio.to_thread(ask)
    assert (error.reason, error.retry_after) == ("resource_exhausted", 5.0)
    assert pauses == [5.0, 5.0]


async def test_an_address_is_limited_whatever_key_it_tries(strict: Door) -> None:
    async with asking(strict) as http:
        statuses = [
            (await http.get(f"{strict.plain}/v1/runs/r1", headers={"x-kneo-api-key": f"{n}"}))
            for n in range(4)
        ]
    assert [answer.status_code for answer in statuses] == [200, 200, 429, 429]


# Time


async def test_a_read_is_given_up_sooner_than_what_may_wait(door: Door) -> None:
    async with asking(door) as http:
        answer = await http.get(f"{door.plain}/v1/runs/stuck")
    assert (answer.status_code, answer.json()["error"]) == (504, "deadline_exceeded")
    async with asyncio.timeout(10):
        await door.runs.cancelled.wait()


async def test_a_caller_who_does_not_end_his_body_is_sent_away(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.settings.port)
    head = "POST /v1/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: 100\r\n\r\n{{".encode())
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "deadline_exceeded"


async def test_connections_are_counted(door: Door) -> None:
    address = ("127.0.0.1", door.settings.port)
    found = [await asyncio.open_connection(*address) for _ in range(30)]
    reads = [asyncio.create_task(reader.read(1)) for reader, _ in found]
    async with asyncio.timeout(20):
        refused = 0
        while refused < 10:
            done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
            refused += len(done)
            reads = [read for read in reads if read not in done]
            assert all(read.exception() or read.result() == b"" for read in done)
    for _, writer in found:
        writer.close()
    await asyncio.gather(*reads, return_exceptions=True)
    await wait_ready(f"{door.plain}/livez", deadline=timedelta(seconds=10), clock=SystemClock())


# Clients' certificates


async def test_a_clients_certificate_is_told_to_the_service(door: Door) -> None:
    client = make_client(door.folder, door.clients, IDENTITY)
    forged = {"x-kneo-client-uri": "spiffe://example.org/admin", "x-kneo-client-dns": "admin"}
    async with asking(door, client) as http:
        assert (await http.get(f"{door.tls}/v1/runs/r1", headers=forged)).status_code == 200
    assert door.runs.seen["x-kneo-client-uri"] == IDENTITY
    assert "x-kneo-client-dns" not in door.runs.seen


async def test_nobody_can_say_that_he_has_one(door: Door) -> None:
    forged = {
        "x-kneo-client-uri": IDENTITY,
        "x-forwarded-client-cert": f"URI={IDENTITY}",
        "x-forwarded-host": "evil.example",
    }
    async with asking(door) as http:
        for url in (door.plain, door.tls):
            assert (await http.get(f"{url}/v1/runs/r1", headers=forged)).status_code == 200
            assert set(forged).isdisjoint(door.runs.seen)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{door.settings.port}") as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        await stub.GetRun(run_pb2.GetRunRequest(run_id="r1"), metadata=tuple(forged.items()))
    assert set(forged).isdisjoint(door.runs.seen)


async def test_a_certificate_of_another_authority_is_refused(door: Door) -> None:
    stranger = make_client(door.folder, make_authority(door.folder, "others"), IDENTITY)
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        async with asking(door, stranger) as http:
            await http.get(f"{door.tls}/v1/runs/r1")


async def test_a_certificate_can_be_required(strict: Door) -> None:
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        async with asking(strict) as http:
            await http.get(f"{strict.tls}/v1/runs/r1")
    client = make_client(strict.folder, strict.clients, IDENTITY)
    async with asking(strict, client) as http:
        assert (await http.get(f"{strict.tls}/livez")).status_code in (200, 429)


# What gRPC could not carry


@pytest.mark.parametrize("name", ["x-odd#name", "x-a-bin", "x-tab"])
async def test_a_header_that_grpc_cannot_carry_fails_no_call(door: Door, name: str) -> None:
    async with asking(door) as http:
        answer = await http.get(f"{door.plain}/v1/runs/r1", headers={name: "%\t~"})
    assert answer.status_code == 200


# Bodies


BODIES = [
    ('{"input": "a", "colour": 1}', 422, ["colour"]),
    ('{"input": "a", "colour": {"input": 1}, "size": []}', 422, ["colour", "size"]),
    ('{"input": "a", "skills": {"add": ["x"], "remove": []}}', 422, ["skills.remove"]),
    ('{"input": "a", "s\\u0070ec": {}, "b\\"c": 1}', 422, ["b_c"]),
    ('{"input": "a", "spec": {"colour": {"a": [1, {"b": 2}]}}}', 200, None),
    ('{"input": "a", "specPath": "b.yaml"}', 200, None),
    ('{"input": "a \\"b\\": {[\'\\\\"}', 200, None),
    ('{"input": "a", "input": "b"}', 400, None),
    ('{"input": "a", "spec_path": "b", "specPath": "c"}', 400, None),
    ('{"input": "a", "spec": {"b": 1, "c": {"b": 1}, "\\u0062": 2}}', 400, None),
    ("{'input': 'a'}", 400, None),
    ('{input: "a"}', 400, None),
    ('{"input": "a", "spec": ' + '{"a":' * 200 + "1" + "}" * 201, 400, None),
    ('{"input": "a", "spec": {"a": ' + "[" * 200 + "]" * 200 + "}}", 400, None),
    ("[" * 100_000, 400, None),
    ('{"a":' * 100_000, 400, None),
    ('{"input": "a"', 400, None),
]


@pytest.mark.parametrize(("body", "status", "unknown"), BODIES)
async def test_a_body_holds_what_the_contract_knows_and_each_thing_once(
    door: Door, body: str, status: int, unknown: list[str] | None
) -> None:
    calls = door.runs.calls
    async with asking(door) as http:
        headers = {"content-type": "application/json"}
        answer = await http.post(f"{door.plain}/v1/runs", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert door.runs.calls - calls == (1 if status == 200 else 0)
    told = answer.json()
    if status == 400:
        assert told["error"] == "invalid_request"
    if unknown is not None:
        faults = [{"field": name, "message": "is not known"} for name in unknown]
        assert told["error"] == told["detail"]["error"] == "validation_error"
        assert told["fields"] == told["detail"]["fields"] == faults


@pytest.mark.parametrize("path", ["/runs/r1/cancel", "/v1/runs/r1/cancel/", "/v1//runs/r1/cancel"])
async def test_each_spelling_of_a_path_is_checked(door: Door, path: str) -> None:
    async with asking(door) as http:
        answer = await http.post(f"{door.plain}{path}?x=1", json={"reason": "a"})
        assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
        assert (await http.post(f"{door.plain}{path}", json={})).status_code == 200
