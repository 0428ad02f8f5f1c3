"""Audit events and the verification of their chain."""

from kneo_grpc._gen.kneo.v1 import audit_pb2
from kneo_grpc.api.convert.fields import Fields, Limits, page_facts, to_struct, to_timestamp
from kneo_grpc.domain.audit_chain import Break, Chained
from kneo_grpc.domain.errors import PageTokenInvalid
from kneo_grpc.platform.audit import Verification
from kneo_grpc.ports.audit import AUDIT_SORT_KEYS, AuditFilter
from kneo_grpc.ports.store import Page, PageRequest


def list_from_pb(
    request: audit_pb2.ListAuditEventsRequest, limits: Limits
) -> tuple[AuditFilter, PageRequest]:
    """Return the filter and the page of a list request."""
    fields = Fields(limits)
    where = AuditFilter(
        event_type=fields.optional_text(request, "event_type"),
        run_id=fields.optional_text(request, "run_id"),
        continuation_id=fields.optional_text(request, "continuation_id"),
        actor=fields.optional_text(request, "actor"),
        created_after=fields.instant(request, "created_after"),
        created_before=fields.instant(request, "created_before"),
    )
    page = fields.page(request, AUDIT_SORT_KEYS, "created_at", descending=True)
    fields.check()
    return where, page


def list_to_pb(
    events: Page[Chained], page: PageRequest, limits: Limits
) -> audit_pb2.ListAuditEventsResponse:
    """Return a page as a message."""
    return audit_pb2.ListAuditEventsResponse(
        events=[_event_to_pb(event) for event in events.items], **page_facts(events, page, limits)
    )


def verify_from_pb(request: audit_pb2.VerifyAuditRequest, limits: Limits) -> tuple[str, int]:
    """Return the page token and the size of the part to check."""
    fields = Fields(limits)
    limit = request.limit if request.HasField("limit") else limits.page_items
    if not 1 <= limit <= limits.page_items:
        fields.fault("limit", f"must be between 1 and {limits.page_items}")
    fields.check()
    if request.HasField("page_token") and not request.page_token:
        raise PageTokenInvalid([("page_token", "is empty")])
    return request.page_token, limit


def verification_to_pb(found: Verification) -> audit_pb2.VerifyAuditResponse:
    """Return what a part of a verification found as a message."""
    return audit_pb2.VerifyAuditResponse(
        valid=not found.breaks,
        checked=found.checked,
        pruned=found.pruned,
        breaks=[_break_to_pb(item) for item in found.breaks],
        next_page_token=found.next_page or None,
        head_number=found.end.number,
        head_digest=found.end.digest.hex(),
        unsealed=found.end.unsealed,
        oldest_unsealed_at=to_timestamp(found.end.oldest_unsealed_at),
        phase=found.phase.value,
    )


def _event_to_pb(event: Chained) -> audit_pb2.AuditEvent:
    record = event.record
    return audit_pb2.AuditEvent(
        id=record.id,
        event_type=record.event_type,
        run_id=record.run_id,
        continuation_id=record.continuation_id,
        actor=record.actor,
        metadata=to_struct(record.metadata),
        created_at=to_timestamp(record.created_at),
        number=event.number,
        digest=None if event.digest is None else event.digest.hex(),
    )


def _break_to_pb(item: Break) -> audit_pb2.AuditBreak:
    return audit_pb2.AuditBreak(
        kind=item.kind.value,
        number=item.number,
        last_number=item.last_number,
        audit_id=item.audit_id,
    )
