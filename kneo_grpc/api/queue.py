"""QueueService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import queue_pb2, queue_pb2_grpc, run_pb2
from kneo_grpc.api.call import current_call
from kneo_grpc.api.convert import queue as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.convert.runs import run_id_from_pb, run_to_pb
from kneo_grpc.api.page_tokens import PageTokens
from kneo_grpc.domain.change import JobKind
from kneo_grpc.platform.recovery import Recovery
from kneo_grpc.ports.queue import Queue


class QueueServicer(queue_pb2_grpc.QueueServiceServicer):
    """Shows what waits and puts dead letters back."""

    def __init__(
        self, queue: Queue, recovery: Recovery, tokens: PageTokens, limits: Limits
    ) -> None:
        self._queue = queue
        self._recovery = recovery
        self._tokens = tokens
        self._limits = limits

    async def ListQueue(
        self, request: queue_pb2.ListQueueRequest, context: Any
    ) -> queue_pb2.ListQueueResponse:
        """See queue.proto."""
        return await self._list(JobKind.RUN, request)

    async def ListDeadLetters(
        self, request: queue_pb2.ListDeadLettersRequest, context: Any
    ) -> queue_pb2.ListQueueResponse:
        """See queue.proto."""
        return await self._list(JobKind.DEAD, request)

    async def RequeueRun(self, request: queue_pb2.RequeueRunRequest, context: Any) -> run_pb2.Run:
        """See queue.proto."""
        run_id = run_id_from_pb(request.run_id, self._limits)
        return run_to_pb(await self._recovery.requeue(current_call().principal, run_id))

    async def _list(self, kind: JobKind, request: Any) -> queue_pb2.ListQueueResponse:
        page = self._tokens.opened(request, convert.page_from_pb(request, self._limits))
        found = await self._queue.list_jobs(kind, page)
        answer = convert.jobs_to_pb(found, page, self._limits)
        return self._tokens.sealed(request, found, answer)
