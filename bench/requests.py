"""The create requests of the scenarios, as fields of CreateRunRequest."""

from typing import Any

THREE_STEPS: dict[str, Any] = {"input": "hello", "spec_path": "examples/three_steps.yaml"}
HUMAN: dict[str, Any] = {"input": "hello", "spec_path": "examples/smoke_human_workflow.yaml"}


def queued(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the request that leaves the run to a worker."""
    return {**fields, "async_mode": True}


def function_workflow(*names: str) -> dict[str, Any]:
    """Return the request for a workflow of functions of bench.functions, its spec inline."""
    return {
        "input": "hello",
        "spec": {
            "version": "v1",
            "agent": {"name": "bench-agent"},
            "workflow": {
                "type": "sequential",
                "name": "bench",
                "steps": [{"id": name, "kind": "function", "ref": name} for name in names],
            },
            "components": {
                "functions": {name: {"implementation": f"bench.functions.{name}"} for name in names}
            },
        },
    }
