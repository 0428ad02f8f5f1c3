"""What a workflow kind answers with."""

from dataclasses import dataclass

from kneo_grpc.domain.plan import StepPlan
from kneo_grpc.engine.state import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """frame: as it is now; starts: steps to begin, each with its input; output: set when the
    workflow is over.
    """

    frame: Frame
    starts: tuple[tuple[StepPlan, str], ...] = ()
    output: str | None = None
