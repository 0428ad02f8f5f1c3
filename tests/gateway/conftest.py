"""One stub service and one Envoy before it for all tests of a module."""

import importlib.util
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import pytest_asyncio

import kneo_grpc
from kneo_grpc.api.server import SERVICES
from kneo_grpc.app.gateway import (
    EnvoyProcess,
    GatewaySettings,
    ensure_local_certificate,
    wait_ready,
)
from kneo_grpc.integrations.clock import SystemClock
from tests.ports import free_port

DESCRIPTOR = Path(kneo_grpc.__file__).parent / "_gen" / "api.binpb"
CLOCK = SystemClock()


def _load_stub() -> ModuleType:
    # Test folders are no packages (importmode importlib), so the file is loaded by its path.
    spec = importlib.util.spec_from_file_location(
        "stub_server", Path(__file__).with_name("stub_server.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stub_server = _load_stub()


def settings(*upstreams: Path, **changes: Any) -> GatewaySettings:
    values: dict[str, Any] = {"port": free_port(), "threads": 1, "drain": timedelta(seconds=5)}
    return GatewaySettings(
        upstreams=upstreams, descriptor=DESCRIPTOR, services=SERVICES, **(values | changes)
    )


@dataclass
class Gateway:
    settings: GatewaySettings
    process: EnvoyProcess
    runs: Any
    http: httpx.AsyncClient
    ca: Path

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.settings.port}"

    @property
    def tls_target(self) -> str:
        return f"localhost:{self.settings.tls_port}"


@pytest.fixture(scope="session")
def make_settings() -> Any:
    return settings


@pytest.fixture(scope="session")
def stub() -> ModuleType:
    return stub_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("g")
    server, runs = await stub_server.start_stub(folder / "api.sock")
    pair = ensure_local_certificate(folder / "tls", ["localhost", "127.0.0.1"])
    chosen = settings(
        folder / "api.sock",
        tls_port=free_port(),
        certificate=pair.certificate,
        private_key=pair.key,
        loopback_hosts_only=True,
        cors_origins=("https://console.example",),
        access_log=True,
    )
    process = EnvoyProcess(chosen, CLOCK)
    await process.start()
    url = f"http://127.0.0.1:{chosen.port}"
    await wait_ready(f"{url}/livez", deadline=timedelta(seconds=10), clock=CLOCK)
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        yield Gateway(chosen, process, runs, http, pair.ca)
    await process.stop()
    await server.stop(None)
