"""Sealing on PostgreSQL: the chain's row is locked while records are added to it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from kneo_grpc.domain.audit_chain import GENESIS
from kneo_grpc.domain.change import AuditRecord
from kneo_grpc.stores import changes as encode
from kneo_grpc.stores.auditing import seal_rows
from kneo_grpc.stores.codec import same_instant
from kneo_grpc.stores.postgres.connect import Connection


async def seal(
    connection: Connection,
    statements: Mapping[str, str],
    holder: str,
    lease_for: timedelta,
    limit: int,
) -> int | None:
    """Seal a batch inside the caller's transaction; see ports.audit."""
    taken = await connection.fetch(statements["sealer_take"], holder, lease_for)
    if not taken:
        if not await connection.fetch(statements["sealer_make"], GENESIS):
            return None
        taken = await connection.fetch(statements["sealer_take"], holder, lease_for)
    found = await connection.fetch(statements["seal_batch"], limit)
    if found:
        seals = seal_rows(found, taken[0]["number"], taken[0]["digest"], same_instant)
        number, _, _, _, digest = seals[-1]
        columns = zip(*seals, strict=True)
        await connection.execute(statements["seal_write"], *columns, number, digest)
    return len(found)


def append_arrays(records: Sequence[AuditRecord]) -> list[Sequence[Any]]:
    """Return the arguments of audit_append."""
    return list(zip(*(encode.audit_values(r, same_instant) for r in records), strict=True))
