"""SpecService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import run_result_pb2, spec_pb2, spec_pb2_grpc
from kneo_grpc.api.call import announce, current_call
from kneo_grpc.api.convert import spec_views as convert_views
from kneo_grpc.api.convert import specs as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.convert.runs import create_from_pb, result_to_pb
from kneo_grpc.api.page_tokens import PageTokens
from kneo_grpc.domain.diagnostic import has_errors
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.skills import Skills
from kneo_grpc.platform.spec_views import SpecViews
from kneo_grpc.platform.specs import Specs, SpecSource


class SpecServicer(spec_pb2_grpc.SpecServiceServicer):
    """Checks specs, shows what is in them and runs them."""

    def __init__(
        self,
        *,
        specs: Specs,
        views: SpecViews,
        skills: Skills,
        runs: Runs,
        tokens: PageTokens,
        audit: Audit,
        limits: Limits,
    ) -> None:
        self._specs = specs
        self._views = views
        self._skills = skills
        self._runs = runs
        self._tokens = tokens
        self._audit = audit
        self._limits = limits

    async def ValidateSpec(
        self, request: spec_pb2.ValidateSpecRequest, context: Any
    ) -> spec_pb2.ValidateSpecResponse:
        """See spec.proto."""
        source = convert.source_from_pb(request, self._limits)
        found = await self._specs.validate(source)
        await self._record("spec.validated", source, valid=not has_errors(found))
        return convert.validation_to_pb(found)

    async def CompileSpec(
        self, request: spec_pb2.CompileSpecRequest, context: Any
    ) -> spec_pb2.CompileSpecResponse:
        """See spec.proto."""
        source, strict = convert_views.compile_from_pb(request, self._limits)
        compilation = await self._views.compile(source, strict=strict)
        await self._record("spec.compiled", source, valid=compilation.ok)
        return convert_views.compilation_to_pb(compilation)

    async def ExplainSpec(
        self, request: spec_pb2.ExplainSpecRequest, context: Any
    ) -> spec_pb2.ExplainSpecResponse:
        """See spec.proto."""
        source = convert.source_from_pb(request, self._limits)
        explanation = await self._views.explain(source)
        await self._record("spec.explained", source)
        return convert_views.explanation_to_pb(explanation)

    async def GraphSpec(
        self, request: spec_pb2.GraphSpecRequest, context: Any
    ) -> spec_pb2.GraphSpecResponse:
        """See spec.proto."""
        source, drawing = convert_views.graph_from_pb(request, self._limits)
        graph, text = await self._views.graph(source, drawing)
        await self._record("spec.graph", source, workflow_kind=graph.root.kind)
        return convert_views.graph_to_pb(graph, text)

    async def GetPolicyReport(
        self, request: spec_pb2.GetPolicyReportRequest, context: Any
    ) -> spec_pb2.GetPolicyReportResponse:
        """See spec.proto."""
        source = convert.source_from_pb(request, self._limits)
        report = await self._views.policy_report(source)
        await self._record("spec.policy_reported", source, valid=report["valid"])
        return convert_views.report_to_pb(report)

    async def ListSkills(
        self, request: spec_pb2.ListSkillsRequest, context: Any
    ) -> spec_pb2.ListSkillsResponse:
        """See spec.proto."""
        page = self._tokens.opened(request, convert_views.skills_from_pb(request, self._limits))
        found = await self._skills.page(page)
        answer = convert_views.skills_to_pb(found, page, self._limits)
        return self._tokens.sealed(request, found, answer)

    async def RunSpec(
        self, request: run_result_pb2.CreateRunRequest, context: Any
    ) -> run_result_pb2.RunResult:
        """See spec.proto."""
        call = current_call()
        command = create_from_pb(request, self._limits, scope="specs:run", key=call.idempotency_key)
        result = await self._runs.create(call.principal, command)
        await announce(context, result)
        return result_to_pb(result.run)

    async def _record(self, event_type: str, source: SpecSource, **facts: Any) -> None:
        actor = current_call().principal.name
        await self._audit.record_spec_act(actor, event_type, source, **facts)
