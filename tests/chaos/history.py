"""What the database and the ledger hold of each run."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.clients import Flow
from tests.chaos.shapes import step_of

LINE = '{"what"'
"""How a line of the ledger begins."""

STATUS = """
select operation->>2 from json_array_elements(patch) as operation
where operation->>0 = 'set' and operation->1->>0 = 'status'
"""
"""What a checkpoint's patch makes the run's status."""

QUERIES = {
    "runs": "select * from runs",
    "checkpoints": f"""
        select run_id, sequence, type, metadata, created_at,
            coalesce(snapshot->>'status', ({STATUS})) as status
        from checkpoints
    """,
    "events": "select run_id, sequence, type from events",
    "tasks": """
        select id, run_id, status, body->>'step_path' as path, decision->>'decision' as decision,
            decision->>'content' as content, settled_at
        from human_tasks
    """,
    "acts": """
        select run_id, continuation_id from audit_events where event_type = 'human.decision'
    """,
    "jobs": "select run_id, kind, claims, lease_owner, lease_expires_at from jobs",
}


@dataclass(slots=True)
class Execution:
    """One execution of a step's code, from the ledger. ended: 0 when it never did; failed: it
    raised.
    """

    run_id: str
    path: str
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
            f"{self.began:.3f} to {until} {self.path} attempt {self.attempt} "
            f"pid {self.pid} nonce {self.nonce} key {self.key} input {self.text!r}"
        )


@dataclass(slots=True)
class Mark:
    """A stored checkpoint. path: of the step that it is about, if any. status: the run's.

    nonce, attempt: of the execution whose output it records, if any. task: the human task that it
    is about, if any.
    """

    sequence: int
    type: str
    path: str
    at: float
    output: str | None
    nonce: str = ""
    attempt: int = 0
    status: str = ""
    task: str = ""

    @property
    def ends_step(self) -> bool:
        """Whether it records the output of a step."""
        return self.type in ("step_completed", "node_completed")


@dataclass(slots=True)
class Task:
    """A stored human task. decision, content: what was decided, if anything; at: when; acts: how
    many decisions the audit knows.
    """

    id: str
    path: str
    status: str
    decision: str | None = None
    content: str | None = None
    at: float = 0.0
    acts: int = 0


@dataclass
class History:
    """One run. row: None when the database has none. committed: marks of recorded results by
    nonce.
    """

    run_id: str
    row: dict[str, Any] | None = None
    marks: list[Mark] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    flow: Flow | None = None

    @property
    def status(self) -> str:
        """The stored status."""
        return "absent" if self.row is None else str(self.row["status"])

    @property
    def kind(self) -> str:
        """The kind of run that its client asked for, which is the first word of its input."""
        return "" if self.row is None else str(self.row["input_text"]).partition(" ")[0]

    @property
    def committed(self) -> dict[str, Mark]:
        """The recorded results by the nonce of their execution."""
        return {mark.nonce: mark for mark in self.marks if mark.nonce}

    def by_step(self) -> dict[str, list[Execution]]:
        """The executions of each step by its path, in the order in which they began."""
        found: dict[str, list[Execution]] = defaultdict(list)
        for execution in self.executions:
            found[execution.path].append(execution)
        return found

    def rests_at(self, instant: float) -> bool:
        """Whether nobody had to drive the run at that time."""
        return self.status_at(instant) not in ("", "queued", "running")

    def status_at(self, instant: float) -> str:
        """The run's status at that time; empty before it was begun."""
        before = [mark for mark in self.marks if mark.at <= instant]
        return before[-1].status if before else ""


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
        of(row["run_id"]).tasks.append(_task(row))
    for row in rows["jobs"]:
        of(row["run_id"]).jobs.append(dict(row))
    tasks = {task.id: task for history in histories.values() for task in history.tasks}
    for row in rows["acts"]:
        tasks[row["continuation_id"]].acts += 1
    for execution in read_ledger(ledger):
        of(execution.run_id).executions.append(execution)
    for flow in flows:
        if flow.run_id:
            of(flow.run_id).flow = flow
    for history in histories.values():
        history.marks.sort(key=lambda mark: mark.sequence)
        _fold_statuses(history.marks)
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
                path=line["path"],
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
    facts = json.loads(row["metadata"])
    output = facts.get("output_text")
    mark = Mark(
        row["sequence"],
        row["type"],
        facts.get("step_path", ""),
        at.timestamp(),
        output,
        status=row["status"] or "",
        task=facts.get("continuation_id", ""),
    )
    if mark.ends_step and output and "|" in output:
        step, attempt, nonce = output.rpartition("|")[2].split(":")
        # A person's approval, and a workflow in another one, hand on what others gave.
        if step == step_of(mark.path):
            mark.attempt, mark.nonce = int(attempt), nonce
    return mark


def _fold_statuses(marks: list[Mark]) -> None:
    """Have every checkpoint say what only those say that changed it."""
    status = ""
    for mark in marks:
        mark.status = status = mark.status or status


def _task(row: Any) -> Task:
    settled: datetime | None = row["settled_at"]
    return Task(
        row["id"],
        row["path"],
        row["status"],
        row["decision"],
        row["content"],
        settled.timestamp() if settled else 0.0,
    )
