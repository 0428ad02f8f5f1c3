import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2 as grpc_health_pb2
from grpc_health.v1 import health_pb2_grpc as grpc_health_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from kneo_grpc._gen.kneo.v1 import health_pb2, run_pb2
from kneo_grpc.api.policy import POLICY
from kneo_grpc.api.server import SERVICES
from kneo_grpc.integrations.clock import SystemClock
from tests.service import create, data, failure, function_spec

Code = grpc.StatusCode


def every_rpc():
    pool = descriptor_pool.Default()
    return [
        f"/{name}/{method.name}"
        for name in SERVICES
        for method in pool.FindServiceByName(name).methods
    ]


def test_every_rpc_has_a_policy_row() -> None:
    assert set(every_rpc()) == {rpc for rpc in POLICY if rpc.startswith("/kneo.v1.")}


async def test_the_other_header_and_other_schemes(guarded) -> None:
    call = guarded.channel.unary_unary("/kneo.v1.RunService/ListRuns")
    await call(b"", metadata=(("x-kneo-api-key", "viewer-key"),))
    await call(b"", metadata=(("authorization", "Basic x"), ("x-kneo-api-key", "viewer-key")))
    code, error = await failure(call(b"", metadata=(("authorization", "Basic viewer-key"),)))
    assert (code, error["error"], error["http"]) == (Code.UNAUTHENTICATED, "unauthorized", 401)


async def test_a_missing_scope_is_named(guarded) -> None:
    call = guarded.channel.unary_unary("/kneo.v1.RunService/CreateRun")
    code, error = await failure(call(b"", metadata=(("x-kneo-api-key", "viewer-key"),)))
    assert (code, error["error"], error["required_scope"], error["http"]) == (
        Code.PERMISSION_DENIED,
        "forbidden",
        "runs:write",
        403,
    )
    assert error["detail"] == {
        "error": "forbidden",
        "message": "Missing required scope: runs:write",
        "required_scope": "runs:write",
    }


async def test_a_native_client_gets_status_details(service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.runs.ListRuns(run_pb2.ListRunsRequest(limit=0))
    status = rpc_status.from_call(raised.value)
    info, faults = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(faults)
    assert (info.reason, info.domain) == ("validation_error", "kneo")
    assert [item.field for item in faults.field_violations] == ["limit"]


@pytest.mark.parametrize("sent", ["my-id-1", "x" * 128])
async def test_a_request_id_is_echoed(service, sent) -> None:
    call = service.health.GetHealth(
        health_pb2.GetHealthRequest(), metadata=(("x-request-id", sent),)
    )
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b"])
async def test_an_unfit_request_id_is_replaced(service, sent) -> None:
    call = service.health.GetHealth(
        health_pb2.GetHealthRequest(), metadata=(("x-request-id", sent),)
    )
    await call
    made = dict(await call.trailing_metadata())["x-request-id"]
    assert made != sent
    assert made.startswith("reqid_")


async def test_each_call_leaves_one_log_line(service, caplog) -> None:
    caplog.set_level("INFO", logger="kneo_grpc.request")
    await failure(
        service.runs.GetRun(
            run_pb2.GetRunRequest(run_id="run_x"), metadata=(("x-request-id", "log-me"),)
        )
    )

    def records():
        return [r for r in caplog.records if r.name == "kneo_grpc.request"]

    # The line is written when the answer has left, so the caller may be faster.
    deadline = time.monotonic() + 5
    while not records():
        assert time.monotonic() < deadline
        await service.health.GetLiveness(health_pb2.GetLivenessRequest())
    record = records()[0]
    assert (record.request_id, record.status_code, record.error) == ("log-me", 404, "not_found")
    assert sum(r.request_id == "log-me" for r in records()) == 1


async def logged(caplog: pytest.LogCaptureFixture, request_id: str) -> Any:
    """The line of a call; it is written when the answer has left, so the caller may be faster."""
    deadline = time.monotonic() + 10
    while True:
        for record in caplog.records:
            if getattr(record, "request_id", "") == request_id:
                return record
        assert time.monotonic() < deadline
        await SystemClock().sleep(timedelta(milliseconds=10))


async def test_a_line_about_a_refused_caller_says_who_it_is(guarded, caplog) -> None:
    caplog.set_level("INFO", logger="kneo_grpc.request")
    key = (("x-kneo-api-key", "viewer-key"), ("x-request-id", "refused"))
    await failure(guarded.channel.unary_unary("/kneo.v1.RunService/CreateRun")(b"", metadata=key))
    record = await logged(caplog, "refused")
    assert (record.status_code, record.principal) == (403, "viewer")
    await failure(
        guarded.runs.ListRuns(run_pb2.ListRunsRequest(), metadata=(("x-request-id", "unknown"),))
    )
    record = await logged(caplog, "unknown")
    assert (record.status_code, hasattr(record, "principal")) == (401, False)


async def test_a_caller_who_left_was_not_answered(service, code, caplog) -> None:
    caplog.set_level("INFO", logger="kneo_grpc.request")
    request = create(spec=function_spec("gated"))
    call = service.runs.CreateRun(request, metadata=(("x-request-id", "left"),))
    await until(lambda: service.platform.legs.driven())
    call.cancel()
    record = await logged(caplog, "left")
    assert (record.status_code, record.grpc_code) == (499, "CANCELLED")
    code.GATE.set()


async def test_a_reader_of_a_stream_who_left_did_not_hear_its_end(service, caplog) -> None:
    caplog.set_level("INFO", logger="kneo_grpc.request")
    watch = grpc_health_grpc.HealthStub(service.channel).Watch(
        grpc_health_pb2.HealthCheckRequest(), metadata=(("x-request-id", "watch"),)
    )
    await watch.read()
    watch.cancel()
    record = await logged(caplog, "watch")
    assert (record.status_code, record.grpc_code) == (499, "CANCELLED")


async def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        await SystemClock().sleep(timedelta(milliseconds=10))


async def test_probes_are_open_and_tell_strangers_little(guarded) -> None:
    answer = data(await guarded.health.GetReadiness(health_pb2.GetReadinessRequest()))
    assert answer["ok"] is True
    assert (answer["metadata"]["ready"], answer["metadata"]["checks"]) == (True, {})
    guarded.platform.health.drain()
    code, error = await failure(guarded.health.GetReadiness(health_pb2.GetReadinessRequest()))
    assert (code, error["error"]) == (Code.UNAVAILABLE, "not_ready")
    assert error["metadata"]["checks"] == {"api": {"name": "api", "ok": False}}


async def test_probes_tell_callers_with_a_key_more(guarded) -> None:
    known = await guarded.health.GetReadiness(
        health_pb2.GetReadinessRequest(), metadata=(("x-kneo-api-key", "viewer-key"),)
    )
    assert len(data(known)["metadata"]["checks"]) == 8
    assert data(known)["metadata"]["checks"]["tool_registry"]["names"] == [
        "compress_history",
        "publish_report",
        "summarize",
        "web_search",
    ]


async def test_a_draining_service_is_not_ready_but_alive(service) -> None:
    service.platform.health.drain()
    code, error = await failure(service.health.GetReadiness(health_pb2.GetReadinessRequest()))
    assert (code, error["error"], error["http"]) == (Code.UNAVAILABLE, "not_ready", 503)
    assert error["metadata"]["ready"] is False
    assert error["metadata"]["checks"]["api"]["ok"] is False
    assert (await service.health.GetLiveness(health_pb2.GetLivenessRequest())).ok


async def test_grpc_health_and_reflection_answer(service) -> None:
    health = grpc_health_grpc.HealthStub(service.channel)
    answer = await health.Check(grpc_health_pb2.HealthCheckRequest(service="kneo.v1.RunService"))
    assert answer.status == grpc_health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async for reply in reflection.ServerReflectionInfo(iter([request])):
        names = {item.name for item in reply.list_services_response.service}
        assert set(SERVICES) <= names
        break


async def test_reflection_needs_a_key_where_keys_are_configured(guarded) -> None:
    reflection = reflection_pb2_grpc.ServerReflectionStub(guarded.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in reflection.ServerReflectionInfo(iter([request])):
            pass
    assert raised.value.code() is Code.UNAUTHENTICATED


async def test_an_unknown_method_is_unimplemented(service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.channel.unary_unary("/kneo.v1.RunService/Nothing")(b"")
    assert raised.value.code() is Code.UNIMPLEMENTED


async def test_trailers_stay_below_what_grpc_carries(service) -> None:
    from kneo_grpc.api.errors import trailers
    from kneo_grpc.domain.errors import NotReady, SpecInvalid

    findings = [{"code": "E", "message": "m" * 5000, "path": "p" * 500} for _ in range(500)]
    for error in (
        SpecInvalid("x" * 9000, diagnostics=findings),
        NotReady("no", metadata={"k": "v" * 20_000}),
        SpecInvalid("é" * 3000, diagnostics=[{"code": "E", "message": "é" * 900}] * 9),
    ):
        sent = trailers(error, "r" * 128)
        size = sum(len(k) + len(v) * (4 / 3 if k.endswith("-bin") else 1) for k, v in sent)
        assert size < 7500
        json.loads(dict(sent)["x-kneo-error-json"])


async def test_the_server_waits_for_no_method_by_itself(service) -> None:
    """grpc.aio has a task for each registered method, and looks at all of them with each call."""
    await service.runs.CreateRun(create(spec=function_spec("note")))
    waiting = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    assert any(name.endswith("_request_call") for name in waiting), waiting
    assert not any("registered" in name for name in waiting)
