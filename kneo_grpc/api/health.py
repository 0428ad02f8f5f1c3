"""HealthService."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc._gen.kneo.v1 import health_pb2, health_pb2_grpc
from kneo_grpc.api.call import current_call
from kneo_grpc.api.convert.fields import to_struct
from kneo_grpc.domain.errors import NotReady
from kneo_grpc.platform.health import Health

SERVICE = "kneo-serv-platform"


class HealthServicer(health_pb2_grpc.HealthServiceServicer):
    """Answers probes. Strangers learn whether all is well, else which checks fail; callers with a
    key learn the rest.
    """

    def __init__(self, health: Health, version: str) -> None:
        self._health = health
        self._version = version

    async def GetHealth(
        self, request: health_pb2.GetHealthRequest, context: Any
    ) -> health_pb2.Health:
        """See health.proto."""
        return self._answer({"status": "healthy"})

    async def GetLiveness(
        self, request: health_pb2.GetLivenessRequest, context: Any
    ) -> health_pb2.Health:
        """See health.proto."""
        return self._answer({"status": "alive"})

    async def GetReadiness(
        self, request: health_pb2.GetReadinessRequest, context: Any
    ) -> health_pb2.Health:
        """See health.proto."""
        found = await self._health.readiness()
        checks: Mapping[str, Mapping[str, Any]] = found.checks
        if "stranger" in current_call().principal.roles:
            failed = (name for name, check in checks.items() if not check["ok"])
            checks = {name: {"name": name, "ok": False} for name in failed}
        metadata = {"ready": found.ready, "manager": "PlatformManager", "checks": checks}
        if not found.ready:
            failing = ", ".join(name for name, check in checks.items() if not check["ok"])
            raise NotReady(f"not ready: {failing}", metadata=metadata)
        return self._answer(metadata)

    def _answer(self, metadata: Mapping[str, Any]) -> health_pb2.Health:
        return health_pb2.Health(
            ok=True, service=SERVICE, version=self._version, metadata=to_struct(metadata)
        )
