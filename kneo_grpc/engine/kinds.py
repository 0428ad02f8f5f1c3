"""The workflow kinds: which steps start, and when the workflow is over. One module each."""

from collections.abc import Mapping
from typing import Protocol

from kneo_grpc.domain.plan import StepPlan, WorkflowPlan
from kneo_grpc.engine import concurrent, graph, group_chat, handoff, sequential
from kneo_grpc.engine.move import Ended, Move
from kneo_grpc.engine.state import Frame


class Kind(Protocol):
    """What a module of a workflow kind has."""

    def begin(self, workflow: WorkflowPlan, frame: Frame) -> Move:
        """The workflow was opened with frame.text."""

    def proceed(self, workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Move:
        """A step of the workflow ended."""

    def divert(self, workflow: WorkflowPlan, frame: Frame, ended: Ended, target: StepPlan) -> Move:
        """A step of the workflow ended, and another one than the next shall follow."""


KINDS: Mapping[str, Kind] = {
    "sequential": sequential,
    "graph": graph,
    "concurrent": concurrent,
    "handoff": handoff,
    "group-chat": group_chat,
}
