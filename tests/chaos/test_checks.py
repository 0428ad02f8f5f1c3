"""The judge itself: a run without fault passes, and each kind of fault in a record is found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kneo_grpc.ports.store import LoadedState
from tests.chaos.checks import CHECKS, offences, unlike_state
from tests.chaos.clients import WORK, Flow
from tests.chaos.faults import Strike
from tests.chaos.history import Execution, History, Mark
from tests.chaos.processes import Life
from tests.chaos.recovery import hit, repeats, takeovers
from tests.chaos.schedule import KINDS, SLOTS, Fault, schedule
from tests.chaos.uptime import Darkness, darkness

RUN = "run_1"


def history() -> History:
    """A completed run: step n begins at n and is recorded, by process 7, half a second later."""
    text = "sync k"
    run = History(RUN, marks=[Mark(1, "run_started", "", 0.5, None)])
    for number, step in enumerate(WORK, start=1):
        run.executions.append(execution(step, number, text))
        text = f"{text}|{step}:1:n{number}"
        run.marks.append(Mark(number + 1, "step_completed", step, number + 0.5, text, f"n{number}"))
        run.marks[-1].attempt = 1
    run.marks.append(Mark(len(run.marks) + 1, "run_completed", "", 4.5, text))
    run.events = [(1, "workflow_started"), (2, "workflow_completed")]
    run.row = {
        "status": "completed",
        "attempt": 1,
        "input_text": "sync k",
        "output_text": text,
        "error_text": None,
        "event_sequence": 2,
        "checkpoint_sequence": len(run.marks),
    }
    run.flow = Flow("sync", "k", 0, RUN, 0.5, 5, "completed", {("completed", text)})
    return run


def execution(step: str, began: float, text: str, attempt: int = 1, pid: int = 7) -> Execution:
    nonce = f"n{began:g}"
    key = f"{RUN}/{step}#1/0"
    return Execution(RUN, step, key, attempt, pid, nonce, text, began, began + 0.4)


def row(run: History, **changes: object) -> None:
    assert run.row is not None
    run.row |= changes


def twice(step: str, attempt: int) -> Callable[[History], None]:
    """A further execution of a step, after its result was recorded."""

    def change(run: History) -> None:
        given = run.by_step()[step][0].text
        run.executions.append(execution(step, 9, given, attempt, pid=8))

    return change


def drop_mark(run: History) -> None:
    del run.marks[2]


def other_output(run: History) -> None:
    run.marks[2].output = "sync k|one:1:n1|two:1:n9"
    run.marks[2].nonce = "n9"


def go_on(run: History) -> None:
    run.marks.append(Mark(len(run.marks) + 1, "step_completed", "four", 9, "x"))
    row(run, checkpoint_sequence=len(run.marks))


def fall_back(run: History) -> None:
    run.marks[2].attempt = run.executions[1].attempt = 2
    run.marks[2].output = "sync k|one:1:n1|two:2:n2"


def told_otherwise(run: History) -> None:
    assert run.flow is not None
    run.flow.told.add(("cancelled", ""))


def under_another_key(run: History) -> None:
    again = execution("four", 3.9, run.executions[3].text, attempt=0)
    again.key = "another"
    run.executions.append(again)


FAULTS: dict[str, tuple[str, Callable[[History], None]]] = {
    "no row": ("lost", lambda run: setattr(run, "row", None)),
    "never ended": ("lost", lambda run: row(run, status="running")),
    "client not done": ("lost", lambda run: setattr(run.flow, "ended_at", 0.0)),
    "again": ("repeated_after_commit", twice("two", 2)),
    "same attempt": ("unmarked_repeats", twice("two", 1)),
    "other key": ("unmarked_repeats", under_another_key),
    "missing event": ("late_writes", lambda run: run.events.pop(0)),  # type: ignore[dict-item] # its value is not used
    "missing mark": ("late_writes", drop_mark),
    "other output": ("late_writes", other_output),
    "went on": ("late_writes", go_on),
    "attempt fell": ("late_writes", fall_back),
    "told otherwise": ("late_writes", told_otherwise),
    "other end": ("late_writes", lambda run: row(run, output_text="sync k")),
    "task left": ("late_writes", lambda run: run.tasks.append("pending")),
    "job left": ("late_writes", lambda run: run.jobs.append({"kind": "run"})),
    "dead": ("dead_letters", lambda run: run.jobs.append({"kind": "dead"})),
    "failed": ("unexpected_ends", lambda run: row(run, status="failed")),
}


def test_a_run_without_fault_passes_every_check() -> None:
    run = history()
    assert run.flow is not None
    assert {name: found for name, found in offences({RUN: run}, [run.flow]).items() if found} == {}


@pytest.mark.parametrize("name", FAULTS)
def test_every_check_finds_its_fault(name: str) -> None:
    check, spoil = FAULTS[name]
    run = history()
    spoil(run)
    assert list(CHECKS[check](run)) != []


def test_two_runs_of_one_key_are_found() -> None:
    runs = {RUN: history(), "run_2": history()}
    assert len(offences(runs, [])["duplicates"]) == 1


def test_a_create_that_was_never_answered_is_lost() -> None:
    assert len(offences({}, [Flow("sync", "k", 0)])["lost"]) == 1


def test_a_state_unlike_its_run_is_found() -> None:
    run = history()
    assert run.row is not None
    output = run.row["output_text"]
    state = {"status": "completed", "output": output, "visited_steps": list(WORK)}
    assert list(unlike_state(run, LoadedState(state=state, checkpoint_sequence=6))) == []
    state["output"] = "other"
    assert len(list(unlike_state(run, LoadedState(state=state, checkpoint_sequence=6)))) == 1


def strike(kind: str, at: float, until: float, pid: int = 7) -> Strike:
    return Strike(Fault(kind=kind, at=0, number=0), at, until, (pid,), "worker-1", (RUN,))


def taken_over() -> History:
    """Step two is begun by process 7, which is killed at 2.2; process 8 begins it again at 4.5."""
    run = history()
    run.executions = [run.executions[0], run.executions[1]]
    run.executions[1].ended = 0
    run.executions.append(execution("two", 4.5, "sync k|one:1:n1", attempt=2, pid=8))
    run.marks = run.marks[:2]
    return run


def test_a_takeover_is_measured_from_the_kill_to_the_next_execution() -> None:
    found, stuck = takeovers({RUN: taken_over()}, [strike("kill", 2.2, 2.2)], "kill", Darkness(()))
    assert [round(takeover.seconds, 3) for takeover in found] == [2.3]
    assert stuck == []


def test_it_is_dark_where_nobody_is_up_or_the_database_is_down(tmp_path: Path) -> None:
    def life(pid: int, ready: int, ended: float) -> Life:
        log = tmp_path / f"{pid}.log"
        time = f"1970-01-01T00:00:{ready:02}.000+00:00"
        log.write_text(f'{{"time": "{time}", "message": "worker ready"}}\n')
        return Life(pid, log, ready - 1, ended)

    lives = [life(7, 1, 10), life(8, 12, 0)]
    strikes = [strike("stop", 3, 5), strike("restart", 15, 16)]
    dark = darkness(lives, strikes, until=20)
    assert dark.spans == ((0, 1), (3, 5), (10, 12), (15, 16))
    assert dark.within(4, 11) == 2


def test_a_run_that_never_goes_on_is_stuck() -> None:
    run = taken_over()
    run.executions.pop()
    assert takeovers({RUN: run}, [strike("kill", 2.2, 2.2)], "kill", Darkness(())) == ([], [RUN])


def test_a_run_at_rest_needs_no_takeover() -> None:
    assert takeovers({RUN: history()}, [strike("kill", 6, 6)], "kill", Darkness(())) == ([], [])


def test_a_repeat_is_explained_by_the_fault_that_hit_its_step_only() -> None:
    runs = {RUN: taken_over()}
    at_the_step = hit(runs, [strike("kill", 2.2, 2.2)])
    assert at_the_step == {"n2"}
    assert repeats(runs, at_the_step).unexplained == []
    elsewhere = hit(runs, [strike("kill", 2.2, 2.2, pid=9)])
    assert repeats(runs, elsewhere).unexplained == [(RUN, "two")]


def test_an_execution_by_who_had_lost_the_run_is_told() -> None:
    run = history()
    run.marks[2].attempt = run.executions[1].attempt = 2
    run.executions.append(execution("two", 3.7, "sync k|one:1:n1", attempt=1, pid=9))
    assert len(repeats({RUN: run}, set()).late) == 1


def test_the_same_seed_gives_the_same_faults_whatever_the_other_kinds() -> None:
    everything = schedule(5, 600, KINDS, 2)
    assert schedule(5, 600, KINDS, 2) == everything
    kills = schedule(5, 600, ("kill",), 2)
    assert kills == tuple(fault for fault in everything if fault.kind == "kill")
    assert len(kills) >= 200
    assert {fault.slot for fault in kills} == set(range(SLOTS))
    assert schedule(6, 600, ("kill",), 2) != kills
