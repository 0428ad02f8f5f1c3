"""Environment policies as messages."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Value

from kneo_grpc._gen.kneo.v1 import policy_pb2
from kneo_grpc.api.convert.fields import Fields, Limits, to_timestamp, to_value
from kneo_grpc.platform.policies import Preview, PutPolicy
from kneo_grpc.platform.standing_policies import Standing
from kneo_grpc.spec.environment_policy import EnvironmentPolicy, policy_given


def environment_from_pb(request: Any, limits: Limits) -> str:
    """Return the environment that a request names."""
    fields = Fields(limits)
    environment = fields.identifier("environment", request.environment)
    fields.check()
    return environment


def policy_from_pb(request: Any, limits: Limits) -> tuple[str, EnvironmentPolicy]:
    """Return the environment and the policy of a put or preview request."""
    fields = Fields(limits)
    environment = fields.identifier("environment", request.environment)
    data = fields.struct(request, "policy", limits.overrides_bytes)
    if data is None:
        fields.fault("policy", "is required")
    policy, faults = policy_given(data or {})
    for field, text in faults:
        fields.fault(field, text)
    fields.check()
    return environment, policy


def policy_to_pb(policy: EnvironmentPolicy) -> policy_pb2.EnvironmentPolicy:
    """Return a policy as a message."""
    return policy_pb2.EnvironmentPolicy(**policy.model_dump())


def list_to_pb(policies: Mapping[str, Standing]) -> policy_pb2.ListEnvironmentPoliciesResponse:
    """Return policies by environment as a message."""
    return policy_pb2.ListEnvironmentPoliciesResponse(
        policies={name: policy_to_pb(standing.policy) for name, standing in policies.items()},
        count=len(policies),
    )


def get_to_pb(
    environment: str, standing: Standing | None
) -> policy_pb2.GetEnvironmentPolicyResponse:
    """Return an environment's policy as a message."""
    return policy_pb2.GetEnvironmentPolicyResponse(
        environment=environment,
        policy=policy_to_pb(standing.policy) if standing else None,
        updated_at=to_timestamp(standing.stored.updated_at) if standing else None,
    )


def put_to_pb(put: PutPolicy) -> policy_pb2.PutEnvironmentPolicyResponse:
    """Return what a put brought about as a message."""
    return policy_pb2.PutEnvironmentPolicyResponse(
        environment=put.environment,
        policy=policy_to_pb(put.policy),
        previous_policy=policy_to_pb(put.previous) if put.previous else None,
        updated_at=to_timestamp(put.updated_at),
    )


def preview_to_pb(preview: Preview) -> policy_pb2.PreviewEnvironmentPolicyResponse:
    """Return what a policy would change as a message."""
    return policy_pb2.PreviewEnvironmentPolicyResponse(
        environment=preview.environment,
        diff={name: _change(*values) for name, values in preview.diff.items()},
        affected_run_ids=preview.refused,
        newly_blocking=preview.newly_refused,
        runs_evaluated=preview.evaluated,
        runs_unreadable=preview.unreadable,
    )


def _change(before: Any, after: Any) -> policy_pb2.PolicyFieldChange:
    values: dict[str, Value] = {"to": to_value(after)}
    if before is not None:
        # A word of Python's, so it cannot be written as an argument.
        values["from"] = to_value(before)
    return policy_pb2.PolicyFieldChange(**values)
