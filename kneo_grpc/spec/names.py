"""What the names in a spec refer to."""

from collections.abc import Collection
from dataclasses import dataclass, field

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.model import (
    Agent,
    AnyWorkflow,
    GraphWorkflow,
    SequentialWorkflow,
    Spec,
    Step,
)

DEFAULT_PROVIDER = "default"
"""What a model given as mere text has as provider; this release binds it to `dummy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What exists outside the spec: registered tools and functions, wired providers."""

    tools: Collection[str] = frozenset()
    functions: Collection[str] = frozenset()
    providers: Collection[str] = field(default=frozenset({"dummy"}))


def agents(spec: Spec) -> list[tuple[Path, Agent]]:
    """Return the root agent and the component agents with their paths."""
    found: list[tuple[Path, Agent]] = [(("agent",), spec.agent)]
    found += [
        (("components", "agents", name), agent) for name, agent in spec.components.agents.items()
    ]
    return found


def workflows(spec: Spec) -> list[tuple[Path, AnyWorkflow]]:
    """Return the root workflow, if there is one, and the component workflows with their paths."""
    found: list[tuple[Path, AnyWorkflow]] = []
    if spec.workflow is not None:
        found.append((("workflow",), spec.workflow))
    found += [
        (("components", "workflows", name), workflow)
        for name, workflow in spec.components.workflows.items()
    ]
    return found


def steps(path: Path, workflow: AnyWorkflow) -> list[tuple[Path, Step]]:
    """Return the steps, nodes or participants of the workflow at path."""
    if isinstance(workflow, SequentialWorkflow):
        return [((*path, "steps", index), step) for index, step in enumerate(workflow.steps)]
    if isinstance(workflow, GraphWorkflow):
        return [((*path, "nodes", key), node) for key, node in workflow.nodes.items()]
    return [
        ((*path, "participants", index), step) for index, step in enumerate(workflow.participants)
    ]
