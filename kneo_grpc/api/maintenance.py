"""MaintenanceService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import maintenance_pb2, maintenance_pb2_grpc
from kneo_grpc.api.call import current_call
from kneo_grpc.api.convert.queue import counts_to_pb
from kneo_grpc.domain.change import JobKind
from kneo_grpc.platform.retention import Retention
from kneo_grpc.platform.timers import Timers


class MaintenanceServicer(maintenance_pb2_grpc.MaintenanceServiceServicer):
    """Performs due work and retention at once instead of soon."""

    def __init__(self, timers: Timers, retention: Retention) -> None:
        self._timers = timers
        self._retention = retention

    async def PruneTimedOutRuns(
        self, request: maintenance_pb2.PruneTimedOutRunsRequest, context: Any
    ) -> maintenance_pb2.PruneResult:
        """See maintenance.proto."""
        report = await self._timers.run_all({JobKind.DEADLINE})
        return counts_to_pb({"timed_out": report.timed_out})

    async def PruneExpiredHumanTasks(
        self, request: maintenance_pb2.PruneExpiredHumanTasksRequest, context: Any
    ) -> maintenance_pb2.PruneResult:
        """See maintenance.proto."""
        report = await self._timers.run_all({JobKind.HUMAN_EXPIRY})
        return counts_to_pb(
            {
                "expired": report.expired,
                "continued": report.continued,
                "escalated": report.escalated,
            }
        )

    async def PruneRetention(
        self, request: maintenance_pb2.PruneRetentionRequest, context: Any
    ) -> maintenance_pb2.PruneResult:
        """See maintenance.proto."""
        report = await self._retention.run_once(current_call().principal)
        return counts_to_pb({kind.value: count for kind, count in report.removed.items()})
