"""The request messages by name, for callers in the same process."""

from collections.abc import Mapping
from functools import cache

from google.protobuf.message import Message

from kneo_grpc._gen.kneo.v1 import (
    audit_pb2,
    credential_pb2,
    health_pb2,
    human_task_pb2,
    maintenance_pb2,
    meta_pb2,
    policy_pb2,
    queue_pb2,
    run_pb2,
    run_result_pb2,
    spec_pb2,
)


@cache
def requests() -> Mapping[str, type[Message]]:
    """Return every request message class by its name."""
    modules = (
        run_pb2,
        run_result_pb2,
        human_task_pb2,
        spec_pb2,
        queue_pb2,
        maintenance_pb2,
        meta_pb2,
        policy_pb2,
        credential_pb2,
        health_pb2,
        audit_pb2,
    )
    return {
        name: getattr(module, name)
        for module in modules
        for name in module.DESCRIPTOR.message_types_by_name
        if name.endswith("Request")
    }
