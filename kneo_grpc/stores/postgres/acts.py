"""What belongs to no run, on PostgreSQL."""

from collections.abc import Mapping

from kneo_grpc.domain.change import Act, OutcomeKind
from kneo_grpc.stores import changes as encode
from kneo_grpc.stores.codec import same_instant
from kneo_grpc.stores.postgres.connect import Connection
from kneo_grpc.stores.postgres.sealing import append_arrays
from kneo_grpc.stores.postgres.session import Session


class _RefusedError(Exception):
    """Rolls an Act back; its caller gets the outcome."""

    def __init__(self, kind: OutcomeKind) -> None:
        super().__init__(kind.value)
        self.kind = kind


async def land_act(session: Session, statements: Mapping[str, str], act: Act) -> OutcomeKind:
    """Land an Act in one transaction. Raises StoreUnavailable."""

    async def land(connection: Connection) -> OutcomeKind:
        if act.idempotency is not None:
            values = encode.idempotency_values(act.idempotency, same_instant)
            if not await connection.fetch(statements["idempotency_insert"], *values):
                raise _RefusedError(OutcomeKind.EXISTS)
        if act.policy is not None:
            values = encode.policy_values(act.policy, same_instant)
            if not await connection.fetch(statements["policy_put"], *values):
                raise _RefusedError(OutcomeKind.FENCE_LOST)
        if act.audit:
            await connection.execute(statements["audit_append"], *append_arrays(act.audit))
        return OutcomeKind.APPLIED

    try:
        return await session.together(land)
    except _RefusedError as refused:
        return refused.kind
