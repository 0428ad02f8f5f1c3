"""QueueService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import queue_pb2, queue_pb2_grpc, run_pb2
from kneo_grpc.api.call import current_call
from kneo_grpc.api.convert import queue as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.convert.runs import run_id_from_pb, run_to_pb
from kneo_grpc.domain.change import JobKind
from kneo_grpc.platform.recovery import Recovery
from kneo_grpc.ports.queue import Queue


class QueueServicer(queue_pb2_grpc.QueueServiceServicer):
    """Shows what waits and puts dead letters back."""

    def __init__(self, queue: Queue, recovery: Recovery, limits: Limits) -> None:
        self._queue = queue
        self._recovery = recovery
        self._limits = limits

    async def ListQueue(
        self, request: queue_pb2.ListQueueRequest, context: Any
    ) -> queue_pb2.ListQueueResponse:
        """See queue.proto."""
        limit = convert.limit_from_pb(request, self._limits)
        return convert.jobs_to_pb(await self._queue.list_jobs(JobKind.RUN, limit))

    async def ListDeadLetters(
        self, request: queue_pb2.ListDeadLettersRequest, context: Any
    ) -> queue_pb2.ListQueueResponse:
        """See queue.proto."""
        limit = convert.limit_from_pb(request, self._limits)
        return convert.jobs_to_pb(await self._queue.list_jobs(JobKind.DEAD, limit))

    async def RequeueRun(self, request: queue_pb2.RequeueRunRequest, context: Any) -> run_pb2.Run:
        """See queue.proto."""
        run_id = run_id_from_pb(request.run_id, self._limits)
        return run_to_pb(await self._recovery.requeue(current_call().principal, run_id))
