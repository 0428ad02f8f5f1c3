"""The judge itself: a run without fault passes, and each kind of fault in a record is found."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kneo_grpc.engine.texts import PREVIEW_CHARS
from kneo_grpc.ports.store import LoadedState
from kneo_grpc.spec.compile import compile_spec
from kneo_grpc.spec.load import load_text
from tests.chaos import schedule as faults
from tests.chaos.checks import CHECKS, offences, unlike_state
from tests.chaos.clients import Answer, Flow
from tests.chaos.faults import Strike
from tests.chaos.history import Execution, History, Mark, Task
from tests.chaos.processes import Life
from tests.chaos.recovery import hit, repeats, takeovers
from tests.chaos.schedule import SLOTS, Fault, schedule
from tests.chaos.shapes import INPUT, KINDS, Shape, merge, shape_of, shapes, step_of
from tests.chaos.uptime import Darkness, darkness

RUN = "run_1"


def history(kind: str = "sync") -> History:
    """A completed run: step n begins at n and is recorded, by process 7, half a second later."""
    shape = shape_of(kind)
    texts = {INPUT: f"{kind} k"}
    run = History(RUN, marks=[Mark(1, "run_started", "", 0.5, None, status="running")])
    run.flow = Flow(kind, "k", 0, RUN, 0.5, 50, "completed")
    left = [path for path in (*shape.given, *shape.nested) if path not in _late(shape)]
    while left:
        path = next(path for path in left if texts.keys() >= {*_sources(shape, path)})
        left.remove(path)
        given = merge(texts[source] for source in _sources(shape, path))
        texts[path] = _perform(run, shape, path, given)
    output = merge(texts[path] for path in shape.output)
    run.marks.append(Mark(len(run.marks) + 1, "run_completed", "", 40, output, status="completed"))
    run.events = [(1, "workflow_started"), (2, "workflow_completed")]
    run.row = {
        "status": "completed",
        "attempt": 1,
        "input_text": f"{kind} k",
        "output_text": output,
        "error_text": None,
        "event_sequence": 2,
        "checkpoint_sequence": len(run.marks),
    }
    run.flow.told = {("completed", output)}
    return run


def _late(shape: Shape) -> frozenset[str]:
    """The branch that was not fast enough; here it is that of a person or of step three."""
    return shape.spare & {"ask#1"} or shape.spare & {"three#1"}


def _sources(shape: Shape, path: str) -> tuple[str, ...]:
    if path in shape.first:
        return shape.first[path][:1]
    return shape.given.get(path) or shape.nested[path]


def _perform(run: History, shape: Shape, path: str, given: str) -> str:
    """Add what one step leaves behind; return its text."""
    number = len(run.executions) + len(run.tasks) + 1
    mark = Mark(0, "step_completed", path, number + 0.5, given, attempt=1, status="running")
    if path in shape.humans:
        task = Task(f"cont_{number}", path, "decided", "edited", f"said {number}", number, acts=1)
        assert run.flow is not None
        run.flow.answers[task.id] = [Answer("edited", task.content)]
        run.tasks.append(task)
        resumed = Mark(
            len(run.marks) + 1, "human_resume", "", number, None, status="running", task=task.id
        )
        run.marks.append(resumed)
        mark.output = task.content
    elif path in shape.given:
        run.executions.append(execution(path, number, given))
        mark.nonce = f"n{number}"
        mark.output = f"{given}|{step_of(path)}:1:n{number}"
    mark.sequence = len(run.marks) + 1
    run.marks.append(mark)
    return mark.output or ""


def execution(path: str, began: float, text: str, attempt: int = 1, pid: int = 7) -> Execution:
    nonce = f"n{began:g}"
    key = f"{RUN}/{path}/0"
    return Execution(RUN, path, key, attempt, pid, nonce, text, began, began + 0.4)


def row(run: History, **changes: object) -> None:
    assert run.row is not None
    run.row |= changes


def twice(step: str, attempt: int) -> Callable[[History], None]:
    """A further execution of a step, after its result was recorded."""

    def change(run: History) -> None:
        given = run.by_step()[f"{step}#1"][0].text
        run.executions.append(execution(f"{step}#1", 9, given, attempt, pid=8))

    return change


def drop_mark(run: History) -> None:
    del run.marks[2]


def other_output(run: History) -> None:
    run.marks[2].output = "sync k|one:1:n1|two:1:n9"
    run.marks[2].nonce = "n9"


def go_on(run: History) -> None:
    run.marks.append(Mark(len(run.marks) + 1, "step_completed", "four#1", 9, "x"))
    row(run, checkpoint_sequence=len(run.marks))


def fall_back(run: History) -> None:
    run.marks[2].attempt = run.executions[1].attempt = 2
    run.marks[2].output = "sync k|one:1:n1|two:2:n2"


def told_otherwise(run: History) -> None:
    assert run.flow is not None
    run.flow.told.add(("cancelled", ""))


def under_another_key(run: History) -> None:
    again = execution("four#1", 3.9, run.executions[3].text, attempt=0)
    again.key = "another"
    run.executions.append(again)


def of(path: str, run: History) -> Mark:
    """The checkpoint that records a step."""
    return next(mark for mark in run.marks if mark.ends_step and mark.path == path)


def swapped(run: History) -> None:
    """The step after a join is given the texts of its branches in another order."""
    branches = [of(path, run).output or "" for path in ("three#1", "two#1", "shaky#1")]
    (last,) = run.by_step()["four#1"]
    last.text = merge(branches)
    of("four#1", run).output = f"{last.text}|four:1:{last.nonce}"
    row(run, output_text=of("four#1", run).output)


def second_decision(run: History) -> None:
    assert run.flow is not None
    (answers,) = run.flow.answers.values()
    answers.append(Answer("edited", "another"))


def heard_twice(run: History) -> None:
    (heard,) = (mark for mark in run.marks if mark.type == "human_resume")
    run.marks.insert(run.marks.index(heard), heard)


def never_heard(run: History) -> None:
    run.marks = [mark for mark in run.marks if mark.type != "human_resume"]


def told_to_nobody(run: History) -> None:
    assert run.flow is not None
    run.flow.answers[run.tasks[0].id] = []


def gone_by_another_text(run: History) -> None:
    run.tasks[0].content = "another"


def asked_again(run: History) -> None:
    run.tasks.append(replace(run.tasks[0], id="cont_9", acts=0))


def settled_by_others(run: History) -> None:
    run.tasks[0].acts = 2


def run_without(path: str, run: History) -> None:
    run.marks.remove(of(path, run))


def run_with_twice(path: str, run: History) -> None:
    run.marks.insert(run.marks.index(of(path, run)), replace(of(path, run)))


def number(run: History) -> None:
    """Number the checkpoints anew, so that only their story tells what is wrong."""
    for sequence, mark in enumerate(run.marks, start=1):
        mark.sequence = sequence
    row(run, checkpoint_sequence=len(run.marks))


FAULTS: dict[str, tuple[str, Callable[[History], None]]] = {
    "no row": ("lost", lambda run: setattr(run, "row", None)),
    "never ended": ("lost", lambda run: row(run, status="running")),
    "client not done": ("lost", lambda run: setattr(run.flow, "ended_at", 0.0)),
    "again": ("repeated_after_commit", twice("two", 2)),
    "same attempt": ("unmarked_repeats", twice("two", 1)),
    "other key": ("unmarked_repeats", under_another_key),
    "missing event": ("gaps", lambda run: run.events.pop(0)),  # type: ignore[dict-item] # its value is not used
    "missing mark": ("gaps", drop_mark),
    "other output": ("late_writes", other_output),
    "went on": ("late_writes", go_on),
    "attempt fell": ("late_writes", fall_back),
    "told otherwise": ("late_writes", told_otherwise),
    "other end": ("outputs", lambda run: row(run, output_text="sync k")),
    "task left": ("late_writes", lambda run: run.tasks.append(Task("cont_9", "ask#1", "pending"))),
    "job left": ("late_writes", lambda run: run.jobs.append({"kind": "run"})),
    "dead": ("dead_letters", lambda run: run.jobs.append({"kind": "dead"})),
    "failed": ("unexpected_ends", lambda run: row(run, status="failed")),
}


OF_KINDS: dict[str, tuple[str, str, Callable[[History], None]]] = {
    "branches merged in another order": ("graph", "outputs", swapped),
    "a decision taken twice": ("human", "decisions_twice", second_decision),
    "a decision applied twice": ("graph-ask", "decisions_twice", heard_twice),
    "two acts": ("graph-ask", "decisions_twice", settled_by_others),
    "asked again": ("concurrent-ask", "decisions_twice", asked_again),
    "a decision never applied": ("graph-ask", "decisions_lost", never_heard),
    "a decision of nobody": ("concurrent-ask", "decisions_lost", told_to_nobody),
    "another decision stored": ("concurrent-ask", "decisions_lost", gone_by_another_text),
    "another text handed on": ("concurrent-ask", "outputs", gone_by_another_text),
}
"""Faults of the kinds of runs: which kind, which check finds it, and how it comes about."""


COMPLETING = [name for name, kind in KINDS.items() if "completed" in kind.ends]


@pytest.mark.parametrize("kind", COMPLETING)
def test_a_run_without_fault_passes_every_check(kind: str) -> None:
    run = history(kind)
    assert run.flow is not None
    assert {name: found for name, found in offences({RUN: run}, [run.flow]).items() if found} == {}


@pytest.mark.parametrize("name", FAULTS)
def test_every_check_finds_its_fault(name: str) -> None:
    check, spoil = FAULTS[name]
    run = history()
    spoil(run)
    assert list(CHECKS[check](run)) != []


@pytest.mark.parametrize("name", OF_KINDS)
def test_every_fault_of_a_kind_is_found(name: str) -> None:
    kind, check, spoil = OF_KINDS[name]
    run = history(kind)
    spoil(run)
    assert list(CHECKS[check](run)) != []


@pytest.mark.parametrize("kind", COMPLETING)
def test_a_step_that_is_missing_or_told_twice_is_found(kind: str) -> None:
    shape = shape_of(kind)
    for path in {*shape.given, *shape.nested} - _late(shape):
        for change in (run_without, run_with_twice):
            run = history(kind)
            change(path, run)
            number(run)
            assert list(CHECKS["late_writes"](run)) != [], (path, change)


@pytest.mark.parametrize("kind", COMPLETING)
def test_no_text_of_a_run_is_longer_than_a_checkpoint_tells(kind: str) -> None:
    for mark in history(kind).marks:
        longest = re.sub(r":1:n\d+", ":12:0123456789ab", mark.output or "")
        longest = longest.replace(f"{kind} k", f"{kind} 999999-15-9999")
        assert len(longest) < PREVIEW_CHARS


@pytest.mark.parametrize("name", shapes())
def test_every_shape_is_a_spec_that_compiles(name: str) -> None:
    compile_spec(load_text(json.dumps(shapes()[name].spec()).encode()))


def test_two_runs_of_one_key_are_found() -> None:
    runs = {RUN: history(), "run_2": history()}
    assert len(offences(runs, [])["duplicates"]) == 1


def test_a_create_that_was_never_answered_is_lost() -> None:
    assert len(offences({}, [Flow("sync", "k", 0)])["lost"]) == 1


def test_a_state_unlike_its_run_is_found() -> None:
    run = history()
    assert run.row is not None
    output = run.row["output_text"]
    visited = ["one", "two", "three", "four"]
    frames = {"": {"visited": visited}}
    state = {"status": "completed", "output": output, "frames": frames}
    assert list(unlike_state(run, LoadedState(state=state, checkpoint_sequence=6))) == []
    visited.pop()
    assert len(list(unlike_state(run, LoadedState(state=state, checkpoint_sequence=6)))) == 1
    visited.append("four")
    state["output"] = "other"
    assert len(list(unlike_state(run, LoadedState(state=state, checkpoint_sequence=6)))) == 1


def strike(kind: str, at: float, until: float, pid: int = 7) -> Strike:
    return Strike(Fault(kind=kind, at=0, number=0), at, until, (pid,), "worker-1", (RUN,))


def taken_over() -> History:
    """Step two is begun by process 7, which is killed at 2.2; process 8 begins it again at 4.5."""
    run = history()
    run.executions = [run.executions[0], run.executions[1]]
    run.executions[1].ended = 0
    run.executions.append(execution("two#1", 4.5, "sync k|one:1:n1", attempt=2, pid=8))
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
    assert takeovers({RUN: history()}, [strike("kill", 41, 41)], "kill", Darkness(())) == ([], [])


def test_a_repeat_is_explained_by_the_fault_that_hit_its_step_only() -> None:
    runs = {RUN: taken_over()}
    at_the_step = hit(runs, [strike("kill", 2.2, 2.2)])
    assert at_the_step == {"n2"}
    assert repeats(runs, at_the_step).unexplained == []
    elsewhere = hit(runs, [strike("kill", 2.2, 2.2, pid=9)])
    assert repeats(runs, elsewhere).unexplained == [(RUN, "two#1")]


def test_an_execution_by_who_had_lost_the_run_is_told() -> None:
    run = history()
    run.marks[2].attempt = run.executions[1].attempt = 2
    run.executions.append(execution("two#1", 3.7, "sync k|one:1:n1", attempt=1, pid=9))
    assert len(repeats({RUN: run}, set()).late) == 1


def test_the_same_seed_gives_the_same_faults_whatever_the_other_kinds() -> None:
    everything = schedule(5, 600, faults.KINDS, 2)
    assert schedule(5, 600, faults.KINDS, 2) == everything
    kills = schedule(5, 600, ("kill",), 2)
    assert kills == tuple(fault for fault in everything if fault.kind == "kill")
    assert len(kills) >= 200
    assert {fault.slot for fault in kills} == set(range(SLOTS))
    assert schedule(6, 600, ("kill",), 2) != kills
