"""The engine's state: plain data, so that it survives any crash.

`to_data(state)` is what checkpoints hold; `read_state` builds it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kneo_grpc.domain.data import from_data, to_data
from kneo_grpc.domain.run import RunError, RunStatus

STATE_FORMAT = 1
"""A release reads states of its own format and of the one before."""


@dataclass(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class Frame:
    """A workflow that is open. text: what the next step is given; position: index of that step.

    workflow: key into Plan.workflows, "" for the root. iterations: how often each step was started.
    branch_outputs: outputs of participants that ended, for kinds that collect them.
    """

    workflow: str
    text: str
    position: int = 0
    visited: tuple[str, ...] = ()
    iterations: Mapping[str, int] = field(default_factory=dict)
    branch_outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class ActiveStep:
    """A step that was started and has not ended.

    phase: running (somebody executes it), human (waits for a person), retry (waits for its next
    attempt) or nested
    (waits for the workflow that it opened). attempt: 1-based, within this iteration.
    retries_from: the attempt from which the step's retries are counted; a continue starts anew.
    executes: id of the step whose code runs; the fallback's id where a fallback took the place.
    """

    frame: str
    step_id: str
    executes: str
    text: str
    phase: str
    attempt: int = 1
    retries_from: int = 1
    iteration: int = 1


@dataclass(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class State:
    """Where a run stands.

    frames, active: by step path, "" for the root frame; a nested workflow's frame has the path of
    its step. interrupted: what was active when the run failed; a continue goes on from there.
    """

    format: int = STATE_FORMAT
    target: str
    status: RunStatus
    input: str
    frames: Mapping[str, Frame] = field(default_factory=dict)
    active: Mapping[str, ActiveStep] = field(default_factory=dict)
    interrupted: Mapping[str, ActiveStep] = field(default_factory=dict)
    visited_steps: tuple[str, ...] = ()
    visited_nodes: tuple[str, ...] = ()
    failed_step: str | None = None
    failed_input: str | None = None
    output: str | None = None
    error: RunError | None = None


_TABLES = frozenset({"frames", "active", "interrupted"})


def initial(target: str, text: str) -> State:
    """Return the state of a run before its first event. target: workflow or agent."""
    return State(target=target, status=RunStatus.QUEUED, input=text)


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
                path: old[path] if item is before.get(path) else to_data(item)
                for path, item in value.items()
            }
        else:
            data[name] = to_data(value)
    return data


def read_state(data: Mapping[str, Any]) -> State:
    """Read what write_state gave. Raises ValueError on a format that this release does not know."""
    if data.get("format") != STATE_FORMAT:
        found = data.get("format")
        raise ValueError(f"state format {found} is unknown; this release reads {STATE_FORMAT}")
    return from_data(State, data)
