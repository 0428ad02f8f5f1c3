"""Reports what a reviewer asks of a plan, in the shape of the report on a spec.

A plan is what a run executes, whatever became of the spec's files; it holds no finding about the
spec's text, so the findings here are those about what agents may touch.
"""

from typing import Any

from kneo_grpc.domain.diagnostic import Diagnostic, Severity
from kneo_grpc.domain.plan import ROOT, AgentPlan, MemoryPlan, Plan, StepPlan, ToolPlan
from kneo_grpc.spec.check_agents import PRIVILEGED
from kneo_grpc.spec.document import format_path
from kneo_grpc.spec.findings import diagnostic_data
from kneo_grpc.spec.permissions import planned_permissions, touches, unrestricted
from kneo_grpc.spec.policy_report import STAGES


def plan_report(plan: Plan) -> dict[str, Any]:
    """Return the report; its keys are those of policy_report. An agent's tools are those that it
    may call: what is denied or excluded is not among them.
    """
    agents = [(_label("agent", "agents", key), agent) for key, agent in plan.agents.items()]
    asked = [
        {"workflow": _label("workflow", "workflows", key), "step_id": step.id, "ref": step.ref}
        for key, step in _steps(plan)
        if step.kind == "human" and step.enabled
    ]
    found = [item for label, agent in agents for item in _findings(label, agent)]
    required = [
        {"code": item.code, "path": item.path, "reason": item.message}
        for item in found
        if item.code in PRIVILEGED
    ]
    if required and not asked:
        text = "tools with wide permissions run, and nobody is asked"
        found.append(_warning("W_HUMAN_APPROVAL_MISSING", "workflow", text))
    if asked and plan.humans and not required:
        reason = "the spec names people to ask"
        required = [
            {"code": "I_HUMAN_REVIEW_CONFIGURED", "path": "components.humans", "reason": reason}
        ]
    mcp = {name: tool for name, tool in plan.tools.items() if tool.mcp_server is not None}
    return {
        "valid": True,
        "version": "v1",
        "summary": {
            "agent_count": len(plan.agents),
            "workflow_count": len(plan.workflows),
            "tool_count": len(_declared(plan)),
            "mcp_tool_count": len(mcp),
            "human_reviewer_count": len(plan.humans),
            "human_review_step_count": len(asked),
            "diagnostic_count": len(found),
        },
        "memory": {"agents": [_memory(label, agent.memory) for label, agent in agents]},
        "tools": {
            "declared": _declared(plan),
            "mcp_imports": [{"name": name, "config": _import(tool)} for name, tool in mcp.items()],
            "agent_policies": [
                _tool_policy(label, agent)
                for label, agent in agents
                if agent.tools or planned_permissions(agent) is not None
            ],
        },
        "guardrails": {"agents": [_guardrails(label, agent) for label, agent in agents]},
        "human_review": {
            "reviewers": list(plan.humans),
            "workflow_steps": asked,
            "required": bool(required),
            "requirements": required,
            "missing": bool(required) and not asked,
        },
        "diagnostics": [diagnostic_data(item) for item in found],
    }


def _label(root: str, table: str, key: str) -> str:
    return root if key == ROOT else format_path(("components", table, key)) or ""


def _steps(plan: Plan) -> list[tuple[str, StepPlan]]:
    return [(key, step) for key, workflow in plan.workflows.items() for step in workflow.steps]


def _declared(plan: Plan) -> list[str]:
    """Return the tools that the spec declares; the others are the service's own."""
    return [
        name
        for name, tool in plan.tools.items()
        if tool.implementation or tool.mcp_server or tool.agent
    ]


def _import(tool: ToolPlan) -> dict[str, Any]:
    return {"server": tool.mcp_server, "name": tool.mcp_name}


def _memory(label: str, memory: MemoryPlan) -> dict[str, Any]:
    if memory == MemoryPlan():
        return {"agent": label, "configured": False, "config": {}}
    config: dict[str, Any] = {}
    if memory.policy in ("sliding_window", "summary"):
        config["max_messages"] = memory.max_messages
        config["preserve_system_messages"] = memory.preserve_system_messages
    for name in ("summarizer", "retriever"):
        call = getattr(memory, name)
        if call is not None:
            config[name] = {"ref": call.ref}
    return {"agent": label, "configured": True, "policy": memory.policy, "config": config}


def _tool_policy(label: str, agent: AgentPlan) -> dict[str, Any]:
    rights = planned_permissions(agent)
    named = {} if rights is None else {"permissions": dict(rights)}
    return {
        "agent": label,
        "include": list(agent.tools),
        "exclude": [],
        **named,
        "unrestricted": bool(unrestricted(rights, tools=bool(agent.tools))),
    }


def _guardrails(label: str, agent: AgentPlan) -> dict[str, Any]:
    stages = [rail.stage for rail in agent.guardrails]
    counts = {stage: stages.count(stage) for stage in STAGES} if stages else {}
    return {"agent": label, "configured": bool(stages), "stages": counts}


def _findings(label: str, agent: AgentPlan) -> list[Diagnostic]:
    rights = planned_permissions(agent)
    here = f"{label}.tools" if rights is None else f"{label}.tools.permissions"
    found = touches(rights, tools=bool(agent.tools))
    return [_warning(touch.code, here, touch.text) for touch in found]


def _warning(code: str, path: str, message: str) -> Diagnostic:
    return Diagnostic(code=code, severity=Severity.WARNING, message=message, path=path)
