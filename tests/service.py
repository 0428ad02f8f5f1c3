"""A real service in this process, for tests: its specs, its users' code, and stubs to it."""

import importlib
import json
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from kneo_grpc._gen.kneo.v1 import (
    audit_pb2_grpc,
    credential_pb2_grpc,
    health_pb2_grpc,
    human_task_pb2_grpc,
    maintenance_pb2_grpc,
    policy_pb2_grpc,
    queue_pb2_grpc,
    run_pb2_grpc,
    run_result_pb2,
    spec_pb2_grpc,
)
from kneo_grpc.api.server import ApiServer
from kneo_grpc.app.loops import duties
from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import Platform, build_platform
from kneo_grpc.ports.clock import Clock

CODE = """
import asyncio, logging, os, threading, time
from kneo_grpc.ports.code import call_context

CALLS = []
GATE = threading.Event()

def note(text):
    context = call_context.get()
    CALLS.append((context.step_path, context.idempotency_key, context.attempt))
    return text + "."

def broken(text):
    raise ValueError("the step broke")

def spills(text):
    raise ValueError(text)

def logs(text):
    logging.getLogger("their.code").warning("got %s", text, extra={"their": {"input": text}})
    return text

TRIED = []

def flaky(text):
    TRIED.append(call_context.get().attempt)
    if len(TRIED) == 1:
        raise ValueError("not yet")
    return text + "!"

def exits(text):
    raise SystemExit(3)

def number(text):
    return 42

def slow(text):
    time.sleep(0.7)
    return text

def second(text):
    time.sleep(1)
    return text

def burn(text):
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        pass
    return text

def gated(text):
    GATE.wait(20)
    return text

def huge(text):
    CALLS.append("huge")
    return "x" * (16_777_216 + len(text))

TOGETHER = asyncio.Event()

async def good(text):
    CALLS.append("good")
    await TOGETHER.wait()
    return text + "+"

async def bad(text):
    await TOGETHER.wait()
    raise ValueError("the step broke")

async def waits(text):
    await asyncio.sleep(30)
    return text

async def cancels(text):
    raise asyncio.CancelledError("their own task was cancelled")

def cancels_too(text):
    raise asyncio.CancelledError("their own task was cancelled")

def impatient(text):
    raise TimeoutError("the shop does not answer")
"""


@dataclass(frozen=True)
class Service:
    """A real server on a Unix socket, and stubs to it."""

    platform: Platform
    channel: grpc.aio.Channel
    runs: Any
    tasks: Any
    specs: Any
    health: Any
    queue: Any
    maintenance: Any
    policies: Any
    credentials: Any
    audit: Any


def function_spec(*names: str, **step_fields: dict[str, Any]) -> dict[str, Any]:
    """A workflow of function steps; step_fields by step id add fields such as on_error."""
    return {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {
            "type": "sequential",
            "name": "functions",
            "steps": [
                {"id": name, "kind": "function", "ref": name, **step_fields.get(name, {})}
                for name in names
            ],
        },
        "components": {
            "functions": {name: {"implementation": f"kneo_test_code.{name}"} for name in names}
        },
    }


def human_spec(**human: Any) -> dict[str, Any]:
    """A workflow with one human step before one agent step."""
    return {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {
            "type": "sequential",
            "name": "asks",
            "steps": [
                {"id": "ask", "kind": "human", "ref": "boss"},
                {"id": "answer", "kind": "agent", "ref": "root"},
            ],
        },
        "components": {"humans": {"boss": {"description": "Well?", **human}}},
    }


async def open_service(
    settings: Settings,
    folder: Path,
    *,
    works: bool = True,
    executes: bool = True,
    clock: Clock | None = None,
) -> AsyncIterator[Service]:
    platform = build_platform(settings, executes=executes, clock=clock)
    await platform.start()
    address = f"unix:{folder}/api.sock"
    server = ApiServer(
        servicers=platform.servicers(),
        interceptor=platform.interceptor(),
        addresses=(address,),
    )
    await server.start()
    async with (
        duties(platform, works=works),
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Service(
            platform=platform,
            channel=channel,
            runs=run_pb2_grpc.RunServiceStub(channel),
            tasks=human_task_pb2_grpc.HumanTaskServiceStub(channel),
            specs=spec_pb2_grpc.SpecServiceStub(channel),
            health=health_pb2_grpc.HealthServiceStub(channel),
            queue=queue_pb2_grpc.QueueServiceStub(channel),
            maintenance=maintenance_pb2_grpc.MaintenanceServiceStub(channel),
            policies=policy_pb2_grpc.PolicyServiceStub(channel),
            credentials=credential_pb2_grpc.CredentialServiceStub(channel),
            audit=audit_pb2_grpc.AuditServiceStub(channel),
        )
    await server.stop(timedelta(0))
    await platform.stop()


def import_code(folder: Path) -> Iterator[ModuleType]:
    """Write and import the users' code; release its waiting threads at the end."""
    (folder / "kneo_test_code.py").write_text(textwrap.dedent(CODE))
    importlib.invalidate_caches()
    sys.modules.pop("kneo_test_code", None)
    module = importlib.import_module("kneo_test_code")
    yield module
    module.GATE.set()
    sys.modules.pop("kneo_test_code", None)


def create(text: str = "hi", **fields: Any) -> run_result_pb2.CreateRunRequest:
    """A create request; fields as in JSON."""
    return ParseDict({"input": text, **fields}, run_result_pb2.CreateRunRequest())


def data(message: Message) -> dict[str, Any]:
    """A message as its JSON."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def failure(call: Awaitable[Any]) -> tuple[grpc.StatusCode, dict[str, Any]]:
    """Await a call that must fail; return its code and its JSON error."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        trailers = dict(error.trailing_metadata())
        body = json.loads(trailers["x-kneo-error-json"])
        return error.code(), {**body, "http": int(trailers["x-kneo-http-status"])}
    raise AssertionError(f"the call succeeded: {answer}")
