"""What a workflow kind decides: which steps start, and when the workflow is over."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from kneo_grpc.domain.plan import StepPlan, WorkflowPlan
from kneo_grpc.engine import sequential
from kneo_grpc.engine.move import Move
from kneo_grpc.engine.state import Frame


class Kind(Protocol):
    """One module per workflow kind has these two functions."""

    def begin(self, workflow: WorkflowPlan, frame: Frame) -> Move:
        """The workflow was opened with frame.text."""

    def proceed(self, workflow: WorkflowPlan, frame: Frame, step: StepPlan, output: str) -> Move:
        """A step of the workflow ended with output."""


@dataclass(frozen=True, slots=True)
class _ModuleKind:
    module: ModuleType

    def begin(self, workflow: WorkflowPlan, frame: Frame) -> Move:
        move = self.module.begin(workflow, frame)
        assert isinstance(move, Move)
        return move

    def proceed(self, workflow: WorkflowPlan, frame: Frame, step: StepPlan, output: str) -> Move:
        move = self.module.proceed(workflow, frame, step, output)
        assert isinstance(move, Move)
        return move


KINDS: Mapping[str, Kind] = {"sequential": _ModuleKind(sequential)}
"""The kinds that this release executes; the compiler refuses the others."""
