"""What is SQLite's own: the file, its lock, and its failures."""

import asyncio
import os
import re
import signal
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from kneo_grpc.domain.errors import MigrationFailed, StartRefused, StoreUnavailable
from kneo_grpc.ports.store import PageRequest, RunFilter
from kneo_grpc.stores.sqlite import SqliteStore
from kneo_grpc.stores.sqlite.connect import open_writer
from kneo_grpc.stores.statements import load_statements
from tests.contract.builders import create, creation, make_run, step

ROOT = Path(__file__).parents[2]
BY_ID = PageRequest(sort_by="id", limit=1000)
OF_ARGUMENTS = re.compile("CONSTANT|json_each")


@pytest.fixture
async def store(tmp_path: Path):
    opened = SqliteStore(tmp_path / "deep" / "er" / "kneo.sqlite")
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
def path(store: SqliteStore) -> Path:
    return store._path


async def test_a_commit_is_synced_to_the_log(store: SqliteStore) -> None:
    connection = store._writer._connection
    assert connection.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert connection.execute("pragma synchronous").fetchone()[0] == 2
    assert connection.execute("pragma foreign_keys").fetchone()[0] == 1


async def test_a_second_service_is_refused(store: SqliteStore, path: Path) -> None:
    second = SqliteStore(path)
    with pytest.raises(StartRefused, match="in use by another kneo service"):
        await second.start()
    await create(store)


async def test_the_file_is_free_after_stop(store: SqliteStore, path: Path) -> None:
    run = await create(store)
    await store.stop()
    second = SqliteStore(path)
    await second.start()
    assert await second.load_run(run.id) == run
    await second.stop()


async def test_a_refused_start_can_be_repeated(store: SqliteStore, path: Path) -> None:
    second = SqliteStore(path)
    with pytest.raises(StartRefused):
        await second.start()
    await store.stop()
    await second.start()
    await second.check()
    await second.stop()


async def test_a_one_shot_command_shares_a_live_file(store: SqliteStore, path: Path) -> None:
    command = SqliteStore(path, exclusive=False)
    await command.start()
    mine, theirs = await create(command), await create(store)
    assert await store.load_run(mine.id) == mine
    assert await command.load_run(theirs.id) == theirs
    await command.stop()


async def test_a_reader_reads_a_live_file_and_writes_nothing(
    store: SqliteStore, path: Path
) -> None:
    run = await create(store)
    reader = SqliteStore(path, readonly=True)
    await reader.start()
    assert await reader.load_run(run.id) == run
    with pytest.raises(StoreUnavailable, match="reading only"):
        await reader.commit([step(run)])
    with pytest.raises(StoreUnavailable, match="reading only"):
        await reader.renew_leases("p", timedelta(seconds=1), ["run_x"])
    await reader.stop()


async def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    with pytest.raises(StartRefused, match="does not exist"):
        await SqliteStore(path, readonly=True).start()
    assert not path.exists()


async def test_a_reader_refuses_a_file_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("create table t (a)")
    connection.commit()
    connection.close()
    with pytest.raises(MigrationFailed, match="not one of this service's"):
        await SqliteStore(path, readonly=True).start()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.sqlite"
    path.write_text("no database at all" * 100)
    with pytest.raises(StartRefused, match="not a SQLite database"):
        await SqliteStore(path).start()


async def test_a_path_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartRefused, match="cannot be opened"):
        await SqliteStore(tmp_path / "file" / "kneo.sqlite").start()


async def test_a_full_disk_refuses_and_heals(store: SqliteStore) -> None:
    run = await create(store)
    connection = store._writer._connection
    pages = connection.execute("pragma page_count").fetchone()[0]
    connection.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await store.commit([creation(make_run(input_text="x" * 100_000))])
    connection.execute("pragma max_page_count = 1000000")
    await create(store)
    assert (await store.list_runs(RunFilter(), BY_ID)).total == 2
    assert await store.load_run(run.id) == run


async def test_a_busy_file_is_unavailable_for_writes_only(tmp_path: Path) -> None:
    path = tmp_path / "kneo.sqlite"
    store = SqliteStore(path, busy_timeout=timedelta(milliseconds=300))
    await store.start()
    run = await create(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    write = asyncio.create_task(store.commit([step(run)]))
    # The reader answers while the writer waits: neither holds the event loop.
    assert await store.load_run(run.id) == run
    assert not write.done()
    with pytest.raises(StoreUnavailable, match="locked by another process"):
        await write
    other.execute("rollback")
    other.close()
    assert (await store.commit([step(run)]))[0].applied
    await store.stop()


KILLED = """
import asyncio, sys
from pathlib import Path
from kneo_grpc.stores.sqlite import SqliteStore
from tests.contract.builders import create

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.start()
    for number in range(1_000_000):
        await create(store, id=f"run_{number:06d}")
        print(number, flush=True)

asyncio.run(main())
"""


async def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "kneo.sqlite"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    for _ in range(20):
        await process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    said = 20 + (await process.stdout.read()).count(b"\n")
    await process.wait()
    store = SqliteStore(path)
    await store.start()
    found = await store.list_runs(RunFilter(), PageRequest(sort_by="id", limit=100_000))
    assert said <= len(found.items) <= said + 1
    await store.stop()


@pytest.mark.parametrize(
    "name",
    [
        "run_load",
        "run_update",
        "plan_load",
        "state_load",
        "state_span",
        "task_load",
        "task_settle",
        "tasks_close",
        "jobs_clear",
        "leases_renew",
        "idempotency_load",
        "idempotency_complete",
    ],
)
async def test_hot_statements_search_and_do_not_scan(
    store: SqliteStore, path: Path, name: str
) -> None:
    statement = load_statements("sqlite")[name]
    connection = sqlite3.connect(path)
    count = max(int(number) for number in re.findall(r"\?(\d+)", statement))
    plan = connection.execute(f"explain query plan {statement}", ("x",) * count).fetchall()
    connection.close()
    steps = [row[3] for row in plan]
    assert any("SEARCH" in line for line in steps)
    assert not [line for line in steps if line.startswith("SCAN") and not OF_ARGUMENTS.search(line)]


@pytest.mark.parametrize("after", [None, (178_000_000, 5, "run_x")])
async def test_the_usual_list_walks_an_index(store: SqliteStore, path: Path, after) -> None:
    page = PageRequest(sort_by="updated_at", descending=True, after=after)
    (part,) = store._lists.runs(RunFilter(), page).parts
    connection = sqlite3.connect(path)
    values = (*part.arguments, 10, 0)
    plan = connection.execute(f"explain query plan {part.sql}", values).fetchall()
    connection.close()
    assert "runs_by_update" in plan[0][3]


def test_who_opens_a_new_file_at_the_same_moment_waits(tmp_path: Path) -> None:
    """Of 150 times four, SQLite refuses two to four at once where nobody asks again."""

    def open_with_others(path: Path, together: threading.Barrier) -> None:
        together.wait()
        open_writer(path, timedelta(seconds=10)).close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(150):
            path, together = tmp_path / f"{number}.sqlite", threading.Barrier(4)
            opened = [pool.submit(open_with_others, path, together) for _ in range(4)]
            for future in opened:
                future.result()
