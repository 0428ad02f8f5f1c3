"""Reports what a reviewer asks of a spec: what agents may touch, what checks them, who is asked.

A report is JSON-ready; `agent` and `workflow` in it are paths, such as `components.agents.<name>`.
"""

from collections.abc import Sequence
from typing import Any

from kneo_grpc.domain.diagnostic import Diagnostic
from kneo_grpc.spec.check_agents import PRIVILEGED
from kneo_grpc.spec.document import format_path
from kneo_grpc.spec.findings import diagnostic_data
from kneo_grpc.spec.model import Agent, Spec
from kneo_grpc.spec.names import agents, steps, workflows
from kneo_grpc.spec.permissions import permissions, unrestricted

STAGES = ("input", "output", "tool", "workflow")


def policy_report(spec: Spec | None, diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """Return the report on a spec with all its findings; None is one without the shape of a spec,
    and only its report has `valid` false.

    Keys: valid, version, summary, memory, tools, guardrails, human_review, diagnostics; without a
    spec only the first and the last.
    """
    found = [diagnostic_data(item) for item in diagnostics]
    if spec is None:
        return {"valid": False, "diagnostics": found}
    review = _human_review(spec, diagnostics)
    return {
        "valid": True,
        "version": spec.version,
        "summary": {
            "agent_count": len(agents(spec)),
            "workflow_count": len(workflows(spec)),
            "tool_count": len(spec.tools),
            "mcp_tool_count": sum(tool.mcp is not None for tool in spec.tools.values()),
            "human_reviewer_count": len(review["reviewers"]),
            "human_review_step_count": len(review["workflow_steps"]),
            "diagnostic_count": len(found),
        },
        "memory": {"agents": [_memory(label, agent) for label, agent in _labelled(spec)]},
        "tools": _tools(spec),
        "guardrails": {"agents": [_guardrails(label, agent) for label, agent in _labelled(spec)]},
        "human_review": review,
        "diagnostics": found,
    }


def _labelled(spec: Spec) -> list[tuple[str, Agent]]:
    return [(format_path(path) or "", agent) for path, agent in agents(spec)]


def _memory(label: str, agent: Agent) -> dict[str, Any]:
    memory = agent.memory
    if memory is None:
        return {"agent": label, "configured": False, "config": {}}
    config = memory.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
    policy = config.pop("policy", None)
    named = {} if policy is None else {"policy": policy}
    return {"agent": label, "configured": True, **named, "config": config}


def _tools(spec: Spec) -> dict[str, Any]:
    return {
        "declared": list(spec.tools),
        "mcp_imports": [
            {"name": name, "config": tool.mcp.model_dump(by_alias=True, exclude_none=True)}
            for name, tool in spec.tools.items()
            if tool.mcp is not None
        ],
        "agent_policies": [
            _tool_policy(label, agent)
            for label, agent in _labelled(spec)
            if agent.tools is not None or permissions(agent) is not None
        ],
    }


def _tool_policy(label: str, agent: Agent) -> dict[str, Any]:
    include = list(agent.tools.include) if agent.tools else []
    exclude = list(agent.tools.exclude) if agent.tools else []
    rights = permissions(agent)
    named = {} if rights is None else {"permissions": rights}
    return {
        "agent": label,
        "include": include,
        "exclude": exclude,
        **named,
        "unrestricted": bool(unrestricted(rights, tools=bool(include))),
    }


def _guardrails(label: str, agent: Agent) -> dict[str, Any]:
    checks = agent.guardrails
    stages = {stage: len(getattr(checks, stage)) for stage in STAGES} if checks else {}
    return {"agent": label, "configured": checks is not None, "stages": stages}


def _human_review(spec: Spec, diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    asked = [
        {
            "workflow": format_path(path) or "",
            "step_id": key if isinstance(key := step_path[-1], str) else step.id,
            "ref": step.ref,
        }
        for path, workflow in workflows(spec)
        for step_path, step in steps(path, workflow)
        if step.kind == "human" and step.enabled
    ]
    requirements: list[dict[str, Any]] = [
        {"code": item.code, "path": item.path, "reason": item.message}
        for item in diagnostics
        if item.code in PRIVILEGED
    ]
    if asked and spec.components.humans and not requirements:
        reason = "the spec names people to ask"
        requirements = [
            {"code": "I_HUMAN_REVIEW_CONFIGURED", "path": "components.humans", "reason": reason}
        ]
    return {
        "reviewers": list(spec.components.humans),
        "workflow_steps": asked,
        "required": bool(requirements),
        "requirements": requirements,
        "missing": bool(requirements) and not asked,
    }
