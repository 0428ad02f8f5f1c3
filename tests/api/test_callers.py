"""Who a caller is taken for, by which way he comes, and what an operator may set about it."""

import contextlib
import io
import logging
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import meta_pb2, meta_pb2_grpc, run_result_pb2
from kneo_grpc.api.keys import read_keys
from kneo_grpc.api.server import ApiServer
from kneo_grpc.app.logs import configure_logs
from kneo_grpc.app.settings import Settings, read_settings
from kneo_grpc.app.wiring import build_platform
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.integrations.clock import SystemClock
from tests.service import failure, open_service

Code = grpc.StatusCode
EXAMPLES = Path(__file__).parents[2] / "examples"
CI = "spiffe://example.org/ci"
CLIENTS = f"{CI}=viewer; build.example.org=operator"


class Ways(NamedTuple):
    """The gateway's way, and the one that passes the gateway by."""

    socket: str
    tcp: str


async def opened(settings: Settings, folder: Path) -> AsyncIterator[Ways]:
    platform = build_platform(settings)
    await platform.start()
    socket = f"unix:{folder}/door.sock"
    server = ApiServer(
        servicers=platform.servicers(),
        interceptor=platform.interceptor(),
        addresses=(socket, "127.0.0.1:0"),
    )
    await server.start()
    yield Ways(socket, f"127.0.0.1:{server.bound[1]}")
    await server.stop(timedelta(0))
    await platform.stop()


@pytest.fixture
async def ways(settings: Settings, code: ModuleType, tmp_path: Path) -> AsyncIterator[Ways]:
    keys = read_keys("viewer:viewer-key:viewer", "", CLIENTS)
    async for found in opened(replace(settings, keys=keys), tmp_path):
        yield found


async def outcome(target: str, *metadata: tuple[str, str], rpc: str = "ListRuns") -> Code:
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(f"/kneo.v1.RunService/{rpc}")
        try:
            await call(b"", metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return Code.OK


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ([("x-kneo-client-uri", CI)], Code.OK),
        ([("x-kneo-client-dns", "build.example.org")], Code.OK),
        ([("x-kneo-client-uri", "spiffe://example.org/other")], Code.UNAUTHENTICATED),
        # Which of two names was meant nobody can tell; and a name that is no caller's hides none.
        ([("x-kneo-client-uri", f"{CI},spiffe://example.org/b")], Code.UNAUTHENTICATED),
        (
            [("x-kneo-client-uri", "a:b"), ("x-kneo-client-dns", "build.example.org")],
            Code.UNAUTHENTICATED,
        ),
        # A key that is shown decides.
        ([("x-kneo-client-uri", CI), ("authorization", "Bearer wrong")], Code.UNAUTHENTICATED),
        ([("authorization", "Bearer viewer-key")], Code.OK),
        ([("authorization", "bearer viewer-key")], Code.OK),
        ([("x-kneo-api-key", "viewer-key")], Code.OK),
        # The gateway counts calls by the header as it is: a key has no further spellings.
        ([("authorization", "BEARER viewer-key")], Code.UNAUTHENTICATED),
        ([("authorization", "beareR viewer-key")], Code.UNAUTHENTICATED),
        ([("authorization", "Bearer  viewer-key")], Code.UNAUTHENTICATED),
        ([("authorization", "Bearer viewer-key ")], Code.UNAUTHENTICATED),
        ([("authorization", " Bearer viewer-key")], Code.UNAUTHENTICATED),
        ([("x-kneo-api-key", " viewer-key")], Code.UNAUTHENTICATED),
    ],
)
async def test_a_certificate_stands_for_its_caller_where_the_gateway_tells_it(
    ways: Ways, metadata: list[tuple[str, str]], code: Code
) -> None:
    assert await outcome(ways.socket, *metadata) is code


async def test_a_key_that_is_sent_twice_makes_no_repeat_safe(
    settings: Settings, tmp_path: Path
) -> None:
    shutil.copy(EXAMPLES / "three_steps.yaml", tmp_path)
    request = run_result_pb2.CreateRunRequest(input="a", spec_path="three_steps.yaml")
    async for service in open_service(settings, tmp_path):
        for second in ("b", "a", ""):
            twice = (("idempotency-key", "a"), ("idempotency-key", second))
            code, error = await failure(service.runs.CreateRun(request, metadata=twice))
            assert (code, error["error"], error["http"]) == (
                Code.INVALID_ARGUMENT,
                "invalid_idempotency_key",
                400,
            )
        assert (await service.runs.CreateRun(request, metadata=twice[:1])).run_id


async def test_a_certificates_caller_has_his_scopes_only(ways: Ways) -> None:
    viewer, operator = ("x-kneo-client-uri", CI), ("x-kneo-client-dns", "build.example.org")
    assert await outcome(ways.socket, viewer, rpc="CancelRun") is Code.PERMISSION_DENIED
    assert await outcome(ways.socket, operator, rpc="CancelRun") is Code.INVALID_ARGUMENT


async def test_past_the_gateway_nobody_can_speak_for_it(
    ways: Ways, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kneo_grpc.request")

    async def told(count: int) -> dict[str, Any]:
        # The line is written when the answer has left.
        deadline = time.monotonic() + 10
        while len(caplog.records) < count:
            assert time.monotonic() < deadline
            await SystemClock().sleep(timedelta(milliseconds=10))
        return vars(caplog.records[count - 1])

    forged = (
        ("x-kneo-client-uri", CI),
        ("x-kneo-peer", "9.9.9.9"),
        ("x-envoy-original-path", "/v1/forged"),
        ("x-envoy-original-method", "GET"),
        ("x-forwarded-for", "8.8.8.8"),
    )
    assert await outcome(ways.tcp, *forged) is Code.UNAUTHENTICATED
    line = await told(1)
    assert line["client_ip"] == "127.0.0.1"
    assert line["path"] == line["rpc"] == "/kneo.v1.RunService/ListRuns"
    assert await outcome(ways.socket, *forged) is Code.OK
    line = await told(2)
    assert (line["client_ip"], line["path"], line["method"]) == ("9.9.9.9", "/v1/forged", "GET")


@pytest.mark.parametrize(("key", "opens"), [("", False), ("viewer-key", True)])
async def test_metrics_need_a_key(ways: Ways, key: str, opens: bool) -> None:
    assert await metrics(ways.socket, key) is (Code.OK if opens else Code.UNAUTHENTICATED)


async def metrics(target: str, key: str = "") -> Code:
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = meta_pb2_grpc.MetaServiceStub(channel)
        try:
            answer = await stub.GetMetrics(meta_pb2.GetMetricsRequest(), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code()
    assert b"kneo_runs_started_total 0.0\n" in answer.data
    return Code.OK


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"metrics_open": True}, Code.OK), ({"metrics": False, "metrics_open": True}, Code.NOT_FOUND)],
)
async def test_metrics_may_be_open_or_off(
    settings: Settings, tmp_path: Path, changes: dict[str, bool], code: Code
) -> None:
    guarded = replace(settings, keys=read_keys("viewer:viewer-key:viewer", ""), **changes)
    async for ways in opened(guarded, tmp_path):
        assert await metrics(ways.socket) is code
        assert await outcome(ways.socket) is Code.UNAUTHENTICATED


async def test_refused_creates_are_counted(settings: Settings, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "three_steps.yaml", tmp_path)
    request = run_result_pb2.CreateRunRequest(
        input="a", spec_path="three_steps.yaml", async_mode=True
    )
    full = replace(settings, queue_depth_max=1)
    async for service in open_service(full, tmp_path, works=False, executes=False):
        await service.runs.CreateRun(request)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await service.runs.CreateRun(request)
        measured = await service.platform.metrics.read()
    assert (measured.counters["runs_started"], measured.counters["runs_rejected"]) == (1, 1)
    assert measured.gauges == {"worker_count": 0, "runs_queued": 1, "runs_running": 0}


async def test_metrics_answer_while_the_database_does_not(settings: Settings) -> None:
    platform = build_platform(settings)
    measured = await platform.metrics.read()  # it was never started
    assert measured.gauges == {"worker_count": 1}
    assert measured.counters["runs_started"] == 0


def test_a_key_that_is_no_text_is_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    of_grpc = logging.getLogger("grpc._cython.cygrpc")
    for logger in (logging.getLogger(), logging.getLogger("kneo_grpc"), of_grpc):
        for name in ("handlers", "filters"):
            monkeypatch.setattr(logger, name, list(getattr(logger, name)))
        for name in ("propagate", "level"):
            monkeypatch.setattr(logger, name, getattr(logger, name))
    stream = io.StringIO()
    configure_logs("INFO", stream)
    of_grpc.error("Invalid encoding on %s", b"Bearer sk-1\xff")
    of_grpc.error("something else")
    assert "sk-1" not in stream.getvalue()
    assert "something else" in stream.getvalue()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"KNEO_SERV_TLS_CLIENT_CA": "/nowhere.pem"}, "KNEO_SERV_TLS_CLIENT_CA is not a file"),
        ({"KNEO_SERV_TLS_CLIENTS": f"{CI}=viewer"}, "needs KNEO_SERV_TLS_CLIENT_CA"),
        ({"KNEO_SERV_TLS_CLIENT_REQUIRED": "true"}, "needs KNEO_SERV_TLS_CLIENT_CA"),
        ({"KNEO_SERV_TLS_CLIENTS": f"{CI}=king"}, "entry 1"),
        ({"KNEO_SERV_TLS_CLIENTS": "viewer"}, "entry 1 is not of the form"),
        ({"KNEO_SERV_CORS_ORIGINS": "example.org"}, "KNEO_SERV_CORS_ORIGINS"),
        ({"KNEO_SERV_RATE_LIMIT_PER_KEY": "-1"}, "KNEO_SERV_RATE_LIMIT_PER_KEY"),
        ({"KNEO_SERV_MAX_STREAMS": "0"}, "KNEO_SERV_MAX_STREAMS"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(source: dict[str, str], told: str) -> None:
    with pytest.raises(StartRefused, match=told):
        read_settings(source)
