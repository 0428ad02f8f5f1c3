"""Calls to the service over gRPC and over HTTP/JSON, behind one face."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import orjson
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from bench.http import HttpClient
from bench.http2 import UnaryClient
from bench.service import TOKEN, Process
from kneo_grpc._gen.kneo.v1 import (
    health_pb2,
    human_task_pb2,
    run_pb2,
    run_pb2_grpc,
    run_result_pb2,
)

TIMEOUT_SECONDS = 60.0
PROTOCOLS = ("grpc", "http")
WAYS = ("grpc", "grpc through Envoy", "http")
"""The ways to a service; the first one passes Envoy by."""
CLIENTS = ("grpc.aio", "grpc, blocking")
"""Python's own clients of gRPC, past Envoy."""

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


class _Messages:
    """Create requests as gRPC sends them."""

    def prepare(self, fields: dict[str, Any]) -> Any:
        """Return the message."""
        return ParseDict(fields, run_result_pb2.CreateRunRequest())


class GrpcCalls(_Messages):
    """Over gRPC, one connection for all callers."""

    def __init__(self, client: UnaryClient) -> None:
        self._client = client

    async def create(self, request: Any) -> Answer:
        """Create a run."""
        return _answer(await self._ask(_CREATE, request))

    async def resume(self, waiting: Answer) -> Answer:
        """Approve."""
        request = human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=waiting.continuation_id,
            request_id=waiting.request_id,
            decision="approved",
        )
        return _answer(await self._ask(_RESUME, request))

    async def get(self, run_id: str) -> str:
        """Return a run's status."""
        return str((await self._ask(_GET, run_pb2.GetRunRequest(run_id=run_id))).status)

    async def trace(self, run_id: str) -> int:
        """Return the number of events."""
        return len((await self._ask(_TRACE, run_pb2.GetRunTraceRequest(run_id=run_id))).events)

    async def newest(self, limit: int) -> int:
        """Return the number of runs listed."""
        return len((await self._ask(_LIST, run_pb2.ListRunsRequest(limit=limit))).runs)

    async def live(self) -> None:
        """Ask for liveness."""
        assert (await self._ask(_LIVE, health_pb2.GetLivenessRequest())).ok

    async def _ask(self, method: "_Method", request: Any) -> Any:
        return method.read(await self._client.ask(method.path, request.SerializeToString()))


class AioCalls(_Messages):
    """Creates over gRPC, past Envoy, by Python's asynchronous client."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._runs = _stub(run_pb2_grpc.RunServiceStub, channel)

    async def create(self, request: Any) -> Answer:
        """Create a run."""
        return _answer(await self._runs.CreateRun(request, **_OPTIONS))


class BlockingCalls(_Messages):
    """Creates over gRPC, past Envoy, by the blocking client, which holds up the driver's event
    loop: for a caller that is alone.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._runs = _stub(run_pb2_grpc.RunServiceStub, channel)

    async def create(self, request: Any) -> Answer:
        """Create a run."""
        return _answer(self._runs.CreateRun(request, **_OPTIONS))


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
        metadata = {"authorization": f"Bearer {TOKEN}"}
        async with UnaryClient("127.0.0.1", port, metadata, TIMEOUT_SECONDS) as client:
            yield GrpcCalls(client)


@contextlib.asynccontextmanager
async def calling_by_aio(process: Process) -> AsyncIterator[AioCalls]:
    """Connect Python's asynchronous client to a service, past Envoy."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        await channel.channel_ready()
        yield AioCalls(channel)


@contextlib.contextmanager
def calling_blocked(process: Process) -> Iterator[BlockingCalls]:
    """Connect Python's blocking client to a service, past Envoy."""
    # Else it would share the asynchronous client's connection.
    apart = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}", options=apart) as channel:
        grpc.channel_ready_future(channel).result(TIMEOUT_SECONDS)
        yield BlockingCalls(channel)


class _Method:
    """A method of the contract, by its service and name."""

    def __init__(self, file: Any, service: str, name: str) -> None:
        described = file.DESCRIPTOR.services_by_name[service].methods_by_name[name]
        self.path = f"/{described.containing_service.full_name}/{name}"
        self.read: Callable[[bytes], Any] = GetMessageClass(described.output_type).FromString


_CREATE = _Method(run_pb2, "RunService", "CreateRun")
_GET = _Method(run_pb2, "RunService", "GetRun")
_TRACE = _Method(run_pb2, "RunService", "GetRunTrace")
_LIST = _Method(run_pb2, "RunService", "ListRuns")
_RESUME = _Method(human_task_pb2, "HumanTaskService", "ResumeHumanTask")
_LIVE = _Method(health_pb2, "HealthService", "GetLiveness")


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
