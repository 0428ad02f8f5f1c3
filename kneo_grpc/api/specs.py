"""SpecService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import run_result_pb2, spec_pb2, spec_pb2_grpc
from kneo_grpc.api.call import announce, current_call
from kneo_grpc.api.convert import spec_views as convert_views
from kneo_grpc.api.convert import specs as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.convert.runs import create_from_pb, result_to_pb
from kneo_grpc.api.page_tokens import PageTokens
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.skills import Skills
from kneo_grpc.platform.spec_views import SpecViews
from kneo_grpc.platform.specs import Specs


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
        limits: Limits,
    ) -> None:
        self._specs = specs
        self._views = views
        self._skills = skills
        self._runs = runs
        self._tokens = tokens
        self._limits = limits

    async def ValidateSpec(
        self, request: spec_pb2.ValidateSpecRequest, context: Any
    ) -> spec_pb2.ValidateSpecResponse:
        """See spec.proto."""
        source = convert.source_from_pb(request, self._limits)
        return convert.validation_to_pb(await self._specs.validate(source))

    async def CompileSpec(
        self, request: spec_pb2.CompileSpecRequest, context: Any
    ) -> spec_pb2.CompileSpecResponse:
        """See spec.proto."""
        source, strict = convert_views.compile_from_pb(request, self._limits)
        return convert_views.compilation_to_pb(await self._views.compile(source, strict=strict))

    async def ExplainSpec(
        self, request: spec_pb2.ExplainSpecRequest, context: Any
    ) -> spec_pb2.ExplainSpecResponse:
        """See spec.proto."""
        source = convert.source_from_pb(request, self._limits)
        return convert_views.explanation_to_pb(await self._views.explain(source))

    async def GraphSpec(
        self, request: spec_pb2.GraphSpecRequest, context: Any
    ) -> spec_pb2.GraphSpecResponse:
        """See spec.proto."""
        source, drawing = convert_views.graph_from_pb(request, self._limits)
        graph, text = await self._views.graph(source, drawing)
        return convert_views.graph_to_pb(graph, text)

    async def GetPolicyReport(
        self, request: spec_pb2.GetPolicyReportRequest, context: Any
    ) -> spec_pb2.GetPolicyReportResponse:
        """See spec.proto."""
        source = convert.source_from_pb(request, self._limits)
        return convert_views.report_to_pb(await self._views.policy_report(source))

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
