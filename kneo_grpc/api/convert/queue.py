"""Queued jobs and the counts of maintenance."""

from collections.abc import Iterable, Mapping
from typing import Any

from kneo_grpc._gen.kneo.v1 import maintenance_pb2, queue_pb2
from kneo_grpc.api.convert.fields import Fields, Limits, to_timestamp
from kneo_grpc.ports.queue import QueuedJob


def limit_from_pb(request: Any, limits: Limits) -> int:
    """Return the length that a list request asks for."""
    limit: int = request.limit if request.HasField("limit") else 100
    fields = Fields(limits)
    if not 1 <= limit <= limits.page_items:
        fields.fault("limit", f"must be between 1 and {limits.page_items}")
    fields.check()
    return limit


def jobs_to_pb(jobs: Iterable[QueuedJob]) -> queue_pb2.ListQueueResponse:
    """Return jobs as a message."""
    items = [
        queue_pb2.QueuedJob(
            run_id=job.run_id,
            state=job.state,
            due_at=to_timestamp(job.due_at),
            claims=job.claims,
            lease_owner=job.lease_owner,
            lease_expires_at=to_timestamp(job.lease_expires_at),
        )
        for job in jobs
    ]
    return queue_pb2.ListQueueResponse(jobs=items, count=len(items))


def counts_to_pb(counts: Mapping[str, int]) -> maintenance_pb2.PruneResult:
    """Return counts as a message."""
    return maintenance_pb2.PruneResult(counts=dict(counts))
