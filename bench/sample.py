"""The rows of one run that the service wrote, as the five commits of the floor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.service import ROOT

SCHEMA = (ROOT / "kneo_grpc" / "stores" / "sql" / "postgres" / "schema.sql").read_text()
RUN_TABLES = ("runs", "events", "checkpoints", "audit_events")
STEP_DETAIL = '{"visited_steps":["draft"],"visited_nodes":[],"pending":[],"error":null}'
WRITTEN_ONCE = ("id", "plan_digest", "target", "input_text", "source", "created_at")
TRANSACTIONS = """
select count(distinct number) from (
  select xmin::text as number from runs where id = $1
  union all select xmin::text from events where run_id = $1
  union all select xmin::text from checkpoints where run_id = $1
  union all select xmin::text from audit_events where run_id = $1
) as written
"""
RUN_ID = object()
"""Stands for the run's id among a commit's values."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One statement and its values."""

    name: str
    sql: str
    values: tuple[Any, ...]

    def arguments(self, run_id: str) -> list[Any]:
        """Return the values for a run of this id."""
        return [run_id if value is RUN_ID else value for value in self.values]

    @property
    def size(self) -> int:
        """Bytes of the values, as text."""
        return sum(
            40 if value is RUN_ID else len(str(value or "").encode()) for value in self.values
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """schema: of the service's tables. commits: create, three steps, finish. rows: that the run
    left. transactions: in which the service wrote them.
    """

    schema: str
    commits: tuple[Commit, ...]
    rows: int
    transactions: int

    @property
    def bodies(self) -> list[str]:
        """Texts of the commits' sizes."""
        return ["x" * commit.size for commit in self.commits]


class _Statement:
    """Collects parts of one statement and their values."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: list[str] = []
        self._values: list[Any] = []

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        places = ", ".join(self._place(value) for value in row.values())
        self._parts.append(f"insert into {table} ({', '.join(row)}) values ({places})")

    def update_run(self, row: Mapping[str, Any]) -> None:
        changed = ", ".join(f"{column} = {self._place(value)}" for column, value in row.items())
        self._parts.append(f"update runs set {changed} where id = {self._place(RUN_ID)}")

    def delete_job(self) -> None:
        self._parts.append(f"delete from jobs where run_id = {self._place(RUN_ID)}")

    def commit(self) -> Commit:
        """Return all parts as one statement: the last is the body, the others are its CTEs."""
        *before, last = self._parts
        named = ", ".join(f"part_{number} as ({part})" for number, part in enumerate(before))
        sql = f"with {named} {last}" if named else last
        return Commit(self._name, sql, tuple(self._values))

    def _place(self, value: Any) -> str:
        self._values.append(value)
        return f"${len(self._values)}"


async def take_sample(dsn: str, run_id: str) -> Sample:
    """Read what the service wrote for a completed run of three steps."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = {table: await _rows(connection, table, run_id) for table in RUN_TABLES}
        transactions = await connection.fetchval(TRANSACTIONS, run_id)
    finally:
        await connection.close()
    (run,) = rows["runs"]
    began, *steps, ended = rows["checkpoints"]
    assert len(steps) == 3, "the sample is a run of three steps"
    started, *_, completed = rows["events"]
    stepping = {**run, "status": "running", "completed_at": None, "detail": STEP_DETAIL}
    create = _Statement("create")
    create.insert("runs", stepping)
    create.insert("events", started)
    create.insert("checkpoints", began)
    create.insert("jobs", _job(run))
    record = rows["audit_events"][0]
    create.insert("audit_events", record)
    create.insert("audit_unsealed", {"created_at": record["created_at"], "id": record["id"]})
    commits = [create.commit()]
    for number, checkpoint in enumerate(steps, start=1):
        step = _Statement(f"step_{number}")
        step.insert("checkpoints", checkpoint)
        step.update_run(_changing(stepping))
        commits.append(step.commit())
    finish = _Statement("finish")
    finish.insert("checkpoints", ended)
    finish.insert("events", completed)
    finish.delete_job()
    finish.update_run(_changing(run))
    return Sample(
        schema=SCHEMA,
        commits=(*commits, finish.commit()),
        rows=sum(len(found) for found in rows.values()),
        transactions=transactions,
    )


async def _rows(connection: Any, table: str, run_id: str) -> Sequence[dict[str, Any]]:
    """Return a run's rows with its id, and ids made from it, replaced by the placeholder."""
    column = "id" if table == "runs" else "run_id"
    order = "sequence" if table in ("events", "checkpoints") else "created_at"
    query = f"select * from {table} where {column} = $1 order by {order}"  # constants
    found = []
    for record in await connection.fetch(query, run_id):
        row = dict(record)
        row[column] = RUN_ID
        if table == "audit_events":
            row["id"] = RUN_ID
        found.append(row)
    return found


def _changing(run: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in run.items() if key not in WRITTEN_ONCE}


def _job(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run_id": RUN_ID,
        "kind": "run",
        "subject": "",
        "due_at": run["created_at"],
        "lease_owner": "proc_" + "x" * 50,
        "lease_expires_at": run["updated_at"],
        "created_at": run["created_at"],
    }
