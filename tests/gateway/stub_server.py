"""A hand-made service behind the gateway; what it answers is decided by the run id asked for."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection

from kneo_grpc._gen.kneo.v1 import (
    health_pb2,
    health_pb2_grpc,
    run_pb2,
    run_pb2_grpc,
    run_result_pb2,
)

CRASH_TEXT = "the password is swordfish"


def error_json(code: str, message: str, request_id: str, **extras: Any) -> str:
    detail = {"error": code, "message": message, **extras}
    body = {"error": code, "message": message, "request_id": request_id, "detail": detail, **extras}
    return json.dumps(body, ensure_ascii=True)


class StubRuns(run_pb2_grpc.RunServiceServicer):
    """Keeps the metadata of the last call in `seen`, and the number of calls in `calls`."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        self.calls = 0
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()

    def _note(self, context: Any) -> str:
        self.calls += 1
        self.seen = dict(context.invocation_metadata())
        return self.seen.get("x-request-id", "")

    async def CreateRun(self, request: Any, context: Any) -> Any:
        self._note(context)
        if request.input == "wait":
            await context.send_initial_metadata((("x-kneo-http-status", "202"),))
            return run_result_pb2.RunResult(run_id="run_1", status="blocked")
        return run_result_pb2.RunResult(
            run_id="run_1", status="completed", output_text=str(len(request.input))
        )

    async def ListRuns(self, request: Any, context: Any) -> Any:
        self._note(context)
        return run_pb2.ListRunsResponse(runs=[run_pb2.Run(id="run_1")], limit=request.limit)

    async def CancelRun(self, request: Any, context: Any) -> Any:
        self._note(context)
        return run_pb2.Run(id=request.run_id, status="cancelled")

    async def GetRun(self, request: Any, context: Any) -> Any:
        request_id = self._note(context)
        answer = getattr(self, f"_{request.run_id}", None)
        if answer is None:
            return run_pb2.Run(id=request.run_id, status="completed")
        return await answer(context, request_id)

    async def _missing(self, context: Any, request_id: str) -> Any:
        info = any_pb2.Any()
        info.Pack(error_details_pb2.ErrorInfo(reason="not_found", domain="kneo"))
        status = status_pb2.Status(code=5, message="no such run", details=[info])
        js = error_json("not_found", "no such run", request_id, run_id="missing")
        details = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(
            grpc.StatusCode.NOT_FOUND,
            "no such run",
            trailing_metadata=(*details, ("x-kneo-error-json", js)),
        )

    async def _invalid(self, context: Any, request_id: str) -> Any:
        js = error_json("validation_error", "naïve: too long", request_id, fields=[])
        trailers = (("x-kneo-error-json", js), ("x-kneo-http-status", "422"))
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "limit", trailing_metadata=trailers)

    async def _busy(self, context: Any, request_id: str) -> Any:
        js = error_json("queue_full", "full", request_id)
        trailers = (("x-kneo-error-json", js), ("retry-after", "7"))
        await context.abort(grpc.StatusCode.UNAVAILABLE, "full", trailing_metadata=trailers)

    async def _stranger(self, context: Any, request_id: str) -> Any:
        js = error_json("unauthorized", "no key", request_id)
        trailers = (("x-kneo-error-json", js),)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key", trailing_metadata=trailers)

    async def _big(self, context: Any, request_id: str) -> Any:
        js = error_json("conflict", "x" * 3300, request_id)
        await context.abort(
            grpc.StatusCode.ABORTED, "big", trailing_metadata=(("x-kneo-error-json", js),)
        )

    async def _late(self, context: Any, request_id: str) -> Any:
        await context.send_initial_metadata((("x-kneo-http-status", "202"), ("retry-after", "3")))
        await self._invalid(context, request_id)

    async def _plain(self, context: Any, request_id: str) -> Any:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, CRASH_TEXT)

    async def _crash(self, context: Any, request_id: str) -> Any:
        raise RuntimeError(CRASH_TEXT)

    async def _huge(self, context: Any, request_id: str) -> Any:
        return run_pb2.Run(id="huge", output_text="y" * 3_000_000)

    async def _slow(self, context: Any, request_id: str) -> Any:
        self.entered.set()
        await self.release.wait()
        return run_pb2.Run(id="slow", status="completed")

    async def _stuck(self, context: Any, request_id: str) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


class StubHealth(health_pb2_grpc.HealthServiceServicer):
    """Alive, and not ready."""

    async def GetLiveness(self, request: Any, context: Any) -> Any:
        return health_pb2.Health(ok=True, service="stub")

    async def GetReadiness(self, request: Any, context: Any) -> Any:
        js = json.dumps({"error": "not_ready", "metadata": {"ready": False}})
        await context.abort(
            grpc.StatusCode.UNAVAILABLE, "no", trailing_metadata=(("x-kneo-error-json", js),)
        )


async def start_stub(path: Path) -> tuple[grpc.aio.Server, StubRuns]:
    """Serve on a Unix socket."""
    server = grpc.aio.server()
    runs = StubRuns()
    run_pb2_grpc.add_RunServiceServicer_to_server(runs, server)
    health_pb2_grpc.add_HealthServiceServicer_to_server(StubHealth(), server)
    reflection.enable_server_reflection(["kneo.v1.RunService"], server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    return server, runs
