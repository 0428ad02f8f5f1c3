"""Workflows of the steps in acts.py, which itself can be imported by a site's services only."""

from typing import Any

APPOINTMENT, CURE = "appointment", "cure"
"""Files in a site's folder by which a test tells the steps something."""


def spec_of(*names: str, **step_fields: Any) -> dict[str, Any]:
    """A workflow of these steps. step_fields: of each of them, such as timeout_seconds."""
    steps = [{"id": name, "kind": "function", "ref": name, **step_fields} for name in names]
    functions = {name: {"implementation": f"tests.faults.acts.{name}"} for name in names}
    return {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {"type": "sequential", "name": "acts", "steps": steps},
        "components": {"functions": functions},
    }
