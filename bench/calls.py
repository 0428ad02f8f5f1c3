"""Calls to the service over gRPC and over HTTP/JSON, behind one face."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import orjson
from google.protobuf.json_format import ParseDict

from bench.http import HttpClient
from bench.service import TOKEN, Process
from kneo_grpc._gen.kneo.v1 import (
    health_pb2,
    health_pb2_grpc,
    human_task_pb2,
    human_task_pb2_grpc,
    run_pb2,
    run_pb2_grpc,
    run_result_pb2,
)

TIMEOUT_SECONDS = 60.0
PROTOCOLS = ("grpc", "http")
WAYS = ("grpc", "grpc through Envoy", "http")
"""The ways to a service; the first one passes Envoy by."""
BLOCKING = "grpc, blocking"

_OPTIONS: dict[str, Any] = {
    "metadata": (("authorization", f"Bearer {TOKEN}"),),
    "timeout": TIMEOUT_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a create or a resume brought about. request_id: of the question, where one waits."""

    run_id: str
    status: str
    continuation_id: str = ""
    request_id: str = ""


class Creates(Protocol):
    """The call that starts a run. It raises when the service does not answer well."""

    def prepare(self, fields: dict[str, Any]) -> Any:
        """Return a create request in the form that travels."""

    async def create(self, request: Any) -> Answer:
        """Create a run from a prepared request."""


class Calls(Creates, Protocol):
    """All calls that are measured."""

    async def resume(self, waiting: Answer) -> Answer:
        """Approve what a run waits for."""

    async def get(self, run_id: str) -> str:
        """Return a run's status."""

    async def trace(self, run_id: str) -> int:
        """Return how many events a run's trace has."""

    async def newest(self, limit: int) -> int:
        """List runs, the last changed first; return how many came."""

    async def live(self) -> None:
        """Ask whether the process lives."""


class GrpcCalls:
    """Over gRPC, one channel for all."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._runs = _stub(run_pb2_grpc.RunServiceStub, channel)
        self._tasks = _stub(human_task_pb2_grpc.HumanTaskServiceStub, channel)
        self._health = _stub(health_pb2_grpc.HealthServiceStub, channel)
        self._options = _OPTIONS

    def prepare(self, fields: dict[str, Any]) -> Any:
        """Return the message."""
        return ParseDict(fields, run_result_pb2.CreateRunRequest())

    async def create(self, request: Any) -> Answer:
        """Create a run."""
        return _answer(await self._runs.CreateRun(request, **self._options))

    async def resume(self, waiting: Answer) -> Answer:
        """Approve."""
        request = human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=waiting.continuation_id,
            request_id=waiting.request_id,
            decision="approved",
        )
        return _answer(await self._tasks.ResumeHumanTask(request, **self._options))

    async def get(self, run_id: str) -> str:
        """Return a run's status."""
        request = run_pb2.GetRunRequest(run_id=run_id)
        return str((await self._runs.GetRun(request, **self._options)).status)

    async def trace(self, run_id: str) -> int:
        """Return the number of events."""
        request = run_pb2.GetRunTraceRequest(run_id=run_id)
        return len((await self._runs.GetRunTrace(request, **self._options)).events)

    async def newest(self, limit: int) -> int:
        """Return the number of runs listed."""
        request = run_pb2.ListRunsRequest(limit=limit)
        return len((await self._runs.ListRuns(request, **self._options)).runs)

    async def live(self) -> None:
        """Ask for liveness."""
        answer = await self._health.GetLiveness(
            health_pb2.GetLivenessRequest(), timeout=TIMEOUT_SECONDS
        )
        assert answer.ok


class BlockingCalls:
    """Creates over gRPC, past Envoy, by the blocking client, which holds up the driver's event
    loop: for a caller that is alone.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._runs = _stub(run_pb2_grpc.RunServiceStub, channel)
        self._options = _OPTIONS

    def prepare(self, fields: dict[str, Any]) -> Any:
        """Return the message."""
        return ParseDict(fields, run_result_pb2.CreateRunRequest())

    async def create(self, request: Any) -> Answer:
        """Create a run."""
        return _answer(self._runs.CreateRun(request, **self._options))


class HttpCalls:
    """Over HTTP/JSON, through Envoy, with kept connections."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def prepare(self, fields: dict[str, Any]) -> Any:
        """Return the body."""
        return orjson.dumps(fields)

    async def create(self, request: Any) -> Answer:
        """Create a run."""
        return _json_answer(await self._client.ask("POST", "/v1/runs", request))

    async def resume(self, waiting: Answer) -> Answer:
        """Approve."""
        path = f"/v1/human-tasks/{waiting.continuation_id}/resume"
        body = orjson.dumps({"request_id": waiting.request_id, "decision": "approved"})
        return _json_answer(await self._client.ask("POST", path, body))

    async def get(self, run_id: str) -> str:
        """Return a run's status."""
        return str(orjson.loads(await self._client.ask("GET", f"/v1/runs/{run_id}"))["status"])

    async def trace(self, run_id: str) -> int:
        """Return the number of events."""
        answer = orjson.loads(await self._client.ask("GET", f"/v1/runs/{run_id}/trace"))
        return len(answer["events"])

    async def newest(self, limit: int) -> int:
        """Return the number of runs listed."""
        return len(orjson.loads(await self._client.ask("GET", f"/v1/runs?limit={limit}"))["runs"])

    async def live(self) -> None:
        """Ask for liveness."""
        assert orjson.loads(await self._client.ask("GET", "/v1/livez"))["ok"]


@contextlib.asynccontextmanager
async def calling(process: Process, protocol: str) -> AsyncIterator[Calls]:
    """Connect to a service. protocol: one of WAYS."""
    if protocol == "http":
        async with HttpClient("127.0.0.1", process.port, TOKEN, TIMEOUT_SECONDS) as client:
            yield HttpCalls(client)
    else:
        port = process.grpc_port if protocol == WAYS[0] else process.port
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.channel_ready()
            yield GrpcCalls(channel)


@contextlib.contextmanager
def calling_blocked(process: Process) -> Iterator[BlockingCalls]:
    """Connect the blocking client to a service, past Envoy."""
    # The address is that of the other client, whose connection it would share.
    apart = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}", options=apart) as channel:
        grpc.channel_ready_future(channel).result(TIMEOUT_SECONDS)
        yield BlockingCalls(channel)


def _stub(build: Callable[..., Any], channel: grpc.Channel | grpc.aio.Channel) -> Any:
    """Build a stub; generated code carries no types."""
    return build(channel)


def _answer(message: Any) -> Answer:
    request_id = ""
    if message.human_intervention_required:
        request_id = message.metadata["pending_human_request"]["id"]
    return Answer(message.run_id, message.status, message.continuation_id, request_id)


def _json_answer(body: bytes) -> Answer:
    data = orjson.loads(body)
    request_id = ""
    if data.get("human_intervention_required"):
        request_id = data["metadata"]["pending_human_request"]["id"]
    return Answer(data["run_id"], data["status"], data.get("continuation_id", ""), request_id)
