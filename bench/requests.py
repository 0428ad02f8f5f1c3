"""The create requests of the scenarios, as fields of CreateRunRequest."""

from collections.abc import Iterable
from typing import Any

THREE_STEPS: dict[str, Any] = {"input": "hello", "spec_path": "examples/three_steps.yaml"}
HUMAN: dict[str, Any] = {"input": "hello", "spec_path": "examples/smoke_human_workflow.yaml"}


def queued(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the request that leaves the run to a worker."""
    return {**fields, "async_mode": True}


def function_workflow(*names: str) -> dict[str, Any]:
    """Return the request for a sequence of functions of bench.functions, its spec inline."""
    steps = [{"id": name, "kind": "function", "ref": name} for name in names]
    return workflow({"type": "sequential", "steps": steps}, functions=names)


def workflow(
    root: dict[str, Any], *, functions: Iterable[str], text: str = "hello"
) -> dict[str, Any]:
    """Return the request for a workflow, its spec inline. functions: names in bench.functions."""
    return {
        "input": text,
        "spec": {
            "version": "v1",
            "agent": {"name": "bench-agent"},
            "workflow": {"name": "bench", **root},
            "components": {
                "functions": {
                    name: {"implementation": f"bench.functions.{name}"} for name in functions
                }
            },
        },
    }
