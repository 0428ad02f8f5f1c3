"""A platform with a test's clock and ids behind a real Envoy, and the cases that ask it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

from kneo_grpc.api.keys import read_keys
from kneo_grpc.api.server import ApiServer
from kneo_grpc.app.gateway import EnvoyProcess
from kneo_grpc.app.server import gateway_settings
from kneo_grpc.app.settings import EdgeSettings, Settings
from kneo_grpc.app.wiring import Platform, build_platform
from kneo_grpc.integrations.clock import SystemClock
from tests.fakes import CountingIds, FakeClock
from tests.ports import free_port

SHOWN_HEADERS = ("content-type", "retry-after", "www-authenticate", "idempotency-replayed")
KEYS = ";".join(f"{role}:{role}-key:{role}" for role in ("operator", "reviewer", "viewer"))
WAIT_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Request:
    """body: JSON, or a text that is sent as it is. padding: spaces before it. header_padding:
    characters of a header more.
    """

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    padding: int = 0
    header_padding: int = 0

    def shown(self) -> dict[str, Any]:
        facts = {"headers": self.headers, "body": self.body, "padding": self.padding}
        facts["header_padding"] = self.header_padding
        given = {name: value for name, value in facts.items() if value not in (None, {}, 0)}
        return {"method": self.method, "path": self.path, **given}

    def content(self) -> bytes | None:
        if self.body is None:
            return None
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return b" " * self.padding + text.encode()


def get(path: str, **headers: str) -> Request:
    return Request(method="GET", path=path, headers=_named(headers))


def post(path: str, body: Any = None, **headers: str) -> Request:
    kind = {} if body is None else {"content-type": "application/json"}
    return Request(method="POST", path=path, headers=kind | _named(headers), body=body)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def shown(answer: httpx.Response) -> dict[str, Any]:
    headers = {name: answer.headers[name] for name in SHOWN_HEADERS if name in answer.headers}
    return {"status": answer.status_code, "headers": headers, "body": _body(answer)}


def _body(answer: httpx.Response) -> Any:
    """Return JSON; of a text the lines that are the same in every process."""
    if answer.headers["content-type"] == "application/json":
        return answer.json()
    return [line for line in answer.text.splitlines() if "process_" not in line]


@dataclass
class Stage:
    """One platform behind the gateway, for one case."""

    http: httpx.AsyncClient
    platform: Platform
    server: ApiServer
    clock: FakeClock
    code: ModuleType
    under_way: list["asyncio.Task[httpx.Response]"] = field(default_factory=list)

    async def send(self, request: Request, request_id: str = "before") -> httpx.Response:
        return await self.http.request(
            request.method,
            request.path,
            content=request.content(),
            headers={
                **request.headers,
                "x-request-id": request_id,
                **({"x-padding": "x" * request.header_padding} if request.header_padding else {}),
            },
        )

    async def done(self, request: Request) -> Any:
        """Send what a case needs to have happened before; return the answer's body."""
        answer = await self.send(request)
        assert answer.is_success, answer.text
        # What follows happens a second later.
        self.clock.advance(timedelta(seconds=1))
        return answer.json()

    async def start_gated(self, request: Request) -> None:
        """Send what leads to a step that waits for the gate; return once a run is there."""
        self.under_way.append(asyncio.create_task(self.send(request)))
        deadline = time.monotonic() + WAIT_SECONDS
        while not (await self.http.get("/v1/runs?status=running")).json()["runs"]:
            assert time.monotonic() < deadline, "the gated run did not start"

    def break_store(self, error: Exception) -> None:
        """Let the store fail whenever a run is asked for."""

        async def fail(*_: Any) -> Any:
            raise error

        self.platform.store.load_run = fail  # type: ignore[method-assign] # a fault to be met

    async def finish(self) -> None:
        """Open the gate, and see what waited for it end well."""
        self.code.GATE.set()
        for task in self.under_way:
            assert (await task).is_success


@dataclass(frozen=True, kw_only=True)
class Case:
    """make: prepares the stage and returns the request. settings: what is other than usual.

    guarded: the service has keys.
    """

    make: Callable[[Stage], Awaitable[Request]]
    settings: dict[str, Any]
    guarded: bool


@dataclass(frozen=True)
class Front:
    """Envoy, and the link through which it finds the server of the case under way."""

    link: Path
    http: httpx.AsyncClient


async def open_front(folder: Path) -> AsyncIterator[Front]:
    link = folder / "api.sock"
    port = free_port()
    settings = gateway_settings(
        host="127.0.0.1",
        port=port,
        tls_port=None,
        upstreams=(link,),
        # Three calls with the same key pass at once; a fourth has to wait three seconds.
        settings=Settings(edge=EdgeSettings(key_rate=18)),
    )
    # With one thread there is one connection to the service, and no second one to the last case's.
    envoy = EnvoyProcess(replace(settings, threads=1), SystemClock())
    await envoy.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
        yield Front(link, http)
    await envoy.stop()


@asynccontextmanager
async def staged(case: Case, front: Front, code: ModuleType, folder: Path) -> AsyncIterator[Stage]:
    """Open a platform in a folder of its own, and end it."""
    clock = FakeClock()
    settings = Settings(
        state_path=folder / "runs.sqlite",
        spec_root=folder,
        import_allow=("kneo_grpc.examples", "kneo_test_code"),
        shutdown_timeout=timedelta(milliseconds=100),
    )
    if case.guarded:
        settings = replace(settings, keys=read_keys(KEYS, "admin-key"))
    platform = build_platform(replace(settings, **case.settings), clock=clock, ids=CountingIds())
    await platform.start()
    server = ApiServer(
        servicers=platform.servicers(),
        interceptor=platform.interceptor(),
        addresses=(f"unix:{folder}/own.sock",),
    )
    await server.start()
    # A link, because gRPC removes its socket's file some time after the server is gone.
    new = folder / "link"
    new.symlink_to(folder / "own.sock")
    new.replace(front.link)
    await _reached(front.http)
    stage = Stage(front.http, platform, server, clock, code)
    try:
        yield stage
        await stage.finish()
    finally:
        await server.stop(timedelta(0))
        await platform.stop()


async def _reached(http: httpx.AsyncClient) -> None:
    """Wait until the gateway has seen that the last case's server is gone."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (answer := await http.get("/livez")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
