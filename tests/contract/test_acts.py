"""What belongs to no run: environment policies with their audit, and keys that processes share."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from kneo_grpc.domain.change import Act, OutcomeKind, PolicyPut, StoredPolicy
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.ports.store import Store
from tests.contract.builders import NOW, audit, key_record
from tests.contract.conftest import Query

POLICY = {"enabled": True, "blocked_diagnostic_codes": ["W_ä"], "require_guardrails": False}
COUNTS = (
    "select (select count(*) from environment_policies), (select count(*) from audit_events), "
    "(select count(*) from idempotency_records)"
)


def put(environment: str = "prod", version: int = 0, **fields: Any) -> PolicyPut:
    values: dict[str, Any] = {"policy": POLICY, "at": NOW}
    return PolicyPut(environment=environment, version=version, **{**values, **fields})


def act(**parts: Any) -> Act:
    return Act(**{"audit": (audit(event_type="policy.changed"),), **parts})


async def test_policies_are_read_as_they_were_put(store: Store) -> None:
    assert await store.load_policies() == ()
    later = NOW + timedelta(seconds=1)
    assert await store.act(act(policy=put())) is OutcomeKind.APPLIED
    assert await store.act(act(policy=put("dev"))) is OutcomeKind.APPLIED
    second = put(version=1, policy={"enabled": False}, at=later)
    assert await store.act(act(policy=second)) is OutcomeKind.APPLIED
    assert await store.load_policies() == (
        StoredPolicy(environment="dev", version=1, policy=POLICY, updated_at=NOW),
        StoredPolicy(environment="prod", version=2, policy={"enabled": False}, updated_at=later),
    )


@pytest.mark.parametrize("version", [0, 2])
async def test_a_policy_that_moved_on_is_not_replaced(
    store: Store, query: Query, version: int
) -> None:
    await store.act(act(policy=put()))
    late = act(policy=put(version=version), idempotency=key_record("k"))
    assert await store.act(late) is OutcomeKind.FENCE_LOST
    assert await query(COUNTS) == [(1, 1, 0)]


async def test_a_used_key_lands_nothing(store: Store, query: Query) -> None:
    record = key_record("k", response={"a": 1})
    assert await store.act(act(policy=put(), idempotency=record)) is OutcomeKind.APPLIED
    again = act(policy=put("other"), idempotency=key_record("k"))
    assert await store.act(again) is OutcomeKind.EXISTS
    assert await query(COUNTS) == [(1, 1, 1)]
    assert await store.load_idempotency("ann", "runs.create", "k") == record


async def test_an_audit_record_that_cannot_be_written_takes_its_act_along(
    store: Store, query: Query
) -> None:
    record = audit()
    await store.act(Act(audit=(record,)))
    with pytest.raises(Exception, match=r".") as caught:
        await store.act(Act(policy=put(), audit=(record,), idempotency=key_record("k")))
    assert not isinstance(caught.value, AssertionError)
    assert await query(COUNTS) == [(0, 1, 0)]


async def test_of_puts_at_once_each_version_is_taken_once(store: Store, query: Query) -> None:
    outcomes = await asyncio.gather(*(store.act(act(policy=put())) for _ in range(8)))
    assert sorted(outcomes) == sorted([OutcomeKind.APPLIED] + [OutcomeKind.FENCE_LOST] * 7)
    assert await query(COUNTS) == [(1, 1, 0)]


async def test_a_key_is_made_once_and_shared(store: Store) -> None:
    assert await store.service_key("pages", b"\x00first") == b"\x00first"
    assert await store.service_key("pages", b"second") == b"\x00first"
    assert await store.service_key("others", b"third") == b"third"


async def test_a_store_that_is_stopped_refuses_acts(store: Store) -> None:
    await store.stop()
    with pytest.raises(StoreUnavailable):
        await store.act(act(policy=put()))
