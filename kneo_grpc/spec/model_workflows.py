"""The shapes of workflows: five kinds, their steps, edges and conditions."""

# ruff: noqa: RUF012 # pydantic gives each object a copy of a default
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kneo_grpc.spec.shapes import TIMEOUT_MAX, Name, Ref, Shape

Merge = Literal["all", "last"]


class Step(Shape):
    """One step of a sequence, or one participant. In a sequence or among participants a text alone
    is an agent step of that id and ref.
    """

    id: Name
    """Name in the workflow."""
    kind: Literal["agent", "function", "workflow", "human", "guardrail"]
    """What does the work; `guardrail` is an agent that answers PASS or stops the workflow."""
    ref: Ref
    """Which one, by its name under `components`; an agent step may name the root agent."""
    enabled: bool = True
    """Whether it takes part."""
    on_error: Literal["fail", "continue", "retry", "fallback"] = "fail"
    """What follows when it fails: the run fails; the step's input is taken for its output; it is
    tried again; another step takes its place.
    """
    fallback_ref: Ref | None = None
    """`on_error: fallback`: id of the step that takes its place."""
    max_retries: Annotated[int, Field(ge=0, le=1000)] = 0
    """How often it is tried again."""
    timeout_seconds: Annotated[float, Field(gt=0, le=TIMEOUT_MAX)] | None = None
    """How long one try may take."""
    on_reject: Literal["continue", "fail", "goto"] | None = None
    """What follows when a person rejects: the workflow goes on with it as text; fails; or goes to
    another step. As the person's `on_reject` where it is left out.
    """
    goto_ref: Ref | None = None
    """`on_reject: goto`: id of the step to go to, before or after this one."""


class Node(Step):
    """One node of a graph."""

    fan_out: bool = False
    """Follow every edge whose condition holds, side by side; otherwise the first one."""
    join: Literal["all", "any"] | None = None
    """Where branches meet: `all` waits for every branch that can still arrive and merges their
    texts; `any` goes on with the first to arrive and ends the others. Left out, each branch passes
    through alone.
    """


class Condition(Shape):
    """A test on what a step gave."""

    type: Literal[
        "always",
        "never",
        "output_contains",
        "output_equals",
        "metadata_equals",
        "variable_equals",
        "status_is",
        "all_of",
        "any_of",
        "not",
    ]
    """Which test."""
    key: str | None = None
    """`metadata_equals` and `variable_equals`: which entry."""
    value: Any = None
    """What to compare with; needed by all but `always`, `never`, `all_of`, `any_of` and `not`."""
    case_sensitive: bool = False
    """Whether `output_contains` and `output_equals` tell `A` from `a`."""
    conditions: "list[Condition]" = []
    """`all_of` and `any_of`: the tests."""
    condition: "Condition | None" = None
    """`not`: the test to turn round."""


class Edge(Shape):
    """A way from one node to another."""

    source: Ref = Field(alias="from")
    """The node it leaves."""
    to: Ref
    """The node it leads to."""
    condition: Condition | None = None
    """When it may be taken; always where it is left out."""
    label: str | None = None
    """A word for pictures."""


class Selector(Shape):
    """Who comes next."""

    type: Literal["sequence", "round_robin", "agent"] = "sequence"
    """`sequence` goes through the list once a round, `round_robin` again and again; `agent` asks
    one.
    """
    sequence: list[Ref] = []
    """Ids of participants in the order they come; all as declared where it is empty."""
    ref: Ref | None = None
    """`agent`: the agent of the components that names the next participant, or DONE."""


def _steps(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [
        {"id": item, "kind": "agent", "ref": item} if isinstance(item, str) else item
        for item in value
    ]


_StepsWritten = Annotated[list[Step | Name], Field(min_length=1)]
Steps = Annotated[
    list[Step],
    Field(min_length=1),
    BeforeValidator(_steps, json_schema_input_type=_StepsWritten),
]


class _Workflow(Shape):
    name: Name | None = None
    """Name in traces."""
    description: str | None = None
    """What it is for."""


class SequentialWorkflow(_Workflow):
    """Steps one after the other, each given the text of the one before."""

    type: Literal["sequential"]
    """The kind."""
    steps: Steps
    """The steps, in order."""


class GraphWorkflow(_Workflow):
    """Nodes joined by edges. It ends where no edge leads on."""

    type: Literal["graph"]
    """The kind."""
    start: Ref
    """The first node."""
    nodes: Annotated[dict[Name, Node], Field(min_length=1)]
    """The nodes by name; the name counts, not the `id` in it."""
    edges: list[Edge]
    """The ways between them. Of those that leave a node the first that may be taken is taken."""
    max_steps: Annotated[int, Field(json_schema_extra={"minimum": 1})] = 50
    """Most nodes that a run executes; a loop ends there, and the run fails."""
    merge: Merge = "all"
    """What becomes of the texts of branches that meet, or end: all in the order of the edges, or
    the last to come.
    """


class ConcurrentWorkflow(_Workflow):
    """Participants side by side, all given the same text."""

    type: Literal["concurrent"]
    """The kind."""
    participants: Steps
    """Who takes part."""
    merge: Merge = "all"
    """The output: all texts in the order of participants, or that of the last participant."""
    max_iterations: Annotated[int, Field(ge=1)] | None = None
    """Kept for specs that have it; has no effect."""


class HandoffWorkflow(_Workflow):
    """Participants that hand over to each other, one at a time."""

    type: Literal["handoff"]
    """The kind."""
    participants: Steps
    """Who takes part."""
    selector: Selector = Selector()
    """Who comes next."""
    max_iterations: Annotated[int, Field(ge=1)] | None = None
    """Most turns; the number of participants where it is left out."""


class GroupChatWorkflow(_Workflow):
    """Participants that talk in rounds and hear each other. `group_chat` is understood too."""

    type: Literal["group-chat"]
    """The kind."""
    participants: Steps
    """Who takes part."""
    rounds: Annotated[int, Field(json_schema_extra={"minimum": 1})] = 1
    """How often everybody speaks."""
    selector: Selector = Selector()
    """Who speaks next."""
    stop_when: Condition | None = None
    """Ends the talk when it holds after a turn."""
    max_iterations: Annotated[int, Field(ge=1)] | None = None
    """Most turns, all rounds together."""


AnyWorkflow = (
    SequentialWorkflow | GraphWorkflow | ConcurrentWorkflow | HandoffWorkflow | GroupChatWorkflow
)


def _workflow(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") == "group_chat":
        return {**value, "type": "group-chat"}
    return value


Workflow = Annotated[AnyWorkflow, Field(discriminator="type"), BeforeValidator(_workflow)]
