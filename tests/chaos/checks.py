"""What must hold of every run, whatever happened. Each check returns what broke it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kneo_grpc.ports.store import LoadedState
from tests.chaos.clients import Flow, steps_of
from tests.chaos.history import Execution, History

EXPECTED = {
    "sync": {"completed"},
    "async": {"completed"},
    "human": {"completed"},
    "left": {"blocked"},
    "retry": {"completed"},
    "cancel": {"cancelled", "completed"},
}
"""How a run of each kind may end; a cancel may come too late."""

ENDINGS = {
    "run_completed": "completed",
    "run_cancelled": "cancelled",
    "run_failed": "failed",
    "run_timed_out": "timed_out",
}


@dataclass(frozen=True, slots=True)
class Offence:
    """What broke a promise. run_id: empty when it is not about one run."""

    run_id: str
    text: str


Check = Callable[[History], Iterable[str]]


def lost(history: History) -> Iterable[str]:
    """An accepted run is stored and comes to rest."""
    if history.row is None:
        yield "the database has no such run"
    elif history.status in ("queued", "running"):
        yield f"the run is still {history.status}"
    elif history.flow is not None and not history.flow.ended_at:
        yield f"the client was not done with the run, which is {history.status}"


def repeated_after_commit(history: History) -> Iterable[str]:
    """A step whose result was recorded is not executed again."""
    committed = history.committed
    for step, executions in history.by_step().items():
        for mark in (committed[e.nonce] for e in executions if e.nonce in committed):
            for other in executions:
                if other.attempt > mark.attempt:
                    yield (
                        f"step {step} has the result of attempt {mark.attempt}, "
                        f"recorded at {mark.at:.3f}, and ran again: {other.told()}"
                    )


def unmarked_repeats(history: History) -> Iterable[str]:
    """Every repeat of a step has an attempt of its own and the key of the first execution."""
    for step, executions in history.by_step().items():
        attempts = [execution.attempt for execution in executions]
        if len(set(attempts)) < len(attempts):
            yield f"step {step} ran twice as the same attempt: {attempts}"
        if len({execution.key for execution in executions}) > 1:
            yield f"step {step} ran under several keys"


def late_writes(history: History) -> Iterable[str]:
    """The record is one story: nothing of an attempt that had lost the run is in it."""
    if history.row is None:
        return
    yield from _gaps("event", [number for number, _ in history.events], history, "event_sequence")
    numbers = [mark.sequence for mark in history.marks]
    yield from _gaps("checkpoint", numbers, history, "checkpoint_sequence")
    yield from _chain(history)
    yield from _ending(history)


def _gaps(what: str, numbers: list[int], history: History, counter: str) -> Iterable[str]:
    assert history.row is not None
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"{what} numbers have gaps: {numbers}"
    if len(numbers) != history.row[counter]:
        yield f"{len(numbers)} {what}s are stored, and the run counts {history.row[counter]}"


def _chain(history: History) -> Iterable[str]:
    """Each step once, in order, given what the one before gave; attempts never fall."""
    assert history.row is not None
    ran = {execution.nonce: execution for execution in history.executions}
    text, attempt = str(history.row["input_text"]), 0
    expected = iter(steps_of(text.partition(" ")[0]))
    for mark in history.marks:
        if mark.type != "step_completed":
            continue
        if mark.step != next(expected, None):
            yield f"step {mark.step} is recorded out of order or twice"
        if mark.step == "ask":
            if mark.output != text:
                yield f"the approval handed on {mark.output!r} in place of {text!r}"
            continue
        execution = ran.get(mark.nonce)
        if execution is None or execution.attempt != mark.attempt or not execution.ended:
            yield f"nobody gave the output that is recorded for {mark.step}: {mark.output!r}"
        elif execution.text != text or mark.output != _output(execution):
            yield f"step {mark.step} was given {execution.text!r} in place of {text!r}"
        if mark.attempt < attempt:
            yield f"step {mark.step} is of attempt {mark.attempt}, after one of {attempt}"
        text = mark.output or ""
        if mark.step != "shaky":
            # The attempts of a step that is retried count its retries too.
            attempt = mark.attempt
    if history.status == "completed":
        if next(expected, None) is not None:
            yield "the run completed without all of its steps"
        if history.row["output_text"] != text:
            yield f"the run's output is {history.row['output_text']!r} in place of {text!r}"


def _output(execution: Execution) -> str:
    return f"{execution.text}|{execution.step}:{execution.attempt}:{execution.nonce}"


def _ending(history: History) -> Iterable[str]:
    """A run ends once and stays as it ended, and nothing is left open."""
    endings = [mark for mark in history.marks if mark.type in ENDINGS]
    if any(mark is not history.marks[-1] for mark in endings):
        yield f"the run went on after its end: {[mark.type for mark in history.marks]}"
    stored = ENDINGS.get(endings[-1].type) if endings else None
    if history.status in ENDINGS.values() and history.status != stored:
        yield f"the run is {history.status}, and its last checkpoint says {stored}"
    if history.status != "blocked" and "pending" in history.tasks:
        yield f"the run is {history.status} and somebody is still asked"
    if history.status in ENDINGS.values() and any(job["kind"] == "run" for job in history.jobs):
        yield f"the run is {history.status} and still in the queue"
    told = history.flow.told if history.flow else set()
    assert history.row is not None
    for status, output in told:
        if (status, output) != (history.status, history.row["output_text"] or ""):
            yield f"a client was told {status} {output!r}, stored is {history.status}"


def dead_letters(history: History) -> Iterable[str]:
    """No run is given up."""
    if any(job["kind"] == "dead" for job in history.jobs):
        yield "the run was dead-lettered"


def unexpected_ends(history: History) -> Iterable[str]:
    """A run ends as its kind should; one that nobody took in has no client."""
    if history.row is None or history.status in ("queued", "running"):
        return
    kind = str(history.row["input_text"]).partition(" ")[0]
    if history.flow is not None and history.status not in EXPECTED[kind]:
        yield f"the run of kind {kind} is {history.status}: {history.row['error_text']}"


CHECKS: dict[str, Check] = {
    "lost": lost,
    "repeated_after_commit": repeated_after_commit,
    "unmarked_repeats": unmarked_repeats,
    "late_writes": late_writes,
    "dead_letters": dead_letters,
    "unexpected_ends": unexpected_ends,
}


def offences(histories: Mapping[str, History], flows: list[Flow]) -> dict[str, list[Offence]]:
    """Return what every check found, by its name."""
    found = {
        name: [Offence(run.run_id, text) for run in histories.values() for text in check(run)]
        for name, check in CHECKS.items()
    }
    found["lost"] += [
        Offence("", f"a create of kind {flow.kind} with key {flow.key} was never answered")
        for flow in flows
        if not flow.run_id
    ]
    found["duplicates"] = _duplicates(histories)
    found["wrong_answers"] = [Offence(flow.run_id, text) for flow in flows for text in flow.wrong]
    return found


def _duplicates(histories: Mapping[str, History]) -> list[Offence]:
    """Every key made one run. A run's input holds its key."""
    by_input: dict[str, list[str]] = defaultdict(list)
    for history in histories.values():
        if history.row is not None:
            by_input[history.row["input_text"]].append(history.run_id)
    return [
        Offence(ids[0], f"one key made {len(ids)} runs: {ids}")
        for ids in by_input.values()
        if len(ids) > 1
    ]


def unlike_state(history: History, loaded: LoadedState) -> Iterable[str]:
    """The patches of a run's checkpoints add up to where the run stands."""
    assert history.row is not None
    state = loaded.state
    steps = [mark.step for mark in history.marks if mark.type == "step_completed"]
    if loaded.checkpoint_sequence and (
        state["status"] != history.status
        or state["output"] != history.row["output_text"]
        or list(state["visited_steps"]) != steps
    ):
        yield f"the checkpoints add up to another state: {dict(state)}"
