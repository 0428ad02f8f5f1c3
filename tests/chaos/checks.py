"""What must hold of every run, whatever happened. Each check returns what broke it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kneo_grpc.ports.store import LoadedState
from tests.chaos.clients import Flow
from tests.chaos.history import Execution, History, Mark
from tests.chaos.shapes import INPUT, KINDS, Shape, merge, shape_of, step_of

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
    if history.row is not None:
        yield from (text for what, text in _story(history) if what == "late")
        yield from _ending(history)


def outputs(history: History) -> Iterable[str]:
    """Each step is given, and the run gives, what its kind of workflow makes of the texts."""
    if history.row is not None:
        yield from (text for what, text in _story(history) if what == "text")


def gaps(history: History) -> Iterable[str]:
    """Events and checkpoints are numbered from 1 without gaps, as far as the run counts."""
    if history.row is None:
        return
    yield from _gaps("event", [number for number, _ in history.events], history, "event_sequence")
    numbers = [mark.sequence for mark in history.marks]
    yield from _gaps("checkpoint", numbers, history, "checkpoint_sequence")


def _gaps(what: str, numbers: list[int], history: History, counter: str) -> Iterable[str]:
    assert history.row is not None
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"{what} numbers have gaps: {numbers}"
    if len(numbers) != history.row[counter]:
        yield f"{len(numbers)} {what}s are stored, and the run counts {history.row[counter]}"


def _story(history: History) -> Iterable[tuple[str, str]]:
    """Each step once, after those whose texts it is given, and given these; attempts never fall.

    Yield what is wrong: `late` where the record holds what it should not, `text` where a text is
    not what the kind of workflow makes of the others.
    """
    assert history.row is not None
    shape = shape_of(history.kind)
    texts, attempt = {INPUT: str(history.row["input_text"])}, 0
    for mark in history.marks:
        if not mark.ends_step:
            continue
        if mark.path not in shape.given and mark.path not in shape.nested:
            yield "late", f"the workflow has no step {mark.path!r}"
            continue
        if mark.path in texts:
            yield "late", f"step {mark.path} is recorded twice"
        given = _given(shape, mark.path, texts)
        if given is None:
            yield "late", f"step {mark.path} is recorded before what it is given"
            continue
        yield from _recorded(history, shape, mark, given)
        if mark.nonce and mark.attempt < attempt:
            yield (
                "late",
                f"step {mark.path} is of attempt {mark.attempt}, after one of {attempt}",
            )
        texts[mark.path] = mark.output or ""
        if mark.nonce and step_of(mark.path) != "shaky":
            # The attempts of a step that is retried count its retries too.
            attempt = mark.attempt
    if history.status == "completed":
        if missing := {*shape.given, *shape.nested} - shape.spare - texts.keys():
            yield "late", f"the run completed without {sorted(missing)}"
        elif (output := _merged(shape.output, texts)) != history.row["output_text"]:
            told = history.row["output_text"]
            yield "text", f"the run's output is {told!r} in place of {output!r}"


def _given(shape: Shape, path: str, texts: Mapping[str, str]) -> str | None:
    """Return what a step must be given; None when something of it is not there yet."""
    if path not in shape.first:
        return _merged(shape.given[path] if path in shape.given else shape.nested[path], texts)
    came = [source for source in texts if source in shape.first[path]]
    return texts[came[0]] if came else None


def _merged(sources: tuple[str, ...], texts: Mapping[str, str]) -> str | None:
    return merge(texts[path] for path in sources) if texts.keys() >= set(sources) else None


def _recorded(history: History, shape: Shape, mark: Mark, given: str) -> Iterable[tuple[str, str]]:
    """What is recorded for a step is what it gave, or a person decided."""
    if mark.path in shape.nested:
        if mark.output != given:
            yield "text", f"workflow {mark.path} gave {mark.output!r} in place of {given!r}"
        return
    if mark.path in shape.humans:
        asked = [task for task in history.tasks if task.path == mark.path]
        wanted = [given if task.decision == "approved" else task.content for task in asked]
        if [mark.output] != wanted:
            yield "text", f"{mark.path} handed on {mark.output!r} in place of {wanted}"
        return
    ran = [execution for execution in history.executions if execution.nonce == mark.nonce]
    if not ran or ran[0].attempt != mark.attempt or not ran[0].ended or ran[0].path != mark.path:
        yield "late", f"nobody gave the output that is recorded for {mark.path}: {mark.output!r}"
    elif ran[0].text != given or mark.output != _output(ran[0]):
        yield "text", f"step {mark.path} was given {ran[0].text!r} in place of {given!r}"


def _output(execution: Execution) -> str:
    return f"{execution.text}|{step_of(execution.path)}:{execution.attempt}:{execution.nonce}"


def _ending(history: History) -> Iterable[str]:
    """A run ends once and stays as it ended, and nothing is left open."""
    endings = [mark for mark in history.marks if mark.type in ENDINGS]
    if any(mark is not history.marks[-1] for mark in endings):
        yield f"the run went on after its end: {[mark.type for mark in history.marks]}"
    stored = ENDINGS.get(endings[-1].type) if endings else None
    if history.status in ENDINGS.values() and history.status != stored:
        yield f"the run is {history.status}, and its last checkpoint says {stored}"
    if history.status != "blocked" and any(task.status == "pending" for task in history.tasks):
        yield f"the run is {history.status} and somebody is still asked"
    if history.status in ENDINGS.values() and any(job["kind"] == "run" for job in history.jobs):
        yield f"the run is {history.status} and still in the queue"
    told = history.flow.told if history.flow else set()
    assert history.row is not None
    for status, output in told:
        if (status, output) != (history.status, history.row["output_text"] or ""):
            yield f"a client was told {status} {output!r}, stored is {history.status}"


def decisions_lost(history: History) -> Iterable[str]:
    """A decision that somebody was told is taken stands as it was sent, and the run goes by it."""
    if history.row is None:
        return
    told = history.flow.answers if history.flow else {}
    spare = shape_of(history.kind).spare
    heard = {mark.task for mark in history.marks if mark.type == "human_resume"}
    tasks = {task.id: task for task in history.tasks}
    for task_id, answers in told.items():
        task = tasks.get(task_id)
        closed = task is not None and task.status == "cancelled" and task.path in spare
        if not answers and not closed:
            yield f"of the decisions on task {task_id} none was taken"
        stands = task and (task.decision, task.content)
        if answers and stands not in answers:
            yield f"a decision {answers} on task {task_id} was taken, stored is {stands}"
    for task in history.tasks:
        # A run that was cancelled, or went on with another branch, has no use for a decision.
        needed = history.status != "cancelled" and task.path not in spare
        if task.status == "decided" and task.id not in heard and needed:
            yield f"the run never heard the decision on task {task.id} of {task.path}"


def decisions_twice(history: History) -> Iterable[str]:
    """A task is decided once, and its decision is applied once."""
    told = history.flow.answers if history.flow else {}
    heard = [mark.task for mark in history.marks if mark.type == "human_resume"]
    for task in history.tasks:
        if heard.count(task.id) > 1:
            yield f"the decision on task {task.id} of {task.path} was applied twice"
        if task.acts > 1:
            yield f"the audit knows {task.acts} decisions on task {task.id}"
        if len(told.get(task.id, ())) > 1:
            yield f"several people were told that they decided task {task.id}"
    for path in {task.path for task in history.tasks}:
        if sum(task.path == path for task in history.tasks) > 1:
            yield f"several tasks were opened for {path}"


def dead_letters(history: History) -> Iterable[str]:
    """No run is given up."""
    if any(job["kind"] == "dead" for job in history.jobs):
        yield "the run was dead-lettered"


def unexpected_ends(history: History) -> Iterable[str]:
    """A run ends as its kind should; one that nobody took in has no client."""
    if history.row is None or history.status in ("queued", "running"):
        return
    if history.flow is not None and history.status not in KINDS[history.kind].ends:
        yield f"the run of kind {history.kind} is {history.status}: {history.row['error_text']}"


CHECKS: dict[str, Check] = {
    "lost": lost,
    "repeated_after_commit": repeated_after_commit,
    "unmarked_repeats": unmarked_repeats,
    "late_writes": late_writes,
    "gaps": gaps,
    "outputs": outputs,
    "decisions_lost": decisions_lost,
    "decisions_twice": decisions_twice,
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
    shape = shape_of(history.kind)
    steps = [
        step_of(mark.path) for mark in history.marks if mark.ends_step and "/" not in mark.path
    ]
    frame = state.get("frames", {}).get("", {})
    if loaded.checkpoint_sequence and (
        state["status"] != history.status
        or state["output"] != history.row["output_text"]
        or list(frame.get("visited", ())) != steps
    ):
        yield f"the checkpoints of a {shape.kind} add up to another state: {dict(state)}"
