"""What is shown of specs: compilations, explanations, graphs, reports; and the skills on disk."""

import dataclasses
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from kneo_grpc._gen.kneo.v1 import run_pb2, spec_pb2
from kneo_grpc.api.convert.fields import Fields, Limits, page_facts, to_timestamp
from kneo_grpc.api.convert.runs import error_to_pb
from kneo_grpc.api.convert.specs import diagnostics_to_pb, source_fields
from kneo_grpc.platform.executed_steps import ExecutedStep
from kneo_grpc.platform.run_views import RunGraph
from kneo_grpc.platform.skills import SKILL_SORT_KEYS, SkillOnDisk
from kneo_grpc.platform.spec_views import DRAWINGS, Compilation
from kneo_grpc.platform.specs import SpecSource
from kneo_grpc.ports.store import Page, PageRequest
from kneo_grpc.spec.explain import Explanation
from kneo_grpc.spec.graph import Flow, Graph
from kneo_grpc.spec.model import Spec

M = TypeVar("M", bound=Message)
_INT32_MAX = 2**31 - 1


def compile_from_pb(
    request: spec_pb2.CompileSpecRequest, limits: Limits
) -> tuple[SpecSource, bool]:
    """Return the spec to compile and whether errors in it are refused."""
    fields = Fields(limits)
    source = source_fields(request, fields)
    fields.check()
    return source, request.strict if request.HasField("strict") else True


def compilation_to_pb(compilation: Compilation) -> spec_pb2.CompileSpecResponse:
    """Return whether a spec compiles as a message."""
    return spec_pb2.CompileSpecResponse(
        ok=compilation.ok,
        diagnostics=diagnostics_to_pb(compilation.diagnostics),
        summary=None if compilation.spec is None else _compile_summary(compilation.spec),
    )


def explanation_to_pb(explanation: Explanation) -> spec_pb2.ExplainSpecResponse:
    """Return what is in a spec as a message."""
    return spec_pb2.ExplainSpecResponse(summary=_as_pb(explanation, spec_pb2.SpecSummary()))


def graph_from_pb(
    request: spec_pb2.GraphSpecRequest, limits: Limits
) -> tuple[SpecSource, str | None]:
    """Return the spec to show and how it is to be drawn, if at all."""
    fields = Fields(limits)
    source = source_fields(request, fields)
    drawing = fields.choice("format", request.format, ("json", *DRAWINGS), "json")
    fields.check()
    return source, drawing if drawing in DRAWINGS else None


def graph_to_pb(graph: Graph, text: str | None) -> spec_pb2.GraphSpecResponse:
    """Return a graph, and its drawing if there is one, as a message."""
    return spec_pb2.GraphSpecResponse(
        workflow_name=graph.root.name, subgraphs=_nested(graph), text=text, **_flow(graph.root)
    )


def run_graph_to_pb(shown: RunGraph) -> run_pb2.RunGraph:
    """Return a run's graph as a message."""
    run, graph = shown.run, shown.graph
    return run_pb2.RunGraph(
        run_id=run.id,
        status=run.status.value,
        workflow_name=graph.root.name,
        subgraphs=_nested(graph),
        current=shown.current[0] if shown.current else None,
        current_nodes=shown.current,
        visited=shown.visited,
        steps=[_step_to_pb(step) for step in shown.steps],
        step_count=shown.step_count,
        **_flow(graph.root),
    )


def _step_to_pb(step: ExecutedStep) -> run_pb2.ExecutedStep:
    return run_pb2.ExecutedStep(
        path=step.path,
        parent_path=step.parent_path,
        step_id=step.step_id,
        kind=step.kind,
        ref=step.ref,
        workflow_name=step.workflow_name,
        status=step.status,
        attempt=step.attempt,
        iteration=step.iteration,
        branch=step.branch,
        started_at=to_timestamp(step.started_at),
        ended_at=to_timestamp(step.ended_at),
        error=error_to_pb(step.error),
        output_preview=step.output_preview,
        fallback_step=step.fallback_step,
    )


def report_to_pb(report: dict[str, Any]) -> spec_pb2.GetPolicyReportResponse:
    """Return a policy report as a message."""
    return spec_pb2.GetPolicyReportResponse(
        valid=report["valid"], report=ParseDict(report, spec_pb2.PolicyReport())
    )


def skills_from_pb(request: spec_pb2.ListSkillsRequest, limits: Limits) -> PageRequest:
    """Return the page of a list request."""
    fields = Fields(limits)
    page = fields.page(request, SKILL_SORT_KEYS, "name", descending=False)
    fields.check()
    return page


def skills_to_pb(
    skills: Page[SkillOnDisk], page: PageRequest, limits: Limits
) -> spec_pb2.ListSkillsResponse:
    """Return a page of skills as a message."""
    return spec_pb2.ListSkillsResponse(
        skills=[_as_pb(skill, spec_pb2.SkillInfo()) for skill in skills.items],
        **page_facts(skills, page, limits),
    )


def _compile_summary(spec: Spec) -> spec_pb2.CompileSummary:
    return spec_pb2.CompileSummary(
        has_root_agent=True,
        has_root_workflow=spec.workflow is not None,
        component_agents=sorted(spec.components.agents),
    )


def _nested(graph: Graph) -> list[spec_pb2.NestedGraph]:
    return [
        spec_pb2.NestedGraph(id=flow.id, workflow_name=flow.name or "", **_flow(flow))
        for flow in graph.nested
    ]


def _flow(flow: Flow) -> dict[str, Any]:
    return {
        "workflow_kind": flow.kind,
        "start": flow.start,
        "max_steps": None if flow.max_steps is None else min(flow.max_steps, _INT32_MAX),
        "selector_agent": flow.selector_agent,
        "nodes": [_as_pb(node, spec_pb2.GraphNode()) for node in flow.nodes],
        "edges": [_as_pb(edge, spec_pb2.GraphEdge()) for edge in flow.edges],
    }


def _as_pb(facts: Any, message: M) -> M:
    """Fill a message from a dataclass whose fields have the same names; None leaves one absent."""
    return ParseDict(_given(dataclasses.asdict(facts)), message)


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(item) for key, item in value.items() if item is not None}
    return [_given(item) for item in value] if isinstance(value, (list, tuple)) else value
