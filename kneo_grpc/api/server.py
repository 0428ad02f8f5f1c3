"""The gRPC server: all services behind the one interceptor."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from kneo_grpc._gen.kneo.v1 import (
    audit_pb2_grpc,
    credential_pb2_grpc,
    human_task_pb2_grpc,
    maintenance_pb2_grpc,
    meta_pb2_grpc,
    policy_pb2_grpc,
    queue_pb2_grpc,
    run_pb2_grpc,
    spec_pb2_grpc,
)
from kneo_grpc._gen.kneo.v1 import (
    health_pb2_grpc as kneo_health_grpc,
)
from kneo_grpc.api.interceptor import EdgeInterceptor
from kneo_grpc.api.plumbing import HEALTH, GrpcHealthServicer, add_reflection
from kneo_grpc.domain.errors import StartRefused

SERVICES = (
    "kneo.v1.RunService",
    "kneo.v1.HumanTaskService",
    "kneo.v1.SpecService",
    "kneo.v1.HealthService",
    "kneo.v1.QueueService",
    "kneo.v1.MaintenanceService",
    "kneo.v1.PolicyService",
    "kneo.v1.CredentialService",
    "kneo.v1.AuditService",
    "kneo.v1.MetaService",
)

RECEIVE_BYTES_MAX = 32 * 1024 * 1024
"""Above what a setting lets the interceptor accept, so that its clear answer comes first."""

METADATA_BYTES_MAX = 96 * 1024
"""Above what the gateway lets pass, so that a huge key is a wrong key and no exhausted resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicers:
    """One servicer per service."""

    runs: run_pb2_grpc.RunServiceServicer
    human_tasks: human_task_pb2_grpc.HumanTaskServiceServicer
    specs: spec_pb2_grpc.SpecServiceServicer
    health: kneo_health_grpc.HealthServiceServicer
    queue: queue_pb2_grpc.QueueServiceServicer
    maintenance: maintenance_pb2_grpc.MaintenanceServiceServicer
    policies: policy_pb2_grpc.PolicyServiceServicer
    credentials: credential_pb2_grpc.CredentialServiceServicer
    audit: audit_pb2_grpc.AuditServiceServicer
    meta: meta_pb2_grpc.MetaServiceServicer


class _ByName:
    """A server as generated code sees it, on which methods are not registered one by one.

    grpc.aio waits for all registered methods anew with each call, one task a method: with some
    forty that is a twentieth of what a run costs. By its name a method is found at once, by the
    interceptor.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Let the server look for methods here."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Leave it at that."""


class ApiServer:
    """A grpc.aio server. addresses: `host:port` or `unix:/path`; `bound` tells the ports taken."""

    def __init__(
        self, *, servicers: Servicers, interceptor: EdgeInterceptor, addresses: tuple[str, ...]
    ) -> None:
        self._server = grpc.aio.server(
            interceptors=(interceptor,),
            options=(
                ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", METADATA_BYTES_MAX),
                ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
                ("grpc.so_reuseport", 0),
            ),
        )
        self._health = GrpcHealthServicer(SERVICES)
        register: tuple[tuple[Callable[..., Any], Any], ...] = (
            (run_pb2_grpc.add_RunServiceServicer_to_server, servicers.runs),
            (human_task_pb2_grpc.add_HumanTaskServiceServicer_to_server, servicers.human_tasks),
            (spec_pb2_grpc.add_SpecServiceServicer_to_server, servicers.specs),
            (kneo_health_grpc.add_HealthServiceServicer_to_server, servicers.health),
            (queue_pb2_grpc.add_QueueServiceServicer_to_server, servicers.queue),
            (
                maintenance_pb2_grpc.add_MaintenanceServiceServicer_to_server,
                servicers.maintenance,
            ),
            (policy_pb2_grpc.add_PolicyServiceServicer_to_server, servicers.policies),
            (
                credential_pb2_grpc.add_CredentialServiceServicer_to_server,
                servicers.credentials,
            ),
            (audit_pb2_grpc.add_AuditServiceServicer_to_server, servicers.audit),
            (meta_pb2_grpc.add_MetaServiceServicer_to_server, servicers.meta),
            (health_pb2_grpc.add_HealthServicer_to_server, self._health),
        )
        by_name = _ByName(self._server)
        for add, servicer in register:
            add(servicer, by_name)
        add_reflection((*SERVICES, HEALTH), self._server)
        self.bound: list[int] = []
        for address in addresses:
            try:
                self.bound.append(self._server.add_insecure_port(address))
            except RuntimeError as error:
                raise StartRefused(f"cannot listen on {address}: is it in use?") from error

    async def start(self) -> None:
        """Serve, and say so to gRPC health probes."""
        await self._server.start()
        await self.set_serving(serving=True)

    async def set_serving(self, *, serving: bool) -> None:
        """Tell gRPC health probes."""
        self._health.set_serving(serving=serving)

    async def stop(self, grace: timedelta) -> None:
        """Take no further call and wait for those under way."""
        self._health.end()
        await self._server.stop(grace.total_seconds())
