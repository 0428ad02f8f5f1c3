"""A batch of Changes as one statement: its documents, and the text of those parts that it needs."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence, Set
from datetime import timedelta
from typing import Any

import orjson

from kneo_grpc.domain.change import Change
from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.domain.ids import PlanDigest
from kneo_grpc.stores import changes as encode
from kneo_grpc.stores.codec import same_instant

_RUN = (
    *("id", "is_new", "fence_statuses", "fence_attempt", "checkpoint_base", "event_count"),
    *("checkpoint_count", *encode.RUN_COLUMNS),
)
_EVENT = ("run_id", "behind", *encode.EVENT_COLUMNS)
_CHECKPOINT = ("run_id", "behind", *encode.CHECKPOINT_COLUMNS)
_PLAN = ("run_id", "digest", "content")
_TASK = ("run_id", *encode.TASK_COLUMNS)
_JOB = ("run_id", *encode.JOB_COLUMNS)
_CLEARED = ("run_id", "kinds")
_AUDIT = ("change_id", *encode.AUDIT_COLUMNS)

_DOCUMENT = re.compile(r"\$([a-z]+)")

_Rows = list[dict[str, Any]]


class Batches:
    """Puts batch statements together; see writing.sql. One text serves all batches that have rows
    for the same parts and runs of the same kinds: of some four hundred possible ones, a few dozen
    come up.
    """

    def __init__(self, statements: Mapping[str, str]) -> None:
        self._statements = statements
        self._texts: dict[tuple[str, ...], str] = {}

    def statement(
        self, changes: Sequence[Change], stored: Set[PlanDigest] = frozenset()
    ) -> tuple[str, list[str]]:
        """Return the text and the arguments that land Changes of different runs, sorted by run id.
        stored: plans that the database has already. Raises InvalidInput for a text that is no
        Unicode.
        """
        fresh = sum(encode.is_new(change) for change in changes)
        created = "created" if fresh else "created_none"
        moved = "moved" if fresh < len(changes) else "moved_none"
        documents = {name: rows for name, rows in _documents(changes, stored).items() if rows}
        parts = (created, moved, *documents)
        text = self._texts.get(parts)
        if text is None:
            text = self._texts[parts] = self._compose(created, moved, list(documents))
        return text, [_text(rows) for rows in documents.values()]

    def _compose(self, created: str, moved: str, documents: Sequence[str]) -> str:
        """documents: of the parts that have rows, in the order of the arguments."""
        _, *further = documents
        if "cleared" in further and "jobs" not in further:
            further.insert(further.index("cleared"), "jobs_none")
        names = ("change", created, moved, "landed", *further)
        parts = ",\n".join(self._statements[f"batch_{name}"] for name in names)
        places = {name: f"${place}" for place, name in enumerate(documents, start=1)}
        text = f"with {parts}\n{self._statements['batch_end']}"
        return _DOCUMENT.sub(lambda document: places[document[1]], text)


def _documents(changes: Sequence[Change], stored: Set[PlanDigest]) -> dict[str, _Rows]:
    """Return the rows of each document."""
    runs: _Rows = []
    events: _Rows = []
    checkpoints: _Rows = []
    plans: _Rows = []
    tasks: _Rows = []
    jobs: _Rows = []
    cleared: _Rows = []
    audit: _Rows = []
    for change in changes:
        run_id, fresh = change.run_id, encode.is_new(change)
        base = encode.base_sequence(change)
        event_count, checkpoint_count = len(change.events), len(change.checkpoints)
        fence = (*encode.fence_values(change), base, event_count, checkpoint_count)
        values = encode.run_values(change.run, same_instant, fresh=fresh)
        runs.append(_row(_RUN, (run_id, fresh, *fence, *values)))
        behind = event_count
        for event in change.events:
            behind -= 1
            row = (run_id, behind, *encode.event_values(event, same_instant))
            events.append(_row(_EVENT, row))
        behind = checkpoint_count
        for checkpoint in encode.checkpoint_rows(change, same_instant):
            behind -= 1
            checkpoints.append(_row(_CHECKPOINT, (run_id, behind, *checkpoint)))
        plan = change.plan
        if plan is not None and plan.digest not in stored:
            plans.append(_row(_PLAN, (run_id, plan.digest, b64encode(plan.content).decode())))
        for task in change.open_tasks:
            tasks.append(_row(_TASK, (run_id, *encode.task_values(task, same_instant))))
        for job in change.jobs:
            values = encode.job_values(job, same_instant, timedelta.total_seconds)
            jobs.append(_row(_JOB, (run_id, *values)))
        if change.clear_jobs:
            kinds = ",".join(encode.cleared_kinds(change))
            cleared.append(_row(_CLEARED, (run_id, kinds)))
        for record in change.audit:
            audit.append(_row(_AUDIT, (run_id, *encode.audit_values(record, same_instant))))
    return {
        "runs": runs,
        "events": events,
        "checkpoints": checkpoints,
        "plans": plans,
        "tasks": tasks,
        "jobs": jobs,
        "cleared": cleared,
        "audit": audit,
    }


def _row(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def _text(rows: _Rows) -> str:
    try:
        return orjson.dumps(rows).decode()
    except TypeError as error:
        raise InvalidInput("The database cannot store a text of this request.") from error
