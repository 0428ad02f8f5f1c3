"""What every store does for the audit trail: list it, seal it once, keep it provable."""

import asyncio
import hashlib
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kneo_grpc.domain.audit_chain import GENESIS, Break, BreakKind, link
from kneo_grpc.domain.change import AuditRecord
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.sealer import Sealer, SealerSettings
from kneo_grpc.ports.audit import AuditFilter
from kneo_grpc.ports.store import PageRequest
from kneo_grpc.ports.upkeep import Kept
from kneo_grpc.stores.auditing import Appending
from tests.contract.builders import NOW, audit, creation, make_run, new_id, step
from tests.contract.conftest import Query, open_store
from tests.fakes import CountingIds, FakeClock
from tests.waiting import until

DAY, LEASE = timedelta(days=1), timedelta(seconds=60)
ROOT = Path(__file__).parents[2]


async def seal_all(store: Any, holder: str = "sealer", limit: int = 1000) -> list[int | None]:
    """Seal until nothing is left; return what each batch brought."""
    counts: list[int | None] = []
    while not counts or counts[-1]:
        counts.append(await store.seal(holder, LEASE, limit=limit))
    return counts


async def append(store: Any, *fields: dict[str, Any]) -> list[AuditRecord]:
    records = [audit(**given) for given in fields]
    await store.append_audit(records)
    return records


async def verified(store: Any, limit: int = 1000) -> list[Break]:
    """All breaks, found part by part."""
    use_case, found, page = Audit(store, FakeClock(), CountingIds()), [], ""
    while True:
        part = await use_case.verify(page, limit)
        found += part.breaks
        page = part.next_page
        if not page:
            return found


def told(found: list[Break]) -> list[tuple[str, int | None, int | None]]:
    return [(item.kind.value, item.number, item.last_number) for item in found]


async def ids_of(store: Any, where: AuditFilter, **page: Any) -> list[str]:
    asked = PageRequest(**{"sort_by": "created_at", **page})
    return [item.record.id for item in (await store.list_audit(where, asked)).items]


async def test_records_of_a_change_and_records_alone_are_listed(store: Any) -> None:
    facts = {
        "count": 3,
        "text": "ä \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    }
    run = make_run()
    inside = audit(run_id=run.id, actor="ann", metadata=facts)
    await store.commit([creation(run, audit=(inside,))])
    alone = audit(created_at=NOW + DAY, continuation_id="cont_1")
    await store.append_audit([alone])
    page = await store.list_audit(AuditFilter(), PageRequest(sort_by="created_at", descending=True))
    assert [item.record for item in page.items] == [alone, inside]
    assert [item.number for item in page.items] == [None, None]
    await seal_all(store)
    page = await store.list_audit(AuditFilter(), PageRequest(sort_by="created_at"))
    assert [item.number for item in page.items] == [1, 2]
    assert page.items[1].digest == (await store.chain_end()).digest


FILTERS = [
    ({}, [0, 1, 2, 3]),
    ({"event_type": "run.created"}, [0, 2]),
    ({"event_type": "human.decision"}, [1]),
    ({"event_type": "run.create"}, []),
    ({"run_id": "run_a"}, [0, 1]),
    ({"continuation_id": "cont_a"}, [1]),
    ({"actor": "bob"}, [2, 3]),
    ({"actor": "bob", "event_type": "run.created"}, [2]),
    ({"created_after": NOW + DAY}, [2, 3]),
    ({"created_before": NOW + DAY}, [0]),
    ({"created_after": NOW, "created_before": NOW + 3 * DAY}, [1, 2]),
]
PAGES = [
    ({}, [0, 1, 2, 3]),
    ({"descending": True}, [3, 2, 1, 0]),
    ({"limit": 2}, [0, 1]),
    ({"limit": 2, "offset": 2}, [2, 3]),
    ({"limit": 3, "offset": 1, "descending": True}, [2, 1, 0]),
    ({"offset": 4}, []),
]


async def test_filters_and_pages(store: Any) -> None:
    records = await append(
        store,
        {"run_id": "run_a", "actor": "ann"},
        {
            "event_type": "human.decision",
            "run_id": "run_a",
            "continuation_id": "cont_a",
            "created_at": NOW + DAY,
        },
        {"run_id": "run_b", "actor": "bob", "created_at": NOW + 2 * DAY},
        {"event_type": "spec.run", "actor": "bob", "created_at": NOW + 3 * DAY},
    )
    for given, wanted in FILTERS:
        found = await ids_of(store, AuditFilter(**given))
        assert found == [records[place].id for place in wanted], given
    for given, wanted in PAGES:
        found = await ids_of(store, AuditFilter(), **given)
        assert found == [records[place].id for place in wanted], given
    page = await store.list_audit(
        AuditFilter(actor="bob"), PageRequest(limit=1, sort_by="created_at")
    )
    assert (len(page.items), page.total) == (1, 2)


async def test_records_of_one_instant_keep_one_order(store: Any) -> None:
    records = await append(store, *({} for _ in range(5)))
    ids = sorted(record.id for record in records)
    assert await ids_of(store, AuditFilter()) == ids
    assert await ids_of(store, AuditFilter(), descending=True) == ids[::-1]


async def test_the_chain_is_as_the_documents_tell(store: Any) -> None:
    await append(store, {"actor": "ann", "metadata": {"a": 1}}, {"created_at": NOW + DAY})
    await seal_all(store)
    expected = GENESIS
    for number, seal in enumerate(await store.load_seals(0, 10), start=1):
        record = seal.record
        micros = int(record.created_at.timestamp()) * 10**6 + record.created_at.microsecond
        fields = ["kneo-audit-1", record.id, record.event_type, record.run_id]
        fields += [record.continuation_id, record.actor, record.metadata, str(micros)]
        texts = ("-" if f is None else f"{len(f.encode())}:{f}," for f in fields)
        content = hashlib.sha256("".join(texts).encode()).digest()
        expected = hashlib.sha256(expected + number.to_bytes(8, "big") + content).digest()
        assert (seal.number, seal.content_digest, seal.digest) == (number, content, expected)


async def test_a_record_that_commits_late_is_sealed_after_younger_ones(
    address: Any, store: Any
) -> None:
    late = audit(id="aud_00000000", created_at=NOW - DAY)
    if isinstance(address, Path):
        await append(store, {})
        await seal_all(store)
        await store.append_audit([late])
    else:
        other = await asyncpg.connect(address)
        transaction = other.transaction()
        await transaction.start()
        insert = "insert into audit_events (id, event_type, metadata, created_at) values "
        await other.execute(f"{insert} ($1, 'run.created', '{{}}', $2)", late.id, late.created_at)
        await other.execute("insert into audit_unsealed values ($2, $1)", late.id, late.created_at)
        await append(store, {})
        assert await seal_all(store) == [1, 0]
        await transaction.commit()
        await other.close()
    assert await seal_all(store) == [1, 0]
    assert [seal.audit_id for seal in await store.load_seals(1, 10)] == [late.id]
    assert await verified(store) == []


async def test_commits_of_many_connections_make_one_whole_chain(address: Any, store: Any) -> None:
    stores = [store]
    if not isinstance(address, Path):
        stores += [open_store(address) for _ in range(3)]
        for other in stores[1:]:
            await other.start()

    async def write(one: Any) -> None:
        for number in range(20):
            run = make_run()
            records = tuple(audit(run_id=run.id, created_at=NOW - number * DAY) for _ in range(2))
            await one.commit([creation(run, audit=records)])
            await one.append_audit([audit()])

    async def seal(one: Any, holder: str) -> None:
        for _ in range(30):
            await one.seal(holder, timedelta(milliseconds=1), limit=7)

    writers = [write(one) for one in stores for _ in range(3)]
    await asyncio.gather(*writers, *(seal(one, f"s{n}") for n, one in enumerate(stores)))
    for other in stores[1:]:
        await other.stop()
    await asyncio.sleep(0.002)  # the last racer's lease
    await seal_all(store)
    seals = await store.load_seals(0, 10_000)
    assert [seal.number for seal in seals] == list(range(1, len(writers) * 60 + 1))
    assert len({seal.audit_id for seal in seals}) == len(seals)
    assert await verified(store, limit=50) == []
    end = await store.chain_end()
    assert (end.number, end.digest, end.unsealed) == (len(seals), seals[-1].digest, 0)


async def test_one_holder_seals_until_its_lease_is_over_or_given_back(
    address: Any, store: Any, query: Query
) -> None:
    await append(store, {}, {}, {})
    assert await store.seal("a", LEASE, limit=1) == 1
    assert await store.seal("b", LEASE, limit=1) is None
    look = await store.look_at_sealer("b", timedelta(0))
    assert (look.ours, look.others, look.waiting, look.number) == (False, True, True, 1)
    look = await store.look_at_sealer("a", timedelta(0))
    assert (look.ours, look.others) == (True, False)
    assert not (await store.look_at_sealer("a", LEASE)).ours
    lease = "60000000" if isinstance(address, Path) else "interval '60 s'"
    await query(f"update audit_sealer set lease_expires_at = lease_expires_at - {lease}")
    assert await store.seal("b", LEASE, limit=1) == 1
    assert await store.seal("a", LEASE, limit=1) is None
    await store.free_sealer("a")
    assert await store.seal("a", LEASE, limit=1) is None
    await store.free_sealer("b")
    assert await store.seal("a", LEASE, limit=1) == 1
    assert await verified(store) == []


async def test_what_is_unsealed_is_told(store: Any) -> None:
    end = await store.chain_end()
    assert (end.number, end.digest, end.unsealed) == (0, GENESIS, 0)
    await append(store, {"created_at": NOW + DAY}, {})
    end = await store.chain_end()
    assert (end.number, end.unsealed, end.oldest_unsealed_at) == (0, 2, NOW)
    assert await verified(store) == []


GIVEN = "id, event_type, metadata, created_at"
TAMPERINGS: dict[str, tuple[list[str], list[tuple[str, int | None, int | None]]]] = {
    "text": (["update audit_events set actor = 'eve' where {3}"], [("changed", 3, 3)]),
    "facts": (["update audit_events set metadata = '{{}}' where {2}"], [("changed", 2, 2)]),
    "same facts in other words": (
        ["update audit_events set metadata = '{{ \"a\":1}}' where {2}"],
        [("changed", 2, 2)],
    ),
    "time": (
        ["update audit_events set created_at = {later} where {4}"],
        [("removed", 4, 4), ("unsealed", None, None)],
    ),
    "deletion": (["delete from audit_events where {5}"], [("removed", 5, 5)]),
    "deletion with its seal": (
        ["delete from audit_events where {5}", "delete from audit_seals where number = 5"],
        [("missing", 5, 5)],
    ),
    "deletion of the end": (
        ["delete from audit_events where {6}", "delete from audit_seals where number >= 5"],
        [("missing", 5, 6), ("unsealed", None, None)],
    ),
    "content digest": (
        ["update audit_seals set content_digest = digest where number = 4"],
        [("changed", 4, 4)],
    ),
    "link": (
        ["update audit_seals set digest = content_digest where number = 4"],
        [("unlinked", 4, 4), ("unlinked", 5, 5)],
    ),
    "last link": (
        ["update audit_seals set digest = content_digest where number = 6"],
        [("unlinked", 6, 6)],
    ),
    "insertion": (
        [
            f"insert into audit_events ({GIVEN}) select 'aud_x', event_type, metadata, created_at "
            "from audit_events where {1}"
        ],
        [("unsealed", None, None)],
    ),
    "insertion with a seal": (
        [
            f"insert into audit_events ({GIVEN}) select 'aud_x', event_type, metadata, created_at "
            "from audit_events where {1}",
            "insert into audit_seals select 7, 'aud_x', created_at, content_digest, digest, "
            "sealed_at, null from audit_seals where number = 1",
        ],
        [("changed", 7, 7)],
    ),
    "a seal alone": (
        [
            "insert into audit_seals select 7, 'aud_x', created_at, content_digest, digest, "
            "sealed_at, null from audit_seals where number = 1"
        ],
        [("removed", 7, 7)],
    ),
    "a mark of pruning on what is there": (
        ["update audit_seals set pruned_at = sealed_at, digest = content_digest where number = 2"],
        [("unlinked", 2, 2), ("unlinked", 3, 3)],
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_tampering_is_found_with_its_number(
    name: str, address: Any, store: Any, query: Query
) -> None:
    records = await append(store, *({"metadata": {"a": 1}} for _ in range(6)))
    await seal_all(store)
    assert await verified(store) == []
    statements, wanted = TAMPERINGS[name]
    places = ["", *(f"id = '{record.id}'" for record in records)]
    later = "created_at + 1" if isinstance(address, Path) else "created_at + interval '1 s'"
    for statement in statements:
        await query(statement.format(*places, later=later))
    for limit in (1000, 2, 1):
        assert told(await verified(store, limit)) == wanted
    # The service goes on sealing, and its own records are right.
    await append(store, {"created_at": NOW + DAY})
    await seal_all(store)
    found = told(await verified(store))
    assert found[: len(wanted) - wanted.count(("unsealed", None, None))] == [
        item for item in wanted if item[0] != "unsealed"
    ]


async def test_a_record_removed_before_it_was_sealed_is_found(store: Any, query: Query) -> None:
    first, _ = await append(store, {}, {})
    await query(f"delete from audit_events where id = '{first.id}'")
    await seal_all(store)
    assert [(b.kind, b.audit_id) for b in await verified(store)] == [(BreakKind.REMOVED, first.id)]


async def test_a_record_put_twice_among_the_unsealed_is_sealed_once(
    store: Any, query: Query
) -> None:
    await append(store, {}, {})
    await seal_all(store)
    await query("insert into audit_unsealed select created_at, id from audit_events")
    assert await seal_all(store) == [0]
    assert len(await store.load_seals(0, 10)) == 2
    assert (await store.chain_end()).unsealed == 0


@pytest.mark.parametrize("kind", [Kept.AUDIT, Kept.RUNS])
async def test_pruned_records_leave_a_chain_that_holds(
    kind: Kept, store: Any, query: Query
) -> None:
    for age in (3, 2, 1, -1):
        at = NOW - age * DAY
        run = make_run(status=RunStatus.COMPLETED, updated_at=at)
        records = (audit(run_id=run.id, created_at=at), audit(run_id=run.id, created_at=at))
        await store.commit([creation(run, audit=records)])
    everything = {"statuses": frozenset({RunStatus.COMPLETED}), "limit": 1000}
    # What is not sealed yet stays.
    assert await store.prune(kind, NOW, **everything) == 0
    await seal_all(store)
    head = (await store.chain_end()).digest
    assert await store.prune(kind, NOW, **everything) == (6 if kind is Kept.AUDIT else 3)
    assert await query("select count(*) from audit_events") == [(2,)]
    assert [seal.pruned for seal in await store.load_seals(0, 10)] == [True] * 6 + [False] * 2
    assert await verified(store) == []
    assert (await store.chain_end()).digest == head
    # A seal of what was pruned cannot be changed unseen either.
    await query("update audit_seals set content_digest = digest where number = 2")
    assert told(await verified(store)) == [("unlinked", 2, 2)]


async def test_sealing_beside_a_change_that_is_refused_seals_nothing_of_it(store: Any) -> None:
    run = make_run()
    await store.commit([creation(run, audit=(audit(run_id=run.id),))])
    lost = step(replace(run, attempt=7), audit=(audit(run_id=run.id),))
    (outcome,) = await store.commit([lost])
    assert not outcome.applied
    assert await seal_all(store) == [1, 0]
    assert await verified(store) == []


async def test_a_sealer_says_when_to_look_again(store: Any) -> None:
    settings = SealerSettings(batch=2)
    ours, theirs = Sealer(store, "a", settings), Sealer(store, "b", settings)
    await append(store, {}, {}, {})
    reports = [await sealer.run_once() for sealer in (ours, theirs, ours, ours)]
    assert [(report.held, report.sealed, report.pause) for report in reports] == [
        (True, 2, timedelta(0)),
        (False, 0, settings.standby),
        (True, 1, settings.pause),
        (True, 0, settings.pause),
    ]
    await append(store, {})
    await theirs.stop()
    assert (await store.chain_end()).unsealed == 1
    await ours.stop()  # seals what is left and gives the chain back
    assert (await store.chain_end()).unsealed == 0
    assert (await theirs.run_once()).held
    assert not (await ours.run_once()).held


SEALER = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from tests.contract.conftest import open_store
from tests.contract.builders import audit

async def main():
    address = sys.argv[1] if sys.argv[1].startswith("postgres") else Path(sys.argv[1])
    store = open_store(address, **({} if isinstance(address, str) else {"exclusive": False}))
    await store.start()
    number = 0
    while True:
        number += 1
        await store.append_audit([audit(id=f"aud_child_{sys.argv[2]}_{number}")])
        if await store.seal("child", timedelta(seconds=1), limit=3):
            print("sealed", flush=True)

asyncio.run(main())
"""


async def test_a_holder_that_is_killed_leaves_the_chain_to_another_within_its_lease(
    address: Any, store: Any
) -> None:
    if isinstance(address, Path):
        await store.stop()
        store = open_store(address, exclusive=False)
        await store.start()
    for turn in range(2):
        await store.free_sealer("other")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SEALER, str(address), str(turn), cwd=ROOT, stdout=-1
        )
        assert child.stdout is not None
        for _ in range(5 + turn):
            assert await child.stdout.readline() == b"sealed\n"
        assert await store.seal("other", LEASE, limit=1000) is None
        child.kill()
        await child.wait()
        killed = asyncio.get_running_loop().time()

        async def taken_over() -> bool:
            return await store.seal("other", LEASE, limit=1000) is not None

        await until(taken_over)
        assert asyncio.get_running_loop().time() - killed < 3  # 1 s, and a slow machine
    await append(store, {"id": new_id("aud_last")})
    await seal_all(store, "other")
    seals = await store.load_seals(0, 10_000)
    assert [seal.number for seal in seals] == list(range(1, len(seals) + 1))
    assert len({seal.audit_id for seal in seals}) == len(seals) > 10
    assert await verified(store) == []
    if isinstance(address, Path):
        await store.stop()


def test_a_link_depends_on_all_its_parts() -> None:
    base = link(GENESIS, 1, GENESIS)
    assert (
        len({base, link(base, 1, GENESIS), link(GENESIS, 2, GENESIS), link(GENESIS, 1, base)}) == 4
    )


async def test_a_store_that_stops_writes_the_records_that_wait(address, query: Query) -> None:
    store = open_store(address)
    await store.start()
    waiting = [asyncio.create_task(store.append_audit([audit(id=f"a{n}")])) for n in range(2)]
    await asyncio.sleep(0)
    await store.stop()
    await asyncio.gather(*waiting)
    assert sorted(await query("select id from audit_events")) == [("a0",), ("a1",)]


async def test_no_more_records_wait_for_a_database_than_there_is_room_for() -> None:
    gate, written = asyncio.Event(), []

    async def write(records: Any) -> None:
        await gate.wait()
        written.extend(record.id for record in records)

    appending = Appending(write, waiting_max=2)
    taken = []
    for name in ("under way", "first", "second"):
        taken.append(asyncio.create_task(appending.add([audit(id=name)])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await appending.add([audit(id="third")])
    gate.set()
    await asyncio.gather(*taken)
    assert written == ["under way", "first", "second"]
