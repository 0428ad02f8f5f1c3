"""Compiles a spec to the Plan that a run executes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.diagnostic import Diagnostic, has_errors
from kneo_grpc.domain.plan import ROOT, FunctionPlan, McpServerPlan, Plan, SkillPlan
from kneo_grpc.spec.compile_agents import agent_plan, human_plan, tool_plans
from kneo_grpc.spec.compile_workflows import workflow_plan
from kneo_grpc.spec.document import Document
from kneo_grpc.spec.findings import spec_invalid
from kneo_grpc.spec.model import McpServer, Spec
from kneo_grpc.spec.names import Known
from kneo_grpc.spec.validate import DUMMY_ONLY, examine


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A spec that can run. diagnostics: warnings and infos; spec: normalised, JSON-ready."""

    plan: Plan
    diagnostics: tuple[Diagnostic, ...]
    spec: Mapping[str, Any]


def compile_spec(
    document: Document,
    *,
    known_tools: Collection[str] = frozenset(),
    known_functions: Collection[str] = frozenset(),
    providers: Collection[str] = DUMMY_ONLY,
) -> Compiled:
    """Compile a document; the same document gives the same plan, in every process.

    known_tools: registered names; or a mapping from name to ToolPlan, and then the definitions of
    the tools in use become part of the plan. Raises SpecInvalid (details: diagnostics) when a
    finding is an error.
    """
    known = Known(tools=known_tools, functions=known_functions, providers=providers)
    spec, diagnostics = examine(document, known)
    if spec is None or has_errors(diagnostics):
        raise spec_invalid(diagnostics)
    return Compiled(
        plan=plan_of(spec, known),
        diagnostics=tuple(diagnostics),
        spec=spec.model_dump(by_alias=True, exclude_none=True),
    )


def plan_of(spec: Spec, known: Known) -> Plan:
    """Return the plan of a spec in which validation found no error."""
    parts = spec.components
    flows = {name: workflow_plan(flow, spec) for name, flow in parts.workflows.items()}
    if spec.workflow is not None:
        flows[ROOT] = workflow_plan(spec.workflow, spec)
    agents = {name: agent_plan(agent, spec) for name, agent in parts.agents.items()}
    return Plan(
        agents={ROOT: agent_plan(spec.agent, spec), **agents},
        workflows=flows,
        functions={
            name: FunctionPlan(name=name, implementation=function.implementation)
            for name, function in parts.functions.items()
        },
        humans={name: human_plan(name, human) for name, human in parts.humans.items()},
        tools=tool_plans(spec, known),
        mcp_servers={name: _server(name, server) for name, server in spec.mcp_servers.items()},
        skills={
            name: SkillPlan(name=name, source=skill.source, description=skill.description)
            for name, skill in spec.skills.items()
        },
    )


def _server(name: str, server: McpServer) -> McpServerPlan:
    settings = server.model_dump(exclude={"transport"}, exclude_defaults=True)
    return McpServerPlan(name=name, transport=server.transport, settings=settings)
