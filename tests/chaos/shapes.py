"""The workflows that run under faults, and what each step of them must be given.

A shape says twice what happens: as a spec, for the service, and as a list of sources, for the
judge. Both are written by hand, so that one is held against the other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.chaos.steps import STEADY_ATTEMPT

INPUT = ""
"""The source that is the run's input."""

Sources = tuple[str, ...]
"""The paths of the steps whose texts are merged, in that order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A workflow. given: of each step that is executed once, by its path, what it is given.

    humans: the paths among them at which a person is asked. nested: by the path of a step that is
    a workflow, what it gives. output: what the run gives. first: sources of which only the one
    that came first counts, by the path of the step that is given it; spare: the paths of steps
    that end with their branch when another one was faster.
    """

    workflow: Mapping[str, Any]
    given: Mapping[str, Sources]
    output: Sources
    humans: frozenset[str] = frozenset()
    nested: Mapping[str, Sources] = field(default_factory=dict)
    first: Mapping[str, Sources] = field(default_factory=dict)
    spare: frozenset[str] = frozenset()
    workflows: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of the root workflow."""
        return str(self.workflow["type"])

    def spec(self) -> dict[str, Any]:
        """Return the spec of a run."""
        return {
            "version": "v1",
            "agent": {"name": "root"},
            "workflow": dict(self.workflow),
            "components": {
                "workflows": dict(self.workflows),
                "functions": {
                    name: {"implementation": f"tests.chaos.steps.{name}"} for name in FUNCTIONS
                },
                "humans": {"ask": {"description": "Well?", "request_type": "review"}},
            },
        }


FUNCTIONS = ("one", "two", "three", "four", "shaky")


def step_of(path: str) -> str:
    """Return the name of the step at a path."""
    return path.rpartition("/")[2].partition("#")[0]


def merge(texts: Iterable[str]) -> str:
    """Return the texts of branches as one."""
    return "\n\n".join(texts)


def _step(name: str, **fields: Any) -> dict[str, Any]:
    kinds = {"ask": "human", "inner": "workflow", "core": "workflow"}
    step = {"id": name, "kind": kinds.get(name, "function"), "ref": name, **fields}
    return {**step, "max_retries": STEADY_ATTEMPT} if name == "shaky" else step


def _steps(names: str) -> list[dict[str, Any]]:
    return [_step(name) for name in names.split()]


def _graph(edges: str, **fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a graph. edges: such as one>two, apart by blanks; fields: of nodes, by name."""
    ways = [way.split(">") for way in edges.split()]
    names = dict.fromkeys(name for way in ways for name in way)
    return {
        "type": "graph",
        "start": ways[0][0],
        "nodes": {name: _step(name, **fields.get(name, {})) for name in names},
        "edges": [{"from": source, "to": target} for source, target in ways],
    }


def _chain(names: str) -> Shape:
    paths = [f"{name}#1" for name in names.split()]
    before = (INPUT, *paths)
    return Shape(
        workflow={"type": "sequential", "name": "-".join(names.split()), "steps": _steps(names)},
        given={path: (source,) for path, source in zip(paths, before, strict=False)},
        output=(paths[-1],),
        humans=frozenset({"ask#1"} & set(paths)),
    )


def _fork() -> Shape:
    """A graph that parts in three, one of them a retried step, and meets."""
    return Shape(
        workflow={
            "name": "fork",
            **_graph(
                "one>two one>three one>shaky two>four three>four shaky>four",
                one={"fan_out": True},
                four={"join": "all"},
            ),
        },
        given={
            "one#1": (INPUT,),
            "two#1": ("one#1",),
            "three#1": ("one#1",),
            "shaky#1": ("one#1",),
            "four#1": ("two#1", "three#1", "shaky#1"),
        },
        output=("four#1",),
    )


def _race() -> Shape:
    """A graph that parts in two and goes on with the branch that comes first."""
    return Shape(
        workflow={
            "name": "race",
            **_graph(
                "one>two one>three two>four three>four", one={"fan_out": True}, four={"join": "any"}
            ),
        },
        given={"one#1": (INPUT,), "two#1": ("one#1",), "three#1": ("one#1",), "four#1": ()},
        first={"four#1": ("two#1", "three#1")},
        spare=frozenset({"two#1", "three#1"}),
        output=("four#1",),
    )


def _race_asked() -> Shape:
    """A graph that goes on with a person's answer, or with its other branch when that is faster."""
    return Shape(
        workflow={
            "name": "race-asked",
            **_graph(
                "one>ask one>two two>three ask>four three>four",
                one={"fan_out": True},
                four={"join": "any"},
            ),
        },
        given={
            "one#1": (INPUT,),
            "ask#1": ("one#1",),
            "two#1": ("one#1",),
            "three#1": ("two#1",),
            "four#1": (),
        },
        first={"four#1": ("three#1", "ask#1")},
        spare=frozenset({"ask#1", "two#1", "three#1"}),
        humans=frozenset({"ask#1"}),
        output=("four#1",),
    )


def _together() -> Shape:
    names = "one two three shaky"
    paths = tuple(f"{name}#1" for name in names.split())
    return Shape(
        workflow={"type": "concurrent", "name": "together", "participants": _steps(names)},
        given=dict.fromkeys(paths, (INPUT,)),
        output=paths,
    )


def _turns(kind: str, paths: Sources, **fields: Any) -> Shape:
    """Participants that take turns: each is given what the one before said."""
    return Shape(
        workflow={"type": kind, "name": kind, "participants": _steps("one two three"), **fields},
        given={path: (source,) for path, source in zip(paths, (INPUT, *paths), strict=False)},
        output=(paths[-1],),
    )


def _nested() -> Shape:
    """A sequence, in it a graph that parts, and in one of its branches participants at once."""
    core = {"type": "concurrent", "participants": _steps("two three")}
    inner = _graph(
        "two>three two>core three>four core>four", two={"fan_out": True}, four={"join": "all"}
    )
    return Shape(
        workflow={"type": "sequential", "name": "nested", "steps": _steps("one inner three")},
        workflows={"inner": inner, "core": core},
        given={
            "one#1": (INPUT,),
            "inner#1/two#1": ("one#1",),
            "inner#1/three#1": ("inner#1/two#1",),
            "inner#1/core#1/two#1": ("inner#1/two#1",),
            "inner#1/core#1/three#1": ("inner#1/two#1",),
            "inner#1/four#1": ("inner#1/three#1", "inner#1/core#1"),
            "three#1": ("inner#1",),
        },
        nested={
            "inner#1/core#1": ("inner#1/core#1/two#1", "inner#1/core#1/three#1"),
            "inner#1": ("inner#1/four#1",),
        },
        output=("three#1",),
    )


def _beside() -> Shape:
    """A graph that asks a person while its other branch works."""
    return Shape(
        workflow={
            "name": "beside",
            **_graph(
                "one>ask one>two two>three ask>four three>four",
                one={"fan_out": True},
                four={"join": "all"},
            ),
        },
        given={
            "one#1": (INPUT,),
            "ask#1": ("one#1",),
            "two#1": ("one#1",),
            "three#1": ("two#1",),
            "four#1": ("ask#1", "three#1"),
        },
        humans=frozenset({"ask#1"}),
        output=("four#1",),
    )


def _deep() -> Shape:
    """Participants at once: a person, a sequence that asks one too, and one that only works."""
    inner = {"type": "sequential", "steps": _steps("two ask three")}
    return Shape(
        workflow={
            "type": "concurrent",
            "name": "deep",
            "participants": _steps("ask inner one core"),
        },
        workflows={
            "inner": inner,
            "core": {"type": "handoff", "participants": _steps("two three")},
        },
        given={
            "ask#1": (INPUT,),
            "inner#1/two#1": (INPUT,),
            "inner#1/ask#1": ("inner#1/two#1",),
            "inner#1/three#1": ("inner#1/ask#1",),
            "one#1": (INPUT,),
            "core#1/two#1": (INPUT,),
            "core#1/three#1": ("core#1/two#1",),
        },
        nested={"inner#1": ("inner#1/three#1",), "core#1": ("core#1/three#1",)},
        humans=frozenset({"ask#1", "inner#1/ask#1"}),
        output=("ask#1", "inner#1", "one#1", "core#1"),
    )


def _talk_asked() -> Shape:
    """A group chat in which a person takes turns."""
    paths = ("one#1", "ask#1", "one#2", "ask#2")
    return Shape(
        workflow={
            "type": "group-chat",
            "name": "talk-asked",
            "participants": _steps("one ask"),
            "rounds": 2,
        },
        given={path: (source,) for path, source in zip(paths, (INPUT, *paths), strict=False)},
        humans=frozenset({"ask#1", "ask#2"}),
        output=("ask#2",),
    )


@cache
def shapes() -> Mapping[str, Shape]:
    """Return all shapes by name."""
    round_robin = {"selector": {"type": "round_robin"}, "max_iterations": 4}
    talk = ("one#1", "two#1", "three#1", "one#2", "two#2", "three#2")
    return {
        "sequence": _chain("one two three four"),
        "ask": _chain("one ask two three"),
        "retry": _chain("one shaky two"),
        "fork": _fork(),
        "race": _race(),
        "race-asked": _race_asked(),
        "together": _together(),
        "handoff": _turns("handoff", ("one#1", "two#1", "three#1", "one#2"), **round_robin),
        "talk": _turns("group-chat", talk, rounds=2),
        "nested": _nested(),
        "beside": _beside(),
        "deep": _deep(),
        "talk-asked": _talk_asked(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of run. share: of all runs. queued: the share of them that a create does not wait for.

    answers: the client answers what people are asked; cancels: it cancels the run, some time after
    the create. ends: how such a run may end.
    """

    shape: str
    share: int
    queued: float = 0.5
    answers: bool = False
    cancels: bool = False
    ends: frozenset[str] = frozenset({"completed"})


KINDS: Mapping[str, Kind] = {
    "sync": Kind(shape="sequence", share=12, queued=0),
    "async": Kind(shape="sequence", share=12, queued=1),
    "human": Kind(shape="ask", share=7, answers=True),
    "left": Kind(shape="ask", share=3, ends=frozenset({"blocked"})),
    "retry": Kind(shape="retry", share=5),
    # A cancel may come too late.
    "cancel": Kind(
        shape="sequence",
        share=6,
        queued=1,
        cancels=True,
        ends=frozenset({"cancelled", "completed"}),
    ),
    "graph": Kind(shape="fork", share=10),
    "race": Kind(shape="race", share=6),
    "concurrent": Kind(shape="together", share=10),
    "handoff": Kind(shape="handoff", share=6),
    "group-chat": Kind(shape="talk", share=6),
    "nested": Kind(shape="nested", share=8),
    "graph-ask": Kind(shape="beside", share=10, queued=1, answers=True),
    "race-ask": Kind(shape="race-asked", share=6, queued=1, answers=True),
    "concurrent-ask": Kind(shape="deep", share=10, queued=1, answers=True),
    "group-chat-ask": Kind(shape="talk-asked", share=5, answers=True),
    "graph-cancel": Kind(
        shape="fork",
        share=4,
        queued=1,
        cancels=True,
        ends=frozenset({"cancelled", "completed"}),
    ),
    # Nobody answers, so no cancel comes too late.
    "ask-cancel": Kind(
        shape="deep", share=4, queued=1, cancels=True, ends=frozenset({"cancelled"})
    ),
}


def shape_of(kind: str) -> Shape:
    """Return the shape of the runs of a kind."""
    return shapes()[KINDS[kind].shape]
