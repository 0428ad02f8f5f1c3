"""The engine's state: plain data, so that it survives any crash.

`write_state(state)` is what checkpoints hold; `read_state` builds it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kneo_grpc.domain.data import evolve, from_data, object_data, to_data
from kneo_grpc.domain.run import RunError, RunStatus

STATE_FORMAT = 2
"""A release reads states of its own format and of the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The text of a branch that waits at a node where branches meet, or that has ended.

    at: id of the node, "" for the end; branch: see ActiveStep.
    """

    at: str
    branch: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A turn of a conversation. role: user, assistant or system; name: who spoke, a step's id."""

    role: str
    text: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class Frame:
    """A workflow that is open. text: what the workflow was given.

    workflow: key into Plan.workflows, "" for the root. position: index of the step of a sequence,
    number of turns taken where participants take turns.
    iterations: how often each step was started; visited: those that ended, in that order.
    outputs: of the participants of a concurrent workflow that ended. arrivals: of a graph, in the
    order in which they came. handed: what the next participant is given while an agent chooses it.
    said: the conversation. variables: outputs that conditions ask for, by step.
    """

    workflow: str
    text: str
    position: int = 0
    visited: tuple[str, ...] = ()
    iterations: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    arrivals: tuple[Arrival, ...] = ()
    handed: str = ""
    said: tuple[Said, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class ActiveStep:
    """A step that was started and has not ended.

    phase: running (somebody executes it), human (waits for a person), retry (waits for its next
    attempt) or nested (waits for the workflow that it opened). attempt: 1-based, within this
    iteration.
    retries_from: the attempt from which the step's retries are counted; a continue starts anew.
    executes: id of the step whose code runs; the fallback's id where a fallback took the place.
    branch: of a graph, the numbers of the edges by which it parted from others, such as 0.2.
    started_at: when this attempt began, in seconds since 1970; 0 where nobody said.
    """

    frame: str
    step_id: str
    executes: str
    text: str
    phase: str
    attempt: int = 1
    retries_from: int = 1
    iteration: int = 1
    branch: str = ""
    started_at: float = 0.0


@dataclass(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class State:
    """Where a run stands.

    frames, active: by step path, "" for the root frame; a nested workflow's frame has the path of
    its step. interrupted: what was active when the run ended without completing; a continue or a
    fork goes on from there.
    root_kind: of the root workflow, "" before the start and where an agent is executed alone.
    """

    format: int = STATE_FORMAT
    target: str
    status: RunStatus
    input: str
    frames: Mapping[str, Frame] = field(default_factory=dict)
    active: Mapping[str, ActiveStep] = field(default_factory=dict)
    interrupted: Mapping[str, ActiveStep] = field(default_factory=dict)
    failed_step: str | None = None
    failed_input: str | None = None
    output: str | None = None
    error: RunError | None = None
    root_kind: str = ""

    @property
    def visited_steps(self) -> tuple[str, ...]:
        """The steps of the root workflow that ended, in that order; of a graph none."""
        if self.root_kind in ("", "graph") or not self.frames:
            return ()
        return self.frames[""].visited

    @property
    def visited_nodes(self) -> tuple[str, ...]:
        """The nodes of the root graph that ended, in that order."""
        return self.frames[""].visited if self.root_kind == "graph" and self.frames else ()


_TABLES = frozenset({"frames", "active", "interrupted"})


def begun(
    frame: str, step_id: str, text: str, iteration: int, branch: str, now: float
) -> ActiveStep:
    """Return a step that begins now, its code running.

    The class itself takes three times as long, and it is made for each step of each run.
    """
    step: ActiveStep = object.__new__(ActiveStep)
    step.__dict__.update(
        frame=frame,
        step_id=step_id,
        executes=step_id,
        text=text,
        phase="running",
        attempt=1,
        retries_from=1,
        iteration=iteration,
        branch=branch,
        started_at=now,
    )
    return step


def opened(workflow: str, text: str) -> Frame:
    """Return the frame of a workflow that was opened; the class itself takes twice as long."""
    return evolve(_FRESH, workflow=workflow, text=text)


def initial(target: str, text: str) -> State:
    """Return the state of a run before its first event. target: workflow or agent."""
    return State(target=target, status=RunStatus.QUEUED, input=text)


_FRESH = Frame(workflow="", text="")


def write_state(
    state: State, known: State | None = None, known_data: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the state as data.

    known, known_data: an earlier state and its data. What did not change since is the same object
    in both, so that the difference between the two is found without looking into it.
    """
    if known is None or known_data is None:
        data = to_data(state)
        assert isinstance(data, dict)
        return data
    data = dict(known_data)
    earlier = known.__dict__
    for name, value in state.__dict__.items():
        before = earlier[name]
        if value is before:
            continue
        if name in _TABLES:
            old = data[name]
            data[name] = {
                path: old[path]
                if item is (past := before.get(path))
                else _written(item, past, old.get(path))
                for path, item in value.items()
            }
        else:
            data[name] = to_data(value)
    return data


def _written(
    item: Frame | ActiveStep, before: Frame | ActiveStep | None, data: Any
) -> dict[str, Any]:
    """Return a frame or step as data; a field that stayed as it was is the same object."""
    if before is None:
        return object_data(item.__dict__)
    earlier = before.__dict__
    return {
        name: data[name] if value is earlier[name] else to_data(value)
        for name, value in item.__dict__.items()
    }


def read_state(data: Mapping[str, Any]) -> State:
    """Read what write_state gave. Raises ValueError on a format that this release does not know."""
    found = data.get("format")
    if found == STATE_FORMAT - 1:
        data = _upgraded(data)
    elif found != STATE_FORMAT:
        known = f"{STATE_FORMAT} and {STATE_FORMAT - 1}"
        raise ValueError(f"state format {found} is unknown; this release reads {known}")
    return from_data(State, data)


def _upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state of format 1, which knew sequences only, as one of format 2."""
    left_out = ("visited_steps", "visited_nodes")
    state = {name: value for name, value in data.items() if name not in left_out}
    state["frames"] = {
        path: {name: value for name, value in frame.items() if name != "branch_outputs"}
        for path, frame in data.get("frames", {}).items()
    }
    known = data.get("visited_steps") or data.get("target") == "workflow"
    return {**state, "format": STATE_FORMAT, "root_kind": "sequential" if known else ""}
