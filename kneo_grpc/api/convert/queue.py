"""Queued jobs and the counts of maintenance."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc._gen.kneo.v1 import maintenance_pb2, queue_pb2
from kneo_grpc.api.convert.fields import Fields, Limits, page_facts, to_timestamp
from kneo_grpc.ports.queue import JOB_SORT_KEYS, QueuedJob
from kneo_grpc.ports.store import Page, PageRequest


def page_from_pb(request: Any, limits: Limits) -> PageRequest:
    """Return the page that a list request asks for."""
    fields = Fields(limits)
    page = fields.page(request, JOB_SORT_KEYS, "due_at", descending=False)
    fields.check()
    return page


def jobs_to_pb(
    jobs: Page[QueuedJob], page: PageRequest, limits: Limits
) -> queue_pb2.ListQueueResponse:
    """Return a page of jobs as a message."""
    items = [
        queue_pb2.QueuedJob(
            run_id=job.run_id,
            state=job.state,
            due_at=to_timestamp(job.due_at),
            claims=job.claims,
            lease_owner=job.lease_owner,
            lease_expires_at=to_timestamp(job.lease_expires_at),
        )
        for job in jobs.items
    ]
    return queue_pb2.ListQueueResponse(jobs=items, **page_facts(jobs, page, limits))


def counts_to_pb(counts: Mapping[str, int]) -> maintenance_pb2.PruneResult:
    """Return counts as a message."""
    return maintenance_pb2.PruneResult(counts=dict(counts))
