"""The command line before a backend that a test scripts."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner

from kneo_grpc.cli import app, connect
from kneo_grpc.domain.errors import KneoError

VARIABLES = ("SERVICE_URL", "API_KEY", "TLS_CA", "IDEMPOTENCY_KEY")


@dataclass
class FakeBackend:
    """answers: by method name; an exception is raised. calls: (method, arguments)."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            answer = self.answers[name]
            if isinstance(answer, KneoError):
                raise answer
            return answer

        return call


@pytest.fixture
def kneo(tmp_path):
    """Runs `kneo` with the given words; profiles are kept below tmp_path."""
    env = {f"KNEO_SERV_{name}": None for name in VARIABLES}
    env["KNEO_SERV_PROFILES_PATH"] = str(tmp_path / "own" / "profiles.json")
    runner = CliRunner(env=env)

    def invoke(*words: str, **options: Any):
        return runner.invoke(app, words, prog_name="kneo", catch_exceptions=False, **options)

    return invoke


@pytest.fixture
def backend(monkeypatch):
    fake = FakeBackend()

    @asynccontextmanager
    async def open_backend(session):
        yield fake

    monkeypatch.setattr(connect, "open_backend", open_backend)
    return fake


@pytest.fixture
def spec_path(tmp_path):
    path = tmp_path / "flow.yaml"
    path.write_text("version: v1\nagent:\n  name: helper\n  tools:\n    include: [nope]\n")
    return path
