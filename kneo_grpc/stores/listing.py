"""Lists are composed from the constant fragments below; values travel as parameters only.

One statement for all filters (`$1 is null or …`) would fall into a generic plan that scans the
table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.change import JobKind
from kneo_grpc.ports.audit import AuditFilter
from kneo_grpc.ports.store import HumanTaskFilter, PageRequest, Position, RunFilter
from kneo_grpc.stores.codec import InstantEncoder, instant_from_micros, storable

TOTAL_MAX = 10_000

_CONDITIONS: Mapping[str, str] = {
    "run_id": "run_id = {0}",
    "type": "type = {0}",
    "status": "status = {0}",
    "workflow_kind": "workflow_kind = {0}",
    "workflow_name": "workflow_name = {0}",
    "session_id": "session_id = {0}",
    "environment": "environment = {0}",
    "environment_or_unnamed": "environment = {0} or environment is null",
    "failed": "error_text is not null",
    "not_failed": "error_text is null",
    "created_after": "created_at > {0}",
    "created_before": "created_at < {0}",
    "pending": "status = 'pending'",
    "escalated": "escalated_at is not null",
    "not_escalated": "escalated_at is null",
    # A partial index holds the jobs of each of these kinds, so the kind is no parameter.
    "run": "kind = 'run'",
    "dead": "kind = 'dead'",
    "actor": "actor = {0}",
    "continuation_id": "continuation_id = {0}",
    "event_type": "event_type = {0}",
    # What most records are is not in the index of types; for the others this names the index.
    "rare_event_type": "event_type not in ('run.created', 'spec.run')",
}
_TEXT: Mapping[str, str] = {
    # The column compares by bytes ("C"), where only ASCII letters have two cases.
    "postgres": (
        'strpos(lower(output_text collate "default"), lower({0})) > 0'
        ' or strpos(lower(error_text collate "default"), lower({0})) > 0'
    ),
    # fold is Python's, given to every reading connection.
    "sqlite": "instr(fold(output_text), fold({0})) > 0 or instr(fold(error_text), fold({0})) > 0",
}
_RUN_ORDER: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "created_at": ("created_at", "id"),
    # Only updated_slot is indexed (see the schema); it orders by the same instant, more coarsely.
    "updated_at": ("updated_slot", "updated_at", "id"),
    "status": ("status", "id"),
    "workflow_name": ("workflow_name", "id"),
}
_EVENT_ORDER: Mapping[str, tuple[str, ...]] = {
    "sequence": ("sequence",),
    "timestamp": ("occurred_at", "id"),
    "type": ("type", "id"),
}
_CHECKPOINT_ORDER: Mapping[str, tuple[str, ...]] = {
    "sequence": ("sequence",),
    "created_at": ("created_at", "id"),
    "type": ("type", "id"),
}
_TASK_ORDER: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "run_id": ("run_id", "id"),
    "created_at": ("created_at", "id"),
    "expires_at": ("expires_at", "id"),
}
_JOB_ORDER: Mapping[str, tuple[str, ...]] = {
    "due_at": ("due_at", "run_id"),
    "claims": ("claims", "run_id"),
    "run_id": ("run_id",),
}
_AUDIT_ORDER: Mapping[str, tuple[str, ...]] = {"created_at": ("created_at", "id")}
_NULLABLE = frozenset({"workflow_name", "expires_at"})
INSTANTS = frozenset({"created_at", "updated_at", "occurred_at", "expires_at", "due_at"})


@dataclass(frozen=True, slots=True)
class Part:
    """A statement that gives a stretch of a list; it takes limit and offset after its arguments."""

    sql: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list and its count. parts: one after the other they give the list from where the page
    begins. keys: the columns that say where an item stands in it. total: where it is known.
    """

    parts: tuple[Part, ...]
    count: Part
    keys: tuple[str, ...]
    limit: int
    offset: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Lists:
    """Composes the lists of one database. mark: `$` or `?`, before a placeholder's number."""

    database: str
    mark: str
    statements: Mapping[str, str]
    instant: InstantEncoder

    def runs(self, where: RunFilter, page: PageRequest) -> Listing:
        """Compose list_runs."""
        failed = {None: None, True: "failed", False: "not_failed"}[where.has_error]
        environment = "environment_or_unnamed" if where.or_unnamed else "environment"
        conditions: list[tuple[str, Any]] = [
            (_CONDITIONS["status"], None if where.status is None else where.status.value),
            (_CONDITIONS["workflow_kind"], where.workflow_kind),
            (_CONDITIONS["workflow_name"], where.workflow_name),
            (_CONDITIONS["session_id"], where.session_id),
            (_CONDITIONS[environment], where.environment),
            (_CONDITIONS["created_after"], self.instant(where.created_after)),
            (_CONDITIONS["created_before"], self.instant(where.created_before)),
            (_TEXT[self.database], storable(where.text)),
        ]
        constant = [] if failed is None else [_CONDITIONS[failed]]
        return self._compose("run_list", constant, conditions, _RUN_ORDER, page)

    def events(self, run_id: str, event_type: str | None, page: PageRequest) -> Listing:
        """Compose list_events."""
        conditions = [(_CONDITIONS["run_id"], run_id), (_CONDITIONS["type"], event_type)]
        return self._compose("event_list", [], conditions, _EVENT_ORDER, page)

    def checkpoints(self, run_id: str, checkpoint_type: str | None, page: PageRequest) -> Listing:
        """Compose list_checkpoints, without the states."""
        conditions = [(_CONDITIONS["run_id"], run_id), (_CONDITIONS["type"], checkpoint_type)]
        return self._compose("checkpoint_list", [], conditions, _CHECKPOINT_ORDER, page)

    def human_tasks(self, where: HumanTaskFilter, page: PageRequest) -> Listing:
        """Compose list_human_tasks."""
        conditions = [
            (_CONDITIONS["run_id"], where.run_id),
            (_CONDITIONS["workflow_kind"], where.workflow_kind),
        ]
        constant = [_CONDITIONS["pending"]]
        if where.escalated is not None:
            constant.append(_CONDITIONS["escalated" if where.escalated else "not_escalated"])
        return self._compose("task_list", constant, conditions, _TASK_ORDER, page)

    def jobs(self, kind: JobKind, page: PageRequest) -> Listing:
        """Compose list_jobs."""
        return self._compose("job_list", [_CONDITIONS[kind.value]], [], _JOB_ORDER, page)

    def audit(self, where: AuditFilter, page: PageRequest) -> Listing:
        """Compose list_audit."""
        conditions = [
            (_CONDITIONS["event_type"], where.event_type),
            (_CONDITIONS["run_id"], where.run_id),
            (_CONDITIONS["continuation_id"], where.continuation_id),
            (_CONDITIONS["actor"], where.actor),
            (_CONDITIONS["created_after"], self.instant(where.created_after)),
            (_CONDITIONS["created_before"], self.instant(where.created_before)),
        ]
        rare = where.event_type not in (None, "run.created", "spec.run")
        constant = [_CONDITIONS["rare_event_type"]] if rare else []
        return self._compose("audit_list", constant, conditions, _AUDIT_ORDER, page)

    def _compose(
        self,
        head: str,
        constant: list[str],
        conditions: list[tuple[str, Any]],
        orders: Mapping[str, tuple[str, ...]],
        page: PageRequest,
    ) -> Listing:
        fragments = list(constant)
        arguments: list[Any] = []
        for fragment, value in conditions:
            if value is not None:
                arguments.append(value)
                fragments.append("(" + fragment.format(f"{self.mark}{len(arguments)}") + ")")
        keys = orders[page.sort_by]
        order = ", ".join(_direction(key, page.descending) for key in keys)
        table = self.statements[head].rsplit(maxsplit=1)[-1]
        count = ("select 1 from ", table, _where(fragments), " limit ", str(TOTAL_MAX))
        parts = []
        for conditions_after, values in self._stretches(keys, page, len(arguments)):
            given = (*arguments, *values)
            end = f" limit {self.mark}{len(given) + 1} offset {self.mark}{len(given) + 2}"
            where = _where([*fragments, *conditions_after])
            sql = "".join((self.statements[head], where, " order by ", order, end))
            parts.append(Part(sql, given))
        return Listing(
            parts=tuple(parts),
            count=Part(
                "".join(("select count(*) as total from (", *count, ") as counted")),
                tuple(arguments),
            ),
            keys=keys,
            limit=page.limit,
            offset=page.offset,
            total=page.total,
        )

    def _stretches(
        self, keys: tuple[str, ...], page: PageRequest, taken: int
    ) -> list[tuple[list[str], list[Any]]]:
        """Return the conditions and values of each stretch of the list that follows page.after.

        Where the first key may be null, what has one and what has none are two stretches: a
        condition that joins them would walk the list from its beginning.
        taken: how many placeholders are.
        """
        if page.after is None:
            return [([], [])]
        first, nullable = keys[0], keys[0] in _NULLABLE
        compared, values = keys, self._values(keys, page.after)
        conditions = []
        if nullable and page.after[0] is None:
            conditions.append(f"{first} is null")
            compared, values = keys[1:], values[1:]
        marks = (f"{self.mark}{taken + number}" for number in range(1, len(values) + 1))
        sign = "<" if page.descending else ">"
        conditions.append(f"({', '.join(compared)}) {sign} ({', '.join(marks)})")
        stretches = [(conditions, values)]
        if nullable and page.descending and page.after[0] is None:
            stretches.append(([f"{first} is not null"], []))
        if nullable and not page.descending and page.after[0] is not None:
            stretches.append(([f"{first} is null"], []))
        return stretches

    def _values(self, keys: tuple[str, ...], after: Position) -> list[Any]:
        return [
            self.instant(instant_from_micros(value))
            if key in INSTANTS and (value is None or isinstance(value, int))
            else value
            for key, value in zip(keys, after, strict=True)
        ]


def _where(fragments: list[str]) -> str:
    return " where " + " and ".join(fragments) if fragments else ""


def _direction(key: str, descending: bool) -> str:
    way = " desc" if descending else " asc"
    if key not in _NULLABLE:
        return key + way
    return key + way + (" nulls first" if descending else " nulls last")
