"""What the engine is told (events), what it asks for (commands), and what it decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kneo_grpc.domain.human import Decision as HumanChoice
from kneo_grpc.domain.plan import StepPlan
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.engine.state import Said, State


class EventRefused(ValueError):
    """The event does not fit the state: the run ended, or the step it names is not waiting for
    it.
    """


class Note(NamedTuple):
    """One trace event. fields: the contract's further fields, such as agent_name or metadata.
    path: of the step that it is about, "" for the run; it gives the event its span.
    """

    type: str
    fields: Mapping[str, Any] = {}
    path: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """The run exists; begin."""


class StepCompleted(NamedTuple):
    """A step's code returned. notes: what happened inside, in order."""

    path: str
    output: str
    metadata: Mapping[str, Any] = {}
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed:
    """A step's code raised. retriable: False for faults that another attempt cannot mend."""

    path: str
    error_type: str
    message: str
    retriable: bool = True
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDue:
    """The pause before a step's next attempt is over."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanAnswered:
    """A person decided."""

    path: str
    continuation_id: str
    decision: HumanChoice
    content: str | None = None
    selected_option: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The run is ended from outside: cancelled, timed_out, expired or failed (to be continued)."""

    status: RunStatus
    error_type: str
    message: str


@dataclass(frozen=True, slots=True)
class Continued:
    """A failed run shall go on with the step that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """A new run shall go on where another one stood; the state given is that one's. source_id,
    sequence: the other run and its checkpoint. text: what the open steps are given instead, None
    for what they were given.
    """

    source_id: str
    sequence: int
    text: str | None = None


Event = Continued | Forked | Started | StepCompleted | StepFailed | RetryDue | HumanAnswered | Ended


class RunStep(NamedTuple):
    """Execute a step's code and report StepCompleted or StepFailed. said: the conversation that
    an agent hears, without `text` where that is its last turn.
    """

    path: str
    step: StepPlan
    text: str
    attempt: int
    iteration: int
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AskHuman:
    """Open a human task and report HumanAnswered."""

    path: str
    step: StepPlan
    text: str
    workflow_name: str
    workflow_kind: str
    visited: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRetry:
    """Report RetryDue after a pause. attempt: the one that comes next; its number decides the
    pause.
    """

    path: str
    attempt: int


Command = RunStep | AskHuman | WaitRetry


MIDWAY = "midway"
"""True in the metadata of a checkpoint that others of the same decision follow: a run cannot go on
from its state."""


class Mark(NamedTuple):
    """A checkpoint to write. state: as it was at that moment; path: step path, where a step is
    concerned.
    """

    type: str
    state: State
    workflow_name: str | None = None
    step_id: str | None = None
    node_id: str | None = None
    iteration: int = 1
    path: str | None = None
    metadata: Mapping[str, Any] = {}


class Decision(NamedTuple):
    """What follows from an event. marks and notes belong into the same commit; then commands may
    be performed.
    """

    state: State
    commands: tuple[Command, ...] = ()
    marks: tuple[Mark, ...] = ()
    notes: tuple[Note, ...] = ()
