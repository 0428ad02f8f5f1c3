"""What a workflow kind is told and what it answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kneo_grpc.domain.plan import StepPlan
from kneo_grpc.engine.state import ActiveStep, Frame


class Start(NamedTuple):
    """A step to begin. branch: see ActiveStep."""

    step: StepPlan
    text: str
    branch: str = ""


class Ended(NamedTuple):
    """A step that ended with an output. failed: it did not do its work and `on_error: continue`
    lets the workflow go on; others: the steps of the same workflow that are still under way, by
    path.
    """

    step: StepPlan
    output: str
    branch: str = ""
    metadata: Mapping[str, Any] = {}
    failed: bool = False
    others: Mapping[str, ActiveStep] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a workflow cannot go on. redo: the step that ended last is to be executed again where
    the run is continued.
    """

    error_type: str
    message: str
    redo: bool = False


class Move(NamedTuple):
    """frame: as it is now; starts: steps to begin; drops: paths of steps that are not needed any
    more; output: set when the workflow is over; failure: set when it cannot go on.
    """

    frame: Frame
    starts: tuple[Start, ...] = ()
    drops: tuple[str, ...] = ()
    output: str | None = None
    failure: Failure | None = None
