"""When at least one process could work: it was up, not frozen, and the database answered."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.chaos.faults import Strike
from tests.chaos.processes import Life

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Darkness:
    """The times in which nobody could work, in order and apart from each other."""

    spans: tuple[Span, ...]

    def within(self, start: float, end: float) -> float:
        """Return how many seconds of a time were dark."""
        return sum(max(0.0, min(end, to) - max(start, since)) for since, to in self.spans)


def darkness(lives: Iterable[Life], strikes: list[Strike], until: float) -> Darkness:
    """Return when nobody could work, from the first process's start on."""
    lives = list(lives)
    began = min(life.began for life in lives)
    up: list[Span] = []
    for life in lives:
        ready = ready_at(life.log)
        if ready is None:
            continue
        frozen = [
            (strike.at, strike.until)
            for strike in strikes
            if strike.fault.kind == "stop" and life.pid in strike.pids
        ]
        up += _without([(ready, life.ended or until)], frozen)
    dark = _without([(began, until)], up)
    down = [(strike.at, strike.until) for strike in strikes if strike.fault.kind == "restart"]
    return Darkness(tuple(_merged([*dark, *down])))


def ready_at(log: Path) -> float | None:
    """Return when a process said that it was ready."""
    with log.open(errors="replace") as lines:
        for line in lines:
            if ' ready"' in line:
                return datetime.fromisoformat(json.loads(line)["time"]).timestamp()
    return None


def _without(spans: list[Span], taken: list[Span]) -> list[Span]:
    """Return what is left of spans."""
    for since, to in taken:
        cut = [((start, min(end, since)), (max(start, to), end)) for start, end in spans]
        spans = [span for pair in cut for span in pair if span[0] < span[1]]
    return spans


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
