"""gRPC's own services: health for probes, reflection for tools."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from kneo_grpc.domain.errors import NotFound

HEALTH = "grpc.health.v1.Health"
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""Both versions have the same messages; new tools ask the first one first."""

_Answer = health_pb2.HealthCheckResponse


class GrpcHealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # untyped package
    """Tells whether the service takes calls: as a whole, under the empty name, and by service."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = ("", *names)
        self._serving = False
        self._ended = False
        self._changed = asyncio.Event()

    def set_serving(self, *, serving: bool) -> None:
        """Tell those who watch."""
        if serving != self._serving:
            self._serving = serving
            self._wake()

    def end(self) -> None:
        """End all watches, which else would hold up the server's stop."""
        self._ended = True
        self._wake()

    async def Check(self, request: Any, context: Any) -> Any:
        """Return the status of a service. Raises NotFound for a name that is none."""
        if request.service not in self._names:
            raise NotFound("there is no such service")
        return self._answer(request.service)

    async def List(self, request: Any, context: Any) -> Any:
        """Return the status of every service."""
        statuses = {name: self._answer(name) for name in self._names}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Yield the status of a service now and whenever it changes."""
        while not self._ended:
            changed = self._changed
            yield self._answer(request.service)
            await changed.wait()

    def _answer(self, name: str) -> Any:
        if name not in self._names:
            return _Answer(status=_Answer.SERVICE_UNKNOWN)
        return _Answer(status=_Answer.SERVING if self._serving else _Answer.NOT_SERVING)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def add_reflection(names: Iterable[str], server: grpc.aio.Server) -> None:
    """Offer reflection in both versions, which list `names` and themselves."""
    # aio is set when the module is imported, which the type stubs do not say.
    servicer = reflection.aio.ReflectionServicer((*names, *REFLECTION))  # type: ignore[attr-defined] # see above
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, methods) for name in REFLECTION)
    )
