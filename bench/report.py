"""Results as JSON and as Markdown tables."""

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.stage import Pace, Row, Value

Cells = Callable[[Row], dict[str, Value]]


MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")


def document(
    results: Mapping[str, Sequence[Row]], pace: Pace, conditions: dict[str, Any]
) -> dict[str, Any]:
    """Return all results, by scenario, with the conditions under which they were measured."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        **conditions,
        "load_after": round(os.getloadavg()[0], 2),
        "pace": dataclasses.asdict(pace),
        "rows": [dataclasses.asdict(row) for rows in results.values() for row in rows],
    }


def write_json(path: Path, found: dict[str, Any]) -> None:
    """Write results for later comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def write_page(path: Path, results: Mapping[str, Sequence[Row]], found: dict[str, Any]) -> None:
    """Replace what stands between the marks of a Markdown page. Raises ValueError without marks."""
    before, _, rest = path.read_text().partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"{path} lacks the marks {MARKS}")
    pace = found["pace"]
    head = (
        f"Measured {found['measured_at']} on {found['cores']} cores, Python {found['python']}, "
        f"PostgreSQL {found['postgres']}; {pace['windows']} windows of {pace['seconds']:g} s, load "
        f"average {found['load_before']} before and {found['load_after']} after."
    )
    parts = [head, *(f"### {name}\n\n{markdown(rows)}" for name, rows in results.items())]
    path.write_text("\n\n".join([before + MARKS[0], *parts, MARKS[1] + after]))


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables of a scenario: what was seen, then what 1,000 calls cost."""
    tables = [_table(part, _facts) for part in _alike(rows, _facts)]
    for part in _alike([row for row in rows if row.costs], _costs):
        tables.append("Per 1,000 calls:\n\n" + _table(part, _costs))
    return "\n\n".join(tables)


def _facts(row: Row) -> dict[str, Value]:
    return row.facts


def _costs(row: Row) -> dict[str, Value]:
    return row.costs


def _alike(rows: Sequence[Row], cells: Cells) -> list[list[Row]]:
    """Gather rows that have the same columns."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(cells(row)), []).append(row)
    return list(found.values())


def _table(rows: Sequence[Row], cells: Cells) -> str:
    columns = list(cells(rows[0]))
    lines = [
        _line(["scenario", "over", "c", *columns]),
        _line(["---", "---", "--:", *("--:" for _ in columns)]),
    ]
    for row in rows:
        concurrency = str(row.concurrency or "")
        values = (_text(value) for value in cells(row).values())
        lines.append(_line([row.scenario, row.protocol, concurrency, *values]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(value: float | str) -> str:
    if isinstance(value, float) and value >= 1_000:
        return f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).replace("|", "/")
