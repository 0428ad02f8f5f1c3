"""How runs got over the faults: takeovers, repeats, and how many steps the faults hit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.chaos.faults import Strike
from tests.chaos.history import Execution, History
from tests.chaos.uptime import Darkness

WAKE_SECONDS = 1.0
"""After a frozen process goes on, or the database is back: in this time processes learn that they
lost runs.
"""

RETURN_SECONDS = 1.0
"""An execution that returned so long before a fault was recorded, or had lost its run before."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """A run that was under way in a process when a fault hit it. seconds: until it went on.

    dark: how many of them nobody could work in. again: how many further faults hit processes that
    had the run before it went on.
    """

    run_id: str
    at: float
    name: str
    seconds: float
    dark: float
    again: int


def takeovers(
    histories: Mapping[str, History], strikes: list[Strike], kind: str, dark: Darkness
) -> tuple[list[Takeover], list[str]]:
    """Return the takeovers after faults of a kind, and the runs that never went on."""
    found, stuck = [], []
    holders = _holders(strikes)
    for strike in strikes:
        if strike.fault.kind != kind:
            continue
        for history in _under_way(histories, strike):
            went_on = _goes_on(history, strike)
            if went_on is None:
                stuck.append(history.run_id)
                continue
            again = sum(strike.at < at < went_on for at in holders.get(history.run_id, ()))
            takeover = Takeover(
                history.run_id,
                strike.at,
                strike.name,
                went_on - strike.at,
                dark.within(strike.at, went_on),
                again,
            )
            found.append(takeover)
    return found, stuck


def _holders(strikes: list[Strike]) -> dict[str, list[float]]:
    """When a fault hit a process that held the run, by run."""
    times: dict[str, list[float]] = {}
    for strike in strikes:
        for run_id in strike.held or ():
            times.setdefault(run_id, []).append(strike.at)
    return times


def _under_way(histories: Mapping[str, History], strike: Strike) -> Iterable[History]:
    """The runs that the process had: by its leases, or where they are unknown by its steps."""
    if strike.held is None:
        ids = {
            history.run_id
            for history in histories.values()
            if (last := _last_before(history, strike.at)) is not None and last.pid in strike.pids
        }
    else:
        ids = set(strike.held)
    for run_id in sorted(ids):
        history = histories.get(run_id)
        if history is not None and history.row is not None and not history.rests_at(strike.at):
            yield history


def _last_before(history: History, instant: float) -> Execution | None:
    before = [execution for execution in history.executions if execution.began <= instant]
    return before[-1] if before else None


def _goes_on(history: History, strike: Strike) -> float | None:
    """When another process executed a step of the run, or the run came to rest."""
    steps = (
        execution.began
        for execution in history.executions
        if execution.began > strike.at and execution.pid not in strike.pids
    )
    rests = (mark.at for mark in history.marks if mark.at > strike.at)
    return min((*steps, *rests), default=None)


def hit(histories: Mapping[str, History], strikes: list[Strike]) -> set[str]:
    """Return the nonces of the executions that were under way, or whose result was not recorded
    yet, in a process when a fault hit it.
    """
    nonces: set[str] = set()
    for history in histories.values():
        committed = history.committed
        for execution in history.executions:
            mark = committed.get(execution.nonce)
            for strike in strikes:
                if strike.pids and execution.pid not in strike.pids:
                    continue
                wakes = strike.fault.kind in ("stop", "restart")
                end = strike.until + (WAKE_SECONDS if wakes else 0)
                recorded = mark is not None and mark.at < strike.at
                returned = execution.ended and execution.ended < strike.at - RETURN_SECONDS
                if execution.began <= end and not recorded and not returned:
                    nonces.add(execution.nonce)
                    break
    return nonces


@dataclass(frozen=True, slots=True)
class Repeats:
    """Executions beyond the first of their step. unexplained: steps that ran more often than
    faults hit them; late: executions that began after the result of a higher attempt was recorded.
    """

    count: int
    unexplained: list[tuple[str, str]]
    late: list[tuple[str, str]]


def repeats(histories: Mapping[str, History], nonces: set[str]) -> Repeats:
    """Count the repeats. nonces: of the executions that faults hit."""
    count = 0
    unexplained, late = [], []
    for history in histories.values():
        committed = history.committed
        for step, executions in history.by_step().items():
            # A step that raised is repeated because the spec says so.
            more = max(0, sum(not execution.failed for execution in executions) - 1)
            count += more
            if more > sum(execution.nonce in nonces for execution in executions):
                unexplained.append((history.run_id, step))
            recorded = [committed[e.nonce] for e in executions if e.nonce in committed]
            late += [
                (history.run_id, execution.told())
                for execution in executions
                for mark in recorded
                if execution.attempt < mark.attempt and execution.began > mark.at
            ]
    return Repeats(count, unexplained, late)
