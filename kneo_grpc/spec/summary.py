"""Says in a few words what a plan holds."""

from typing import Any

from kneo_grpc.domain.plan import ROOT, Plan


def explain(plan: Plan) -> dict[str, Any]:
    """Return root_agent and root_workflow (names, the latter None without), component_agents."""
    workflow = plan.workflows.get(ROOT)
    return {
        "root_agent": plan.agents[ROOT].name,
        "root_workflow": workflow.name if workflow is not None else None,
        "component_agents": sorted(name for name in plan.agents if name != ROOT),
    }
