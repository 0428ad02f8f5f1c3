"""One service with one Envoy, as its operator starts it, for all tests of this folder."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.edge.matrix import KEYS, Outcome
from tests.ports import free_port
from tests.processes import serving

SMOKE = """
version: v1
agent: {name: root, model: {provider: dummy, name: dummy}}
workflow:
  type: sequential
  name: asks
  steps: [{id: ask, kind: human, ref: boss}, {id: answer, kind: agent, ref: root}]
components: {humans: {boss: {description: 'Well?'}}}
"""


@dataclass
class Edge:
    """A service process. log: what it wrote, both outputs."""

    process: "subprocess.Popen[bytes]"
    http_port: int
    grpc_port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def channel(self, *, gateway: bool = False) -> grpc.aio.Channel:
        port = self.http_port if gateway else self.grpc_port
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}")

    def blocking_channel(self, *, gateway: bool = False) -> grpc.Channel:
        port = self.http_port if gateway else self.grpc_port
        return grpc.insecure_channel(f"127.0.0.1:{port}")

    def check_unharmed(self) -> None:
        """Assert that the service lives, serves, and met nothing that it had not foreseen."""
        assert self.process.poll() is None, "the service died: " + self.log.read_text()[-5000:]
        assert httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        text = self.log.read_text(errors="replace")
        for sign in ("unexpected error", "Traceback"):
            at = text.find(sign)
            assert at < 0, text[max(0, at - 500) : at + 4000]


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    (folder / "asks.yaml").write_text(SMOKE)
    http_port, grpc_port = free_port(), free_port()
    words = ["service", "serve", "--port", str(http_port), "--grpc-port", str(grpc_port)]
    keys = ";".join(
        f"{name.replace(':', ' ')}:{key}:{grants}" for name, (key, grants) in KEYS.items()
    )
    settings = {"KNEO_SERV_API_KEYS": keys, "KNEO_SERV_SHUTDOWN_TIMEOUT_SECONDS": "1"}
    program = ("-m", "kneo_grpc", *words)
    with serving(*program, folder=folder, port=http_port, **settings) as (process, log):
        service = Edge(process, http_port, grpc_port, log)
        yield service
        service.check_unharmed()


@pytest.fixture(scope="session")
def http(edge: Edge) -> Iterator[httpx.Client]:
    """An admin's connections through Envoy."""
    headers = {"x-kneo-api-key": "admin-key", "content-type": "application/json"}
    with httpx.Client(base_url=edge.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def channel(edge: Edge) -> Iterator[grpc.Channel]:
    """A connection straight to the gRPC port."""
    with edge.blocking_channel() as opened:
        yield opened


REPORT = pytest.StashKey[list[Outcome]]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> list[Outcome]:
    """What the summary of the test session tells of who may call what."""
    return request.config.stash.setdefault(REPORT, [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash.get(REPORT, [])
    if not rows:
        return
    terminalreporter.section("who may call what, through Envoy and past it")
    wide = max(len(row.rpc) for row in rows)
    columns = list(rows[0].answers)
    terminalreporter.write_line(" ".join([" " * wide, *(f"{name:>8}" for name in columns)]))
    for row in sorted(rows, key=lambda row: row.rpc):
        cells = (f"{row.answers[name]:>8}" for name in columns)
        terminalreporter.write_line(" ".join([f"{row.rpc:<{wide}}", *cells]))
