"""PolicyService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import policy_pb2, policy_pb2_grpc
from kneo_grpc.api.call import announce_replay, current_call
from kneo_grpc.api.convert import policies as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.platform.policies import Policies


class PolicyServicer(policy_pb2_grpc.PolicyServiceServicer):
    """Keeps the environments' policies."""

    def __init__(self, policies: Policies, limits: Limits) -> None:
        self._policies = policies
        self._limits = limits

    async def ListEnvironmentPolicies(
        self, request: policy_pb2.ListEnvironmentPoliciesRequest, context: Any
    ) -> policy_pb2.ListEnvironmentPoliciesResponse:
        """See policy.proto."""
        return convert.list_to_pb(await self._policies.list())

    async def GetEnvironmentPolicy(
        self, request: policy_pb2.GetEnvironmentPolicyRequest, context: Any
    ) -> policy_pb2.GetEnvironmentPolicyResponse:
        """See policy.proto."""
        environment = convert.environment_from_pb(request, self._limits)
        return convert.get_to_pb(environment, await self._policies.get(environment))

    async def PutEnvironmentPolicy(
        self, request: policy_pb2.PutEnvironmentPolicyRequest, context: Any
    ) -> policy_pb2.PutEnvironmentPolicyResponse:
        """See policy.proto."""
        call = current_call()
        environment, policy = convert.policy_from_pb(request, self._limits)
        put = await self._policies.put(call.principal, environment, policy, call.idempotency_key)
        await announce_replay(context, replayed=put.replayed)
        return convert.put_to_pb(put)

    async def PreviewEnvironmentPolicy(
        self, request: policy_pb2.PreviewEnvironmentPolicyRequest, context: Any
    ) -> policy_pb2.PreviewEnvironmentPolicyResponse:
        """See policy.proto."""
        environment, policy = convert.policy_from_pb(request, self._limits)
        return convert.preview_to_pb(await self._policies.preview(environment, policy))
