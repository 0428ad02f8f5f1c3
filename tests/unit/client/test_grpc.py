"""The clients over gRPC, before a real server."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from google.api import annotations_pb2
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from kneo_grpc._gen.kneo.v1 import (
    health_pb2,
    health_pb2_grpc,
    maintenance_pb2,
    maintenance_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    run_pb2,
    run_pb2_grpc,
)
from kneo_grpc._gen.kneo.v1 import run_result_pb2 as result_pb2
from kneo_grpc.client import AsyncClient, Client, ServiceError, methods, rpc

ENVELOPE = {
    "error": "spec_invalid",
    "message": "no",
    "request_id": "req-7",
    "diagnostics": [{"code": "E_SCHEMA"}],
    "detail": {"error": "spec_invalid", "message": "no", "diagnostics": [{"code": "E_SCHEMA"}]},
}


class Runs(run_pb2_grpc.RunServiceServicer):
    """failures: (code, message, trailers) for the first calls; later calls succeed."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.metadata = []
        self.requests = []

    async def CreateRun(self, request, context):
        await self._record(request, context)
        answer = result_pb2.RunResult(run_id="run_1", status="blocked")
        answer.metadata.update({"request": {"timeout_seconds": 3600, "ratio": 0.5}})
        return answer

    async def GetRun(self, request, context):
        await self._record(request, context)
        answer = run_pb2.Run(id=request.run_id, status="completed")
        answer.created_at.FromJsonString("2026-01-01T00:00:00Z")
        return answer

    async def ContinueRun(self, request, context):
        await self._record(request, context)
        return result_pb2.RunResult(run_id=request.run_id, status="completed")

    async def DiffCheckpoints(self, request, context):
        await self._record(request, context)
        answer = run_pb2.CheckpointDiff(run_id=request.run_id, change_count=1)
        answer.changed.add().update({"path": "state.step", "before": None, "after": 2})
        return answer

    async def _record(self, request, context):
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.failures:
            code, message, trailers = self.failures.pop(0)
            await context.abort(code, message, trailers)


class Health(health_pb2_grpc.HealthServiceServicer):
    async def GetHealth(self, request, context):
        answer = health_pb2.Health(ok=True)
        answer.metadata.update({"status": "healthy"})
        return answer


class Queue(queue_pb2_grpc.QueueServiceServicer):
    async def ListDeadLetters(self, request, context):
        answer = queue_pb2.ListQueueResponse(count=request.limit)
        answer.jobs.add(run_id="run_1", state="dead").due_at.FromJsonString("2026-01-01T00:00:00Z")
        return answer


class Maintenance(maintenance_pb2_grpc.MaintenanceServiceServicer):
    async def PruneRetention(self, request, context):
        return maintenance_pb2.PruneResult(counts={"runs": 3})


@asynccontextmanager
async def serving(runs, credentials=None):
    server = grpc.aio.server()
    run_pb2_grpc.add_RunServiceServicer_to_server(runs, server)
    health_pb2_grpc.add_HealthServiceServicer_to_server(Health(), server)
    queue_pb2_grpc.add_QueueServiceServicer_to_server(Queue(), server)
    maintenance_pb2_grpc.add_MaintenanceServiceServicer_to_server(Maintenance(), server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


class Pauses(list):
    async def sleep(self, seconds):
        self.append(seconds)


@pytest.fixture(params=["async", "sync"])
def call(request):
    """Calls a method of either client and returns (answer or error, pauses)."""

    async def over_async(target, act, **options):
        pauses = Pauses()
        async with AsyncClient(target, sleep=pauses.sleep, **options) as client:
            try:
                return await act(client), pauses
            except ServiceError as error:
                return error, pauses

    async def over_sync(target, act, **options):
        def work():
            pauses = Pauses()
            with Client(target, sleep=pauses.append, **options) as client:
                try:
                    return act(client), pauses
                except ServiceError as error:
                    return error, pauses

        return await asyncio.to_thread(work)

    return over_async if request.param == "async" else over_sync


async def test_an_answer_has_the_shape_of_the_json_route(call):
    async with serving(Runs()) as port:
        answer, _ = await call(f"grpc://127.0.0.1:{port}", lambda client: client.get_run("run_1"))
    assert answer["id"] == "run_1"
    assert answer["created_at"] == "2026-01-01T00:00:00Z"
    assert answer["visited_steps"] == []
    assert answer["trace_event_count"] == 0
    assert "output_text" not in answer


async def test_whole_numbers_of_a_struct_stay_whole(call):
    async with serving(Runs()) as port:
        answer, _ = await call(
            f"127.0.0.1:{port}", lambda client: client.create_run({"input": "hi"})
        )
    request = answer["metadata"]["request"]
    assert json.dumps(request, sort_keys=True) == '{"ratio": 0.5, "timeout_seconds": 3600}'


async def test_a_create_carries_fields_key_and_idempotency_key(call):
    runs = Runs()
    body = {"input": "hi", "spec": {"a": [1, None]}, "overrides": {"b": None}, "session_id": None}
    async with serving(runs) as port:
        await call(
            f"grpc://127.0.0.1:{port}", lambda client: client.create_run(body), api_key="secret"
        )
    (request,) = runs.requests
    assert rpc.to_object(request) == {
        "input": "hi",
        "spec": {"a": [1, None]},
        "overrides": {"b": None},
        "target": "",
        "async_mode": False,
        "overlays": [],
    }
    (sent,) = runs.metadata
    assert sent["authorization"] == "Bearer secret"
    assert sent["idempotency-key"].startswith("kneo-cli-")


async def test_a_create_can_be_queued_with_a_deadline(call):
    runs = Runs()
    body = {"input": "hi", "async_mode": True, "timeout_seconds": 30}
    async with serving(runs) as port:
        await call(f"127.0.0.1:{port}", lambda client: client.create_run(body))
    (request,) = runs.requests
    assert (request.async_mode, request.timeout_seconds) == (True, 30)


async def test_a_continuation_is_repeated_with_the_same_key(call):
    envelope = json.dumps({"error": "queue_full", "message": "full"})
    busy = (grpc.StatusCode.UNAVAILABLE, "full", (("x-kneo-error-json", envelope),))
    runs = Runs(busy)
    async with serving(runs) as port:
        answer, _ = await call(f"127.0.0.1:{port}", lambda client: client.continue_run("run_1"))
    assert (answer["run_id"], answer["status"]) == ("run_1", "completed")
    first, second = (sent["idempotency-key"] for sent in runs.metadata)
    assert first == second


async def test_a_difference_keeps_null_and_whole_numbers(call):
    runs = Runs()
    async with serving(runs) as port:
        answer, _ = await call(
            f"127.0.0.1:{port}",
            lambda client: client.checkpoint_diff("run_1", {"to_sequence": 4}),
        )
    assert answer["changed"] == [{"path": "state.step", "before": None, "after": 2}]
    (request,) = runs.requests
    assert (request.run_id, request.to_sequence) == ("run_1", 4)
    assert not request.HasField("from_sequence")


async def test_the_queue_and_maintenance_are_services_of_their_own(call):
    async with serving(Runs()) as port:
        dead, _ = await call(
            f"127.0.0.1:{port}", lambda client: client.list_dead_letters({"limit": 5})
        )
        pruned, _ = await call(f"127.0.0.1:{port}", lambda client: client.prune_retention())
    job = {"run_id": "run_1", "state": "dead", "due_at": "2026-01-01T00:00:00Z", "claims": 0}
    assert (dead["jobs"], dead["count"]) == ([job], 5)
    assert pruned == {"counts": {"runs": 3}}


async def test_the_envelope_in_the_trailers_is_read(call):
    trailers = (("x-kneo-error-json", json.dumps(ENVELOPE)),)
    runs = Runs((grpc.StatusCode.INVALID_ARGUMENT, "no", trailers))
    async with serving(runs) as port:
        error, pauses = await call(
            f"grpc://127.0.0.1:{port}", lambda client: client.create_run({"input": "hi"})
        )
    assert (error.reason, error.grpc_code) == ("spec_invalid", "INVALID_ARGUMENT")
    assert error.request_id == "req-7"
    assert error.details == {"diagnostics": [{"code": "E_SCHEMA"}]}
    assert pauses == []


async def test_error_info_and_field_faults_are_read(call):
    status = status_pb2.Status(code=3, message="input: too long")
    for detail in (
        error_details_pb2.ErrorInfo(
            reason="validation_error", domain="kneo", metadata={"limit": "20000"}
        ),
        error_details_pb2.BadRequest(
            field_violations=[{"field": "input", "description": "too long"}]
        ),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailers = (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("x-request-id", "req-8"),
    )
    runs = Runs((grpc.StatusCode.INVALID_ARGUMENT, "input: too long", trailers))
    async with serving(runs) as port:
        error, _ = await call(
            f"grpc://127.0.0.1:{port}", lambda client: client.create_run({"input": "hi"})
        )
    assert (error.reason, error.message) == ("validation_error", "input: too long")
    assert error.details == {
        "limit": "20000",
        "fields": [{"field": "input", "message": "too long"}],
    }
    assert error.request_id == "req-8"


async def test_an_overloaded_service_is_asked_again_with_the_same_key(call):
    envelope = json.dumps({"error": "queue_full", "message": "full"})
    busy = (grpc.StatusCode.UNAVAILABLE, "full", (("x-kneo-error-json", envelope),))
    patient = (*busy[:2], (("x-kneo-error-json", envelope), ("retry-after", "3")))
    runs = Runs(busy, patient)
    async with serving(runs) as port:
        answer, pauses = await call(
            f"grpc://127.0.0.1:{port}", lambda client: client.create_run({"input": "hi"})
        )
    assert answer["run_id"] == "run_1"
    assert pauses == [0.25, 3.0]
    keys = [sent["idempotency-key"] for sent in runs.metadata]
    assert len(keys) == 3
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("idempotency_key_in_progress", grpc.StatusCode.ABORTED),
        ("resource_exhausted", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_who_is_told_when_to_come_again_does(call, reason, code):
    told = ("x-kneo-error-json", json.dumps({"error": reason, "message": "wait"}))
    waits, fails = (code, "wait", (told, ("retry-after", "1"))), (code, "never", (told,))
    async with serving(Runs(waits)) as port:
        answer, pauses = await call(
            f"grpc://127.0.0.1:{port}", lambda client: client.create_run({"input": "hi"})
        )
    assert (answer["run_id"], pauses) == ("run_1", [1.0])
    async with serving(Runs(fails)) as port:
        error, pauses = await call(
            f"grpc://127.0.0.1:{port}", lambda client: client.create_run({"input": "hi"})
        )
    assert (error.reason, pauses) == (reason, [])


async def test_a_conflict_is_not_repeated(call):
    runs = Runs((grpc.StatusCode.ABORTED, "held", ()))
    async with serving(runs) as port:
        error, pauses = await call(
            f"grpc://127.0.0.1:{port}", lambda client: client.create_run({"input": "hi"})
        )
    assert error.reason == "aborted"
    assert pauses == []


async def test_a_service_that_is_not_there_is_asked_three_times(call):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error, pauses = await call(f"grpc://127.0.0.1:{port}", lambda client: client.health())
    assert error.reason == "unavailable"
    assert f"127.0.0.1:{port}" in error.message
    assert pauses == [0.25, 0.5]


async def test_a_field_that_does_not_exist_is_refused_before_it_is_sent(call):
    runs = Runs()
    async with serving(runs) as port:
        error, _ = await call(
            f"grpc://127.0.0.1:{port}", lambda client: client.create_run({"inptu": "hi"})
        )
    assert error.reason == "invalid_request"
    assert "inptu" in error.message
    assert runs.requests == []


async def test_grpcs_trusts_the_given_authority(call, certificate):
    chain, key = certificate
    credentials = grpc.ssl_server_credentials([(key, chain)])
    async with serving(Runs(), credentials) as port:
        answer, _ = await call(
            f"grpcs://localhost:{port}", lambda client: client.health(), tls_ca=chain
        )
        refused, _ = await call(f"grpcs://localhost:{port}", lambda client: client.health())
    assert answer["metadata"] == {"status": "healthy"}
    assert refused.reason == "unavailable"


async def test_the_async_client_speaks_grpc_to_an_http_address():
    async with serving(Runs()) as port, AsyncClient(f"http://127.0.0.1:{port}") as client:
        assert (await client.health())["ok"] is True


@pytest.mark.parametrize("method", methods.ALL, ids=lambda method: method.rpc)
def test_every_call_names_an_rpc_and_its_first_route(method):
    service = rpc._SERVICES[method.service][0].DESCRIPTOR.services_by_name[method.service]
    options = service.methods_by_name[method.rpc].GetOptions()
    rule = options.Extensions[annotations_pb2.http]
    assert getattr(rule, method.verb.lower()) == method.path
    assert rule.body == ("" if method.verb == "GET" else method.body or "*")


def test_both_clients_have_the_same_methods():
    def public(kind):
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
