from datetime import timedelta
from pathlib import Path

import pytest

from kneo_grpc.app.settings import Settings


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
    return Settings(
        database_url=url,
        state_path=tmp_path / "runs.sqlite",
        spec_root=tmp_path,
        import_allow=("tests.rebuilt.acts",),
        lease=timedelta(seconds=1),
        runs_max=1000,
        worker_concurrency=64,
        retry_backoff=timedelta(milliseconds=1),
        idle_poll=timedelta(milliseconds=10),
    )
