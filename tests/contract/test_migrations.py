"""Migrations, over both databases."""

import asyncio
import logging
import re
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kneo_grpc.domain.errors import MigrationFailed
from kneo_grpc.stores.migrate import Migration, load_migrations
from kneo_grpc.stores.sqlite.migrations import split_script
from kneo_grpc.stores.statements import sql_folder
from tests.contract.conftest import Query, open_store
from tests.contract.test_audit import GIVEN, seal_all, verified

SHIPPED = load_migrations("sqlite")
EXTRA = Migration(version=len(SHIPPED) + 1, name="extra", script="create table extra (a integer);")
ROOT = Path(__file__).parents[2]

MIGRATE = """
import asyncio, sys
from pathlib import Path
from typing import Any
from tests.contract.conftest import open_store

async def main():
    address = sys.argv[1] if sys.argv[1].startswith("postgres") else Path(sys.argv[1])
    options = {} if isinstance(address, str) else {"exclusive": False}
    store = open_store(address, **options)
    await store.start()
    await store.check()
    await store.stop()

asyncio.run(main())
"""


@pytest.fixture
def postgres_dsn(own_postgres_dsn: str) -> str:
    """Of the test's own, because it is without a schema."""
    return own_postgres_dsn


def shipped(address: Path | str) -> tuple[Migration, ...]:
    return load_migrations("sqlite" if isinstance(address, Path) else "postgres")


async def start_and_stop(address: Path | str, *extra: Migration) -> None:
    store = open_store(address, migrations=(*shipped(address), *extra))
    await store.start()
    await store.stop()


async def test_each_migration_is_recorded_and_logged_once(
    address, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="kneo_grpc.stores")
    await start_and_stop(address)
    await start_and_stop(address)
    wanted = [(m.version, m.name, m.checksum) for m in shipped(address)]
    assert await query("select version, name, checksum from schema_migrations") == wanted
    lines = [record for record in caplog.records if record.message == "migration applied"]
    assert [(line.version, line.migration) for line in lines] == [row[:2] for row in wanted]
    assert {line.store for line in lines} == {"sqlite" if isinstance(address, Path) else "postgres"}


async def test_a_later_release_adds_its_migrations(address, query: Query) -> None:
    await start_and_stop(address)
    await start_and_stop(address, EXTRA)
    assert await query("select count(*) from extra") == [(0,)]


async def test_an_older_release_refuses_a_newer_database(address) -> None:
    await start_and_stop(address, EXTRA)
    text = f"schema version {EXTRA.version}, this release knows {len(SHIPPED)}"
    with pytest.raises(MigrationFailed, match=text):
        await start_and_stop(address)


async def test_a_changed_migration_is_refused(address, query: Query) -> None:
    await start_and_stop(address, EXTRA)
    edited = Migration(version=EXTRA.version, name="extra", script="create table other (a int);")
    with pytest.raises(MigrationFailed, match=rf"Migration {EXTRA.version} \(extra\).*checksum"):
        await start_and_stop(address, edited)


async def test_a_failing_migration_leaves_nothing_and_can_be_mended(
    address, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    script = EXTRA.script + "\ninsert into no_such_table values (1);"
    broken = Migration(version=EXTRA.version, name="extra", script=script)
    text = rf"Migration {EXTRA.version} \(extra\) failed.*no_such_table"
    with pytest.raises(MigrationFailed, match=text):
        await start_and_stop(address, broken)
    assert [r.version for r in caplog.records if r.message == "migration failed"] == [EXTRA.version]
    assert await query("select max(version) from schema_migrations") == [(len(SHIPPED),)]
    await start_and_stop(address, EXTRA)


async def test_the_tasks_that_wait_keep_when_they_were_escalated(address, query: Query) -> None:
    """Also those whose body holds what PostgreSQL does not let into a text."""
    old = open_store(address, migrations=shipped(address)[:4])
    await old.start()
    await old.stop()
    at = "0" if isinstance(address, Path) else "now()"
    escalated = '"metadata": {"escalated_at": 1700000000.25}'
    bodies = {
        "a": f'{{"request": {{{escalated}}}}}',
        "b": f'{{"request": {{"prompt": "\\u0000 \\ud83d \\\\u0000", {escalated}}}}}',
        "c": '{"request": {"prompt": "\\"escalated_at\\": 1", "metadata": {}}}',
        "d": '{"current_input": "\\u0000", "request": {"metadata": {}}}',
    }
    for name, body in bodies.items():
        await query(
            "insert into human_tasks (id, run_id, status, workflow_kind, created_at, body)"
            f" values ('{name}', 'run', 'pending', 'sequential', {at}, '{body}')"
        )
    await start_and_stop(address)
    found = dict(await query("select id, escalated_at from human_tasks"))
    instant = datetime.fromtimestamp(1700000000.25, UTC)
    wanted = 1700000000250000 if isinstance(address, Path) else instant
    assert found == {"a": wanted, "b": wanted, "c": None, "d": None}


async def test_processes_that_migrate_at_once_do_it_once(address, query: Query) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", MIGRATE, str(address), cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    for process in processes:
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
    assert await query("select version from schema_migrations") == [(m.version,) for m in SHIPPED]


async def test_records_of_an_older_release_are_sealed(address: Any, query: Query) -> None:
    database = "sqlite" if isinstance(address, Path) else "postgres"
    options = {"exclusive": False} if database == "sqlite" else {}
    old = open_store(address, migrations=load_migrations(database)[:2], **options)
    await old.start()
    await old.stop()
    at = "1000000" if database == "sqlite" else "'2026-01-01T00:00:00Z'"
    for number in range(3):
        await query(
            f"insert into audit_events ({GIVEN}) "
            f"values ('aud_{number}', 'run.created', '{{}}', {at})"
        )
    store = open_store(address)
    await store.start()
    try:
        assert await seal_all(store) == [3, 0]
        assert await verified(store) == []
    finally:
        await store.stop()


def test_both_databases_have_the_same_migrations() -> None:
    def names(database: str) -> list[tuple[int, str]]:
        return [(m.version, m.name) for m in load_migrations(database)]

    assert names("sqlite") == names("postgres")


def test_a_script_is_split_at_the_ends_of_its_statements() -> None:
    script = (
        "-- a; b\ncreate table a (\n  b text -- c;\n);\ninsert into a values (';\n');\n-- end\n"
    )
    statements = list(split_script(script))
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    assert connection.execute("select b from a").fetchall() == [(";\n",)]
    assert len(statements) == 3
    connection.close()


async def test_sqlite_migrations_make_the_schema_file(tmp_path: Path) -> None:
    def schema(path: Path, script: str | None = None) -> list[tuple[str, ...]]:
        connection = sqlite3.connect(path)
        if script is not None:
            connection.executescript(script)
        sql = "select type, name, tbl_name, sql from sqlite_master order by type, name"
        rows = connection.execute(sql).fetchall()
        connection.close()
        # "if not exists" is not kept, white space is; a column that is added goes before it.
        return [(*row[:3], re.sub(r"\s*([,)]|\s)\s*", r"\1 ", row[3] or "")) for row in rows]

    await start_and_stop(tmp_path / "migrated")
    text = sql_folder("sqlite").joinpath("schema.sql").read_text()
    written = schema(tmp_path / "written", text)
    assert schema(tmp_path / "migrated") == written
    assert len(written) > 15


CATALOG = """
select 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
  a.attnum::text, coalesce(l.collname, '')
from pg_attribute a join pg_class c on c.oid = a.attrelid
left join pg_collation l on l.oid = a.attcollation
where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and c.relkind in ('r', 'i')
union all
select 'table', relname, relkind::text, coalesce(reloptions::text, ''), '', '', ''
from pg_class where relnamespace = 'public'::regnamespace
union all
select 'index', indexname, indexdef, '', '', '', '' from pg_indexes where schemaname = 'public'
union all
select 'constraint', conname, pg_get_constraintdef(oid), '', '', '', ''
from pg_constraint where connamespace = 'public'::regnamespace
order by 1, 2, 3
"""


async def test_postgres_migrations_make_the_schema_file(postgres_dsn: str) -> None:
    await start_and_stop(postgres_dsn)
    connection = await asyncpg.connect(postgres_dsn)
    migrated = await connection.fetch(CATALOG)
    await connection.execute("drop schema public cascade; create schema public")
    await connection.execute(sql_folder("postgres").joinpath("schema.sql").read_text())
    written = await connection.fetch(CATALOG)
    await connection.close()
    assert migrated == written
    assert len(written) > 100
