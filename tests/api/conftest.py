from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio

from kneo_grpc.api.keys import ApiKeys, read_keys
from kneo_grpc.app.settings import Settings
from tests.service import Service, import_code, open_service

in_module_loop = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of users' code, freshly imported for each test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield from import_code(tmp_path)


def settings_in(folder: Path) -> Settings:
    return Settings(
        state_path=folder / "state" / "runs.sqlite",
        spec_root=folder,
        import_allow=("kneo_grpc.examples", "kneo_test_code"),
        retry_backoff=timedelta(milliseconds=1),
        shutdown_timeout=timedelta(milliseconds=100),
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
async def service(settings: Settings, code: ModuleType, tmp_path: Path) -> AsyncIterator[Service]:
    """A service without keys."""
    async for opened in open_service(settings, tmp_path):
        yield opened


@pytest.fixture
async def guarded(settings: Settings, code: ModuleType, tmp_path: Path) -> AsyncIterator[Service]:
    """A service with one key per role, each spelt as the role."""
    async for opened in open_service(replace(settings, keys=role_keys()), tmp_path):
        yield opened


def role_keys() -> ApiKeys:
    roles = ("operator", "reviewer", "viewer", "service")
    return read_keys(";".join(f"{role}:{role}-key:{role}" for role in roles), "admin-key")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service without keys, for all cases of a module that change nothing: mostly refusals.
    They stand in_module_loop.
    """
    folder = tmp_path_factory.mktemp("common")
    async for opened in open_service(settings_in(folder), folder):
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common_guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The same with one key per role."""
    folder = tmp_path_factory.mktemp("guarded")
    async for opened in open_service(replace(settings_in(folder), keys=role_keys()), folder):
        yield opened
