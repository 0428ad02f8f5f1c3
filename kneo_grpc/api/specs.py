"""SpecService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import run_result_pb2, spec_pb2, spec_pb2_grpc
from kneo_grpc.api.call import announce, current_call
from kneo_grpc.api.convert import specs as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.convert.runs import create_from_pb, result_to_pb
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.specs import Specs


class SpecServicer(spec_pb2_grpc.SpecServiceServicer):
    """Checks specs and runs them."""

    def __init__(self, specs: Specs, runs: Runs, limits: Limits) -> None:
        self._specs = specs
        self._runs = runs
        self._limits = limits

    async def ValidateSpec(
        self, request: spec_pb2.ValidateSpecRequest, context: Any
    ) -> spec_pb2.ValidateSpecResponse:
        """See spec.proto."""
        source = convert.source_from_pb(request, self._limits)
        return convert.validation_to_pb(await self._specs.validate(source))

    async def RunSpec(
        self, request: run_result_pb2.CreateRunRequest, context: Any
    ) -> run_result_pb2.RunResult:
        """See spec.proto."""
        call = current_call()
        command = create_from_pb(request, self._limits, scope="specs:run", key=call.idempotency_key)
        result = await self._runs.create(call.principal, command)
        await announce(context, result)
        return result_to_pb(result.run)
