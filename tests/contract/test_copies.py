"""Backup of a SQLite file in use, and its restore."""

import asyncio
import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kneo_grpc.domain.errors import InvalidInput, MigrationFailed, StartRefused, StoreUnavailable
from kneo_grpc.domain.run import Run
from kneo_grpc.ports.store import PageRequest, RunFilter
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.sqlite import SqliteStore, restore
from tests.contract.builders import checkpoint, create, creation, event, make_run, step
from tests.waiting import until

BY_ID = PageRequest(sort_by="id", limit=10_000)
LOGS = ("-wal", "-shm", "-journal")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "kneo.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def copy(store: SqliteStore, tmp_path: Path) -> Path:
    """A backup of two runs; the store is stopped and has one more."""
    await create(store, id="run_a")
    await create(store, id="run_b")
    copy = tmp_path / "copy.sqlite"
    await store.backup(copy)
    await create(store, id="run_c")
    await store.stop()
    return copy


async def ids_in(path: Path) -> list[str]:
    """Start a service on a file and list its runs."""
    store = SqliteStore(path)
    await store.start()
    found = await store.list_runs(RunFilter(), BY_ID)
    await store.stop()
    return [run.id for run in found.items]


def look(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def size_of(path: Path) -> int:
    return path.stat().st_size


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def remove(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> Path:
    return path.with_name(f"{path.name}.replaced")


def files_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


async def crash(path: Path, new_run: str | None) -> None:
    """Leave the file as a killed service does that made a run, or changed one: it is in the log
    only.
    """
    store = SqliteStore(path)
    await store.start()
    connection = store._writer._connection
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.execute("pragma wal_autocheckpoint = 0")
    if new_run is not None:
        await create(store, id=new_run)
    else:
        await store.commit([step(replace(await store.load_run("run_c"), output_text="last"))])
    image = path.parent / "image"
    image.mkdir()
    for name in (path.name, f"{path.name}-wal"):
        shutil.copy(path.with_name(name), image / name)
    await store.stop()
    for entry in list(image.iterdir()):
        entry.replace(path.with_name(entry.name))
    image.rmdir()
    assert size_of(log_of(path)) > 0


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def damage_header(path: Path) -> None:
    path.write_bytes(b"damage" * 100 + path.read_bytes()[600:])


async def test_a_backup_while_writes_go_on_is_consistent(
    store: SqliteStore, tmp_path: Path
) -> None:
    runs = [await create(store) for _ in range(4)]
    copied = False

    async def work(run: Run) -> int:
        count = 0
        while not copied:
            changes = [step(run, events=(event(), event(data={"text": "x" * 2000})))]
            changes.append(creation(make_run(), events=(event(),)))
            assert all(outcome.applied for outcome in await store.commit(changes))
            count += 1
        return count

    async def went_on() -> bool:
        return (await store.load_run(runs[0].id)).event_sequence > before[runs[0].id]

    workers = [asyncio.create_task(work(run)) for run in runs]
    before = {run.id: 0 for run in runs}
    for number in range(5):
        await until(went_on)
        before = {run.id: (await store.load_run(run.id)).event_sequence for run in runs}
        copy = tmp_path / f"{number}.sqlite"
        assert await store.backup(copy) == size_of(copy)
        assert look(copy, "pragma integrity_check") == [("ok",)]
        assert look(copy, "pragma foreign_key_check") == []
        counts = look(
            copy,
            "select id, event_sequence, (select count(*) from events where run_id = runs.id)"
            " from runs",
        )
        assert [row for row in counts if row[1] != row[2]] == []
        held = {row[0]: row[1] for row in counts}
        assert all(held[run.id] >= before[run.id] > 0 for run in runs)
    copied = True
    assert min(await asyncio.gather(*workers)) > 0
    assert await ids_in(copy) != []


async def test_a_backup_is_one_private_file(store: SqliteStore, tmp_path: Path) -> None:
    await create(store)
    mask = os.umask(0)
    try:
        copy = tmp_path / "deep" / "er" / "copy.sqlite"
        await store.backup(copy)
    finally:
        os.umask(mask)
    assert files_in(copy.parent) == {"copy.sqlite"}
    assert mode_of(copy) == 0o600
    assert look(copy, "pragma journal_mode") == [("delete",)]


async def test_a_backup_replaces_no_file(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    await create(store)
    copy = tmp_path / "copy.sqlite"
    copy.write_text("precious")
    for taken in (copy, path, tmp_path):
        with pytest.raises(InvalidInput, match="replaces no file") as caught:
            await store.backup(taken)
        assert caught.value.details["field"] == "destination"
    assert copy.read_text() == "precious"
    assert await store.list_runs(RunFilter(), BY_ID)


async def test_a_backup_that_was_killed_is_no_hindrance(store: SqliteStore, tmp_path: Path) -> None:
    await create(store, id="run_a")
    for suffix in ("", *LOGS):
        (tmp_path / f".copy.sqlite.partial{suffix}").write_text("left over")
    copy = tmp_path / "copy.sqlite"
    await store.backup(copy)
    assert files_in(tmp_path) == {"copy.sqlite", "state"}
    assert await ids_in(copy) == ["run_a"]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_a_backup_that_does_not_fit_leaves_nothing(
    store: SqliteStore, tmp_path: Path
) -> None:
    await create(store, input_text="x" * 500_000)
    folder = tmp_path / "copies"
    with files_no_larger_than(200_000), pytest.raises(StoreUnavailable) as caught:
        await store.backup(folder / "copy.sqlite")
    assert "copies/copy.sqlite" in caught.value.message
    assert files_in(folder) == set()
    await store.backup(folder / "copy.sqlite")


async def test_a_backup_on_a_full_disk_leaves_nothing(store: SqliteStore, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder, stderr=-3
    )
    if await mount.wait():
        pytest.skip("may not mount")
    try:
        await create(store, input_text="x" * 500_000)
        with pytest.raises(StoreUnavailable, match=r"disk/copy.sqlite .*the disk is full"):
            await store.backup(folder / "copy.sqlite")
        assert files_in(folder) == set()
    finally:
        await (await asyncio.create_subprocess_exec("umount", folder)).wait()


async def test_a_destination_that_cannot_be_made_is_named(
    store: SqliteStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"file/copy\.sqlite"):
        await store.backup(tmp_path / "file" / "copy.sqlite")


async def test_a_database_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    missing = SqliteStore(tmp_path / "none.sqlite")
    with pytest.raises(StoreUnavailable, match=r"none.sqlite cannot be opened"):
        await missing.backup(copy)
    (tmp_path / "text.sqlite").write_text("no database at all" * 100)
    with pytest.raises(StoreUnavailable, match=r"text.sqlite is damaged"):
        await SqliteStore(tmp_path / "text.sqlite").backup(copy)
    assert files_in(tmp_path) == {"text.sqlite"}


async def test_postgres_has_tools_of_its_own(tmp_path: Path) -> None:
    store = PostgresStore("postgresql://kneo@127.0.0.1:1/kneo")
    with pytest.raises(InvalidInput, match="pg_dump") as caught:
        await store.backup(tmp_path / "copy")
    assert caught.value.details["field"] == "destination"
    assert files_in(tmp_path) == set()


async def test_a_restored_file_holds_what_was_backed_up(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        before = list(connection.iterdump())
    assert restore(copy, path) == size_of(path)
    assert files_in(path.parent) == {"kneo.sqlite", "kneo.sqlite.lock", "kneo.sqlite.replaced"}
    assert mode_of(path) == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before
    assert await ids_in(path) == ["run_a", "run_b"]
    assert await ids_in(copy) == ["run_a", "run_b"]


async def test_the_file_that_was_there_is_kept_beside_it(path: Path, copy: Path) -> None:
    restore(copy, path)
    assert await ids_in(replaced(path)) == ["run_a", "run_b", "run_c"]
    # And a restore is undone by a restore.
    restore(replaced(path), path)
    assert await ids_in(path) == ["run_a", "run_b", "run_c"]
    assert await ids_in(replaced(path)) == ["run_a", "run_b"]


async def test_a_restore_makes_a_file_where_none_was(copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "er" / "kneo.sqlite"
    restore(copy, path)
    assert files_in(path.parent) == {"kneo.sqlite", "kneo.sqlite.lock"}
    assert await ids_in(path) == ["run_a", "run_b"]


async def test_a_restored_run_goes_on(path: Path, copy: Path) -> None:
    restore(copy, path)
    store = SqliteStore(path)
    await store.start()
    run = await store.load_run("run_a")
    (outcome,) = await store.commit([step(run, checkpoints=(checkpoint({"a": 1}),))])
    assert outcome.applied
    assert (await store.load_state("run_a")).state == {"a": 1}
    await store.stop()


async def test_a_crashed_services_log_is_kept_with_its_file(path: Path, copy: Path) -> None:
    await crash(path, "run_d")
    restore(copy, path)
    assert files_in(path.parent) == {"kneo.sqlite", "kneo.sqlite.lock", "kneo.sqlite.replaced"}
    assert await ids_in(path) == ["run_a", "run_b"]
    assert await ids_in(replaced(path)) == ["run_a", "run_b", "run_c", "run_d"]


async def test_a_log_that_a_reader_holds_is_kept_with_its_file(path: Path, copy: Path) -> None:
    await crash(path, "run_d")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from runs").fetchall()
        restore(copy, path)
        assert size_of(log_of(replaced(path))) > 0
        assert await ids_in(path) == ["run_a", "run_b"]
    assert await ids_in(replaced(path)) == ["run_a", "run_b", "run_c", "run_d"]


async def test_a_damaged_file_is_set_aside_as_well(path: Path, copy: Path) -> None:
    await crash(path, None)
    damage_header(path)
    restore(copy, path)
    assert await ids_in(path) == ["run_a", "run_b"]
    assert content_of(replaced(path)).startswith(b"damage")


async def test_a_removed_files_log_is_not_read_into_the_restored_one(
    path: Path, copy: Path
) -> None:
    await crash(path, "run_d")
    remove(path)
    restore(copy, path)
    assert await ids_in(path) == ["run_a", "run_b"]


async def test_a_log_of_an_earlier_restore_is_not_read_into_the_file_set_aside(
    path: Path, copy: Path
) -> None:
    await crash(path, "run_d")
    shutil.move(log_of(path), log_of(replaced(path)))
    restore(copy, path)
    assert await ids_in(replaced(path)) == ["run_a", "run_b", "run_c"]


def newer(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("insert into schema_migrations values (999, 'future', 'x', 0)")


def changed(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("update schema_migrations set checksum = 'other' where version = 1")


def missing(copy: Path) -> None:
    copy.unlink()


def folder(copy: Path) -> None:
    copy.unlink()
    copy.mkdir()


def text(copy: Path) -> None:
    copy.write_text("no database at all" * 1000)


def empty(copy: Path) -> None:
    copy.write_bytes(b"")


def truncated(copy: Path) -> None:
    os.truncate(copy, copy.stat().st_size // 2 // 4096 * 4096)


def cut_short(copy: Path) -> None:
    os.truncate(copy, copy.stat().st_size - 1000)


def scrambled(copy: Path) -> None:
    pages = copy.read_bytes()
    copy.write_bytes(pages[:4096] + pages[4096:][::-1])


def torn(copy: Path) -> None:
    ((page,),) = look(copy, "select rootpage from sqlite_master where name = 'runs'")
    with copy.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))


def foreign(copy: Path) -> None:
    copy.unlink()
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("create table t (a)")


@pytest.mark.parametrize(
    ("harm", "error", "reason"),
    [
        (missing, InvalidInput, "does not exist"),
        (folder, InvalidInput, "does not exist"),
        (text, InvalidInput, "damaged or no database"),
        (empty, InvalidInput, "damaged or no database"),
        (truncated, InvalidInput, "damaged"),
        (cut_short, InvalidInput, "damaged"),
        (scrambled, InvalidInput, "damaged"),
        (torn, InvalidInput, "damaged: "),
        (foreign, InvalidInput, "no database of this service"),
        (newer, MigrationFailed, "schema version 999"),
        (changed, MigrationFailed, "checksum differs"),
    ],
)
async def test_what_is_no_whole_backup_is_refused(
    path: Path, copy: Path, harm: Any, error: type[Exception], reason: str
) -> None:
    harm(copy)
    with pytest.raises(error, match=reason) as caught:
        restore(copy, path)
    if error is InvalidInput:
        assert caught.value.details["field"] == "backup"
    assert files_in(path.parent) == {"kneo.sqlite", "kneo.sqlite.lock"}
    assert await ids_in(path) == ["run_a", "run_b", "run_c"]


async def test_a_file_that_a_service_uses_is_left_alone(path: Path, copy: Path) -> None:
    service = SqliteStore(path)
    await service.start()
    with pytest.raises(StartRefused, match=r"in use by another kneo service.*for itself"):
        restore(copy, path)
    assert await service.load_run("run_c") is not None
    await create(service, id="run_d")
    await service.stop()
    assert await ids_in(path) == ["run_a", "run_b", "run_c", "run_d"]
    restore(copy, path)


async def test_a_service_cannot_start_during_a_restore(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = []

    def try_to_start(_synced: Path) -> None:
        with pytest.raises(StartRefused, match="in use") as caught:
            asyncio.run(SqliteStore(path).start())
        refusals.append(caught)

    copies = "kneo_grpc.stores.sqlite.copies"
    monkeypatch.setattr(f"{copies}._sync", try_to_start)
    await asyncio.to_thread(restore, copy, path)
    assert len(refusals) == 2


async def test_a_file_is_not_restored_onto_itself(path: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    for itself in (path, tmp_path / "link", tmp_path / "hard"):
        with pytest.raises(InvalidInput, match="database itself") as caught:
            restore(itself, path)
        assert caught.value.details["field"] == "backup"
    assert files_in(path.parent) == {"kneo.sqlite", "kneo.sqlite.lock"}
    assert await ids_in(path) == ["run_a", "run_b", "run_c"]


async def test_a_restore_that_does_not_fit_changes_nothing(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    await store.start()
    await create(store, id="run_a", input_text="x" * 500_000)
    copy = tmp_path / "copy.sqlite"
    await store.backup(copy)
    await create(store, id="run_b")
    await store.stop()
    with files_no_larger_than(200_000), pytest.raises(StoreUnavailable, match=r"kneo\.sqlite"):
        restore(copy, path)
    assert files_in(path.parent) == {"kneo.sqlite", "kneo.sqlite.lock"}
    assert await ids_in(path) == ["run_a", "run_b"]


async def test_the_restored_file_is_private_from_the_beginning(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    connect = sqlite3.connect

    def note(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(database, *arguments, **options)
        if str(database).endswith(".partial"):
            modes.append(mode_of(Path(database)))
        return connection

    monkeypatch.setattr(sqlite3, "connect", note)
    restore(copy, path)
    assert modes == [0o600]
