import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.outage import stop_for_good
from tests.faults.service_process import Site
from tests.postgres import Cluster, cluster, quick_place


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a name short enough for Unix sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="kf-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, folder: Path) -> Iterator[Site]:
    """A site on each of the databases; its services are ended with the test."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
    built = Site(folder, url)
    yield built
    built.end()


@pytest.fixture
def sqlite_site(folder: Path) -> Iterator[Site]:
    built = Site(folder)
    yield built
    built.end()


@pytest.fixture
def postgres_site(folder: Path, postgres_dsn: str) -> Iterator[Site]:
    built = Site(folder, postgres_dsn)
    yield built
    built.end()


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server that the test may stop."""
    with cluster(quick_place()) as server:
        yield server
        stop_for_good(server)
