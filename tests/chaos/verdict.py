"""What a campaign measured, held against what is promised."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.checks import Offence, offences
from tests.chaos.clients import Load
from tests.chaos.faults import Strike
from tests.chaos.history import History
from tests.chaos.recovery import Takeover, hit, repeats, takeovers
from tests.chaos.shapes import KINDS, shape_of, shapes
from tests.chaos.uptime import Darkness

RETURN_SECONDS = 10
RETURN_SHARE = 0.7
WINDOW_SECONDS = 5
TAKEOVER_EXTRA_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Phases:
    """When the control, the faults and the load ended, on the ledger's clock."""

    control_from: float
    control_to: float
    faults_to: float
    load_to: float
    drained_at: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table. bound: empty where nothing is promised. ok: within its bound. timed: it
    depends on how fast the machine is.
    """

    name: str
    value: str
    bound: str = ""
    ok: bool = True
    offences: list[Offence] = field(default_factory=list)
    timed: bool = False


@dataclass
class Verdict:
    """All lines, and the numbers behind them."""

    lines: list[Line]
    numbers: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return all(line.ok for line in self.lines)

    @property
    def ok_but_for_times(self) -> bool:
        """Whether every promise was kept that does not depend on the machine's speed."""
        return all(line.ok or line.timed for line in self.lines)


def judge(
    *,
    histories: Mapping[str, History],
    load: Load,
    strikes: list[Strike],
    phases: Phases,
    lease_seconds: float,
    dark: Darkness,
    folds: list[Offence],
) -> Verdict:
    """Hold a campaign against its promises. folds: runs whose checkpoints do not add up."""
    found = offences(histories, load.flows)
    found["late_writes"] += folds
    lines = [
        *_fault_lines(strikes),
        Line("runs accepted", str(sum(1 for flow in load.flows if flow.run_id))),
        *_kind_lines(histories),
        Line("steps executed", str(sum(len(run.executions) for run in histories.values()))),
        _zero("accepted runs lost", found["lost"]),
        _zero("executed again after their result was committed", found["repeated_after_commit"]),
    ]
    repeat_lines, repeat_numbers = _repeat_lines(histories, strikes, found["unmarked_repeats"])
    takeover_lines, takeover_numbers = _takeover_lines(histories, strikes, lease_seconds, dark)
    flow_lines, flow_numbers = _throughput_lines(load, phases)
    lines += [
        *repeat_lines,
        _zero("late writes accepted", found["late_writes"]),
        _zero("gaps in the numbers of events and checkpoints", found["gaps"]),
        _zero("texts that are not as the workflow makes them", found["outputs"]),
        *_decision_lines(histories, found),
        _zero("dead-lettered runs", found["dead_letters"]),
        _zero("keys that made two runs", found["duplicates"]),
        _zero("runs that ended otherwise than they should", found["unexpected_ends"]),
        _zero("answers that no client should get", found["wrong_answers"]),
        *takeover_lines,
        *flow_lines,
        Line("drained after", f"{phases.drained_at - phases.load_to:.1f} s"),
    ]
    numbers = {**repeat_numbers, **takeover_numbers, **flow_numbers}
    return Verdict(lines, numbers)


def _zero(name: str, found: list[Offence]) -> Line:
    return Line(name, str(len(found)), "0", not found, found)


def _kind_lines(histories: Mapping[str, History]) -> list[Line]:
    """How many runs of each kind there were; each must have been there."""
    counts = Counter(run.kind for run in histories.values() if run.row is not None)
    lines = []
    for kind in dict.fromkeys(shape.kind for shape in shapes().values()):
        names = [name for name in KINDS if shape_of(name).kind == kind]
        told = ", ".join(f"{name} {counts[name]}" for name in names)
        lines.append(Line(f"  {kind}", told, "", all(counts[name] for name in names)))
    return lines


def _decision_lines(
    histories: Mapping[str, History], found: Mapping[str, list[Offence]]
) -> list[Line]:
    decided = [
        (run, task) for run in histories.values() for task in run.tasks if task.status == "decided"
    ]
    busy = sum(run.status_at(task.at) != "blocked" for run, task in decided)
    return [
        Line("decisions taken", f"{len(decided)} ({busy} while other branches of the run worked)"),
        _zero("decisions lost", found["decisions_lost"]),
        _zero("decisions taken or applied twice", found["decisions_twice"]),
    ]


def _fault_lines(strikes: list[Strike]) -> list[Line]:
    kills = [strike for strike in strikes if strike.fault.kind == "kill"]
    early = sum(not strike.was_ready for strike in kills)
    backends = [strike for strike in strikes if strike.fault.kind == "backend"]
    restarts = [strike for strike in strikes if strike.fault.kind == "restart"]
    return [
        Line("kills", f"{len(kills)} ({early} while the process was starting)"),
        Line("stops", str(sum(strike.fault.kind == "stop" for strike in strikes))),
        Line("database sessions ended", f"{sum(strike.hits for strike in backends)}"),
        Line("database restarts", str(len(restarts))),
    ]


def _repeat_lines(
    histories: Mapping[str, History], strikes: list[Strike], unmarked: list[Offence]
) -> tuple[list[Line], dict[str, Any]]:
    nonces = hit(histories, strikes)
    again = repeats(histories, nonces)
    unexplained = [Offence(run_id, f"step {step}") for run_id, step in again.unexplained]
    late = [Offence(run_id, text) for run_id, text in again.late]
    lines = [
        Line("steps under way at the faults", str(len(nonces))),
        Line(
            "steps executed again before it",
            str(again.count),
            f"{len(nonces)}",
            again.count <= len(nonces),
            unexplained,
        ),
        _zero("of them without an attempt or the key of their own", unmarked),
        Line("of them without a fault", str(len(unexplained)), "", True, unexplained),
        Line("of them begun by who had lost the run", str(len(late)), "", True, late),
    ]
    numbers = {"under_way_at_faults": len(nonces), "repeats": again.count}
    return lines, numbers


def _takeover_lines(
    histories: Mapping[str, History], strikes: list[Strike], lease_seconds: float, dark: Darkness
) -> tuple[list[Line], dict[str, Any]]:
    lines, numbers = [], {}
    bound = lease_seconds + TAKEOVER_EXTRA_SECONDS
    for kind in ("kill", "stop"):
        found, stuck = takeovers(histories, strikes, kind, dark)
        found.sort(key=lambda takeover: takeover.seconds)
        whole = [takeover.seconds for takeover in found]
        lit = sorted(takeover.seconds - takeover.dark for takeover in found)
        slow = [_slow(takeover) for takeover in reversed(found) if takeover.seconds > bound]
        p99 = quantile(lit, 0.99)
        lines += [
            Line(
                f"takeover after a {kind}", f"{_spread(whole)} ({len(found)} runs)", "", True, slow
            ),
            Line(
                f"after a {kind}, without times when nobody could work",
                _spread(lit),
                f"p99 {bound:g} s" if kind == "kill" else "",
                kind != "kill" or p99 <= bound,
                slow,
                timed=True,
            ),
            _zero(f"never gone on after a {kind}", [Offence(run_id, "") for run_id in stuck]),
        ]
        numbers[f"takeover_{kind}"] = {
            "runs": len(found),
            "p50": quantile(whole, 0.5),
            "p99": quantile(whole, 0.99),
            "max": quantile(whole, 1.0),
            "p99_while_somebody_could_work": p99,
            "over_the_bound": len(slow),
            "over_the_bound_hit_once": sum(t.seconds > bound and not t.again for t in found),
        }
    return lines, numbers


def _spread(ordered: list[float]) -> str:
    p50, p99, worst = (quantile(ordered, share) for share in (0.5, 0.99, 1.0))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {worst:.2f} s"


def _slow(takeover: Takeover) -> Offence:
    return Offence(
        takeover.run_id,
        f"{takeover.seconds:.2f} s after {takeover.name} was hit at {takeover.at:.3f}; nobody "
        f"could work for {takeover.dark:.2f} s of it; "
        f"its holders were hit {takeover.again} times more",
    )


def _throughput_lines(load: Load, phases: Phases) -> tuple[list[Line], dict[str, Any]]:
    def rate(start: float, end: float) -> float:
        return load.ended_between(start, end) / max(end - start, 0.001)

    control = rate(phases.control_from, phases.control_to)
    faults = rate(phases.control_to, phases.faults_to)
    calm = rate(phases.faults_to + RETURN_SECONDS, phases.load_to)
    back = None
    for tenth in range(RETURN_SECONDS * 10 + 1):
        start = phases.faults_to + tenth / 10
        if rate(start, start + WINDOW_SECONDS) >= RETURN_SHARE * control:
            back = tenth / 10
            break
    found = "not within 10 s" if back is None else f"after {back:.1f} s"
    lines = [
        Line("runs per second, control", f"{control:.1f}"),
        Line("runs per second, during faults", f"{faults:.1f}"),
        Line("runs per second, from 10 s after them", f"{calm:.1f}"),
        Line(f"back to {RETURN_SHARE} of control", found, "10 s", back is not None, timed=True),
    ]
    numbers = {
        "control_per_second": control,
        "faults_per_second": faults,
        "calm_per_second": calm,
        "back_after_seconds": back,
    }
    return lines, numbers


def quantile(ordered: list[float], share: float) -> float:
    """Return the smallest value that so large a share does not exceed; 0 of nothing."""
    if not ordered:
        return 0.0
    index = max(0, -(-len(ordered) * share // 1) - 1)
    return ordered[int(index)]
