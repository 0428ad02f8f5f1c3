"""The table for people, the JSON for programs, and the details of what went wrong."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.faults import Strike
from tests.chaos.history import History
from tests.chaos.verdict import Line, Verdict

SHOWN = 3
KEPT = 20


def table(verdict: Verdict) -> str:
    """Return the lines one below the other."""
    width = max(len(line.name) for line in verdict.lines)
    rows = []
    for line in verdict.lines:
        bound = f"  (at most {line.bound})" if line.bound else ""
        mark = "" if line.ok else "   <-- broken"
        rows.append(f"{line.name:<{width}}  {line.value}{bound}{mark}")
    return "\n".join(rows)


def details(
    line: Line, histories: Mapping[str, History], strikes: list[Strike], folder: Path, most: int
) -> list[dict[str, Any]]:
    """Return the first offences of a line, each with all that is known of its run."""
    found = []
    for offence in line.offences[:most]:
        entry: dict[str, Any] = asdict(offence)
        history = histories.get(offence.run_id)
        if history is not None:
            entry |= _story(history, strikes)
            entry["logs"] = _log_lines(folder, offence.run_id)
        found.append(entry)
    return found


def _story(history: History, strikes: list[Strike]) -> dict[str, Any]:
    pids = {execution.pid for execution in history.executions}
    times = [execution.began for execution in history.executions]
    first, last = min(times, default=0) - 5, max(times, default=0) + 15
    near = [
        strike
        for strike in strikes
        if (not strike.pids or pids & set(strike.pids) or history.run_id in (strike.held or ()))
        and first <= strike.at <= last
    ]
    return {
        "status": history.status,
        "run_attempt": history.row and history.row["attempt"],
        "input": history.row and history.row["input_text"],
        "flow": history.flow and asdict(history.flow),
        "ledger": [execution.told() for execution in history.executions],
        "checkpoints": [
            f"{mark.sequence} {mark.at:.3f} {mark.status} {mark.type} {mark.path} {mark.task} "
            f"{mark.output or ''}"
            for mark in history.marks
        ],
        "events": [f"{number} {kind}" for number, kind in history.events],
        "tasks": [str(task) for task in history.tasks],
        "jobs": [str(job) for job in history.jobs],
        "faults": [told(strike) for strike in near],
    }


def _log_lines(folder: Path, run_id: str, most: int = 40) -> list[str]:
    """Return what the processes logged about a run."""
    found = []
    for path in sorted(folder.glob("*.log")):
        with path.open(errors="replace") as lines:
            found += [f"{path.stem}: {line.strip()}" for line in lines if run_id in line]
    return found[:most]


def told(strike: Strike) -> str:
    """Return a fault as one line."""
    held = "unknown" if strike.held is None else str(len(strike.held))
    where = f"{strike.name} pid {strike.pids[0]}, {held} runs held" if strike.pids else "database"
    return (
        f"{strike.at:.3f} to {strike.until:.3f} {strike.fault.kind} {strike.fault.mode} {where}"
        f" (planned at {strike.fault.at})"
    )


def print_details(line: Line, stories: list[dict[str, Any]]) -> None:
    """Print offences so that a person can follow them."""
    print(f"\n== {line.name}: {line.value}")
    for story in stories[:SHOWN]:
        print(f"-- {story['run_id']} {story['text']}")
        for key, value in story.items():
            if key in ("run_id", "text"):
                continue
            if isinstance(value, list):
                print(f"   {key}:")
                for item in value:
                    print(f"     {item}")
            else:
                print(f"   {key}: {value}")


def logged_errors(folder: Path) -> dict[str, int]:
    """Count what processes logged as errors or printed as tracebacks, by its text."""
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.log")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                if line.startswith(("Traceback", "Fatal", "error:")):
                    counts[line[:200]] += 1
                continue
            if entry.get("level") in ("error", "critical", "warning"):
                counts[_text(entry)] += 1
    return dict(counts.most_common())


def _text(entry: Mapping[str, Any]) -> str:
    text = f"{entry['level']} {entry.get('message')}"
    trace = str(entry.get("exception") or entry.get("traceback") or "").strip()
    if trace:
        text += f": {trace.splitlines()[-1]}"
    for key in ("duty", "error"):
        if key in entry:
            text += f" [{entry[key]}]"
    return re.sub(r"(run|cont|req)_[0-9a-f-]{36}", r"\1_…", text)[:300]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write the report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)
