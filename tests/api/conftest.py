from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from kneo_grpc.api.keys import read_keys
from kneo_grpc.app.settings import Settings
from tests.service import Service, import_code, open_service


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of users' code, freshly imported for each test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield from import_code(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        state_path=tmp_path / "state" / "runs.sqlite",
        spec_root=tmp_path,
        import_allow=("kneo_grpc.examples", "kneo_test_code"),
        retry_backoff=timedelta(milliseconds=1),
        shutdown_timeout=timedelta(milliseconds=100),
    )


@pytest.fixture
async def service(settings: Settings, code: ModuleType, tmp_path: Path) -> AsyncIterator[Service]:
    """A service without keys."""
    async for opened in open_service(settings, tmp_path):
        yield opened


@pytest.fixture
async def guarded(settings: Settings, code: ModuleType, tmp_path: Path) -> AsyncIterator[Service]:
    """A service with one key per role, each spelt as the role."""
    roles = ("operator", "reviewer", "viewer", "service")
    keys = read_keys(";".join(f"{role}:{role}-key:{role}" for role in roles), "admin-key")
    async for opened in open_service(replace(settings, keys=keys), tmp_path):
        yield opened
