"""What the database and the ledger hold of each run."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.clients import Flow

RESTS = frozenset({"human_pause", "run_completed", "run_cancelled", "run_failed", "run_timed_out"})
"""Checkpoints after which nobody drives the run."""

LINE = '{"what"'
"""How a line of the ledger begins."""

QUERIES = {
    "runs": "select * from runs",
    "checkpoints": "select run_id, sequence, type, step_id, metadata, created_at from checkpoints",
    "events": "select run_id, sequence, type from events",
    "tasks": "select run_id, status from human_tasks",
    "jobs": "select run_id, kind, claims, lease_owner, lease_expires_at from jobs",
}


@dataclass(slots=True)
class Execution:
    """One execution of a step's code, from the ledger. ended: 0 when it never did; failed: it
    raised.
    """

    run_id: str
    step: str
    key: str
    attempt: int
    pid: int
    nonce: str
    text: str
    began: float
    ended: float = 0.0
    failed: bool = False

    def told(self) -> str:
        """As one line."""
        until = f"{self.ended:.3f}" if self.ended else "never"
        return (
            f"{self.began:.3f} to {until} {self.step} attempt {self.attempt} "
            f"pid {self.pid} nonce {self.nonce} key {self.key} input {self.text!r}"
        )


@dataclass(slots=True)
class Mark:
    """A stored checkpoint. nonce, attempt: of the execution whose output it records, if any."""

    sequence: int
    type: str
    step: str
    at: float
    output: str | None
    nonce: str = ""
    attempt: int = 0


@dataclass
class History:
    """One run. row: None when the database has none. committed: marks of recorded results by
    nonce.
    """

    run_id: str
    row: dict[str, Any] | None = None
    marks: list[Mark] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    flow: Flow | None = None

    @property
    def status(self) -> str:
        """The stored status."""
        return "absent" if self.row is None else str(self.row["status"])

    @property
    def committed(self) -> dict[str, Mark]:
        """The recorded results by the nonce of their execution."""
        return {mark.nonce: mark for mark in self.marks if mark.nonce}

    def by_step(self) -> dict[str, list[Execution]]:
        """The executions of each step, in the order in which they began."""
        found: dict[str, list[Execution]] = defaultdict(list)
        for execution in self.executions:
            found[execution.step].append(execution)
        return found

    def rests_at(self, instant: float) -> bool:
        """Whether nobody had to drive the run at that time."""
        before = [mark for mark in self.marks if mark.at <= instant]
        return bool(before) and before[-1].type in RESTS


async def read_histories(dsn: str, ledger: Path, flows: list[Flow]) -> dict[str, History]:
    """Read everything, by run id."""
    histories: dict[str, History] = {}

    def of(run_id: str) -> History:
        return histories.setdefault(run_id, History(run_id))

    connection = await asyncpg.connect(dsn)
    try:
        rows = {name: await connection.fetch(query) for name, query in QUERIES.items()}
    finally:
        await connection.close()
    for row in rows["runs"]:
        of(row["id"]).row = dict(row)
    for row in rows["checkpoints"]:
        of(row["run_id"]).marks.append(_mark(row))
    for row in rows["events"]:
        of(row["run_id"]).events.append((row["sequence"], row["type"]))
    for row in rows["tasks"]:
        of(row["run_id"]).tasks.append(row["status"])
    for row in rows["jobs"]:
        of(row["run_id"]).jobs.append(dict(row))
    for execution in read_ledger(ledger):
        of(execution.run_id).executions.append(execution)
    for flow in flows:
        if flow.run_id:
            of(flow.run_id).flow = flow
    for history in histories.values():
        history.marks.sort(key=lambda mark: mark.sequence)
        history.events.sort()
        history.executions.sort(key=lambda execution: execution.began)
    return histories


def read_ledger(path: Path) -> list[Execution]:
    """Return all executions."""
    found: dict[str, Execution] = {}
    with path.open() as lines:
        for text in lines:
            # A kill may cut a line where a page of the file ends; the next line follows at once.
            try:
                line = json.loads(text[text.rfind(LINE) :])
            except ValueError:
                continue
            if line["what"] != "start":
                execution = found[line["nonce"]]
                execution.ended, execution.failed = line["time"], line["what"] == "failed"
                continue
            assert line["nonce"] not in found, "a nonce was drawn twice"
            found[line["nonce"]] = Execution(
                run_id=line["run"],
                step=line["step"],
                key=line["key"],
                attempt=line["attempt"],
                pid=line["pid"],
                nonce=line["nonce"],
                text=line["text"],
                began=line["time"],
            )
    return list(found.values())


def _mark(row: Any) -> Mark:
    at: datetime = row["created_at"]
    output = json.loads(row["metadata"]).get("output_text")
    mark = Mark(row["sequence"], row["type"], row["step_id"] or "", at.timestamp(), output)
    if mark.type == "step_completed" and output and "|" in output:
        step, attempt, nonce = output.rpartition("|")[2].split(":")
        # A person's approval hands on what the step before gave.
        if step == mark.step:
            mark.attempt, mark.nonce = int(attempt), nonce
    return mark
