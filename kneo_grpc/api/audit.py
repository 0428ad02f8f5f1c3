"""AuditService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import audit_pb2, audit_pb2_grpc
from kneo_grpc.api.convert import audit as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.page_tokens import PageTokens
from kneo_grpc.platform.audit import Audit


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Shows the audit trail and checks that it is whole."""

    def __init__(self, audit: Audit, tokens: PageTokens, limits: Limits) -> None:
        self._audit = audit
        self._tokens = tokens
        self._limits = limits

    async def ListAuditEvents(
        self, request: audit_pb2.ListAuditEventsRequest, context: Any
    ) -> audit_pb2.ListAuditEventsResponse:
        """See audit.proto."""
        where, page = convert.list_from_pb(request, self._limits)
        page = self._tokens.opened(request, page)
        found = await self._audit.list(where, page)
        return self._tokens.sealed(request, found, convert.list_to_pb(found, page, self._limits))

    async def VerifyAudit(
        self, request: audit_pb2.VerifyAuditRequest, context: Any
    ) -> audit_pb2.VerifyAuditResponse:
        """See audit.proto."""
        page, limit = convert.verify_from_pb(request, self._limits)
        return convert.verification_to_pb(await self._audit.verify(page, limit))
