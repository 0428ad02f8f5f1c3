"""What every store reads: lists, pages, totals and folded states."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.domain.run import RunError, RunStatus
from kneo_grpc.ports.store import (
    CHECKPOINT_SORT_KEYS,
    EVENT_SORT_KEYS,
    HUMAN_TASK_SORT_KEYS,
    RUN_SORT_KEYS,
    HumanTaskFilter,
    PageRequest,
    RunFilter,
    Store,
)
from tests.contract.builders import (
    NOW,
    act,
    add_states,
    audit,
    checkpoint,
    create,
    creation,
    event,
    human_task,
    make_run,
    request,
    settlement,
    step,
    summary,
)
from tests.contract.conftest import Query


def ordered(items, key, *, descending: bool):
    """The order that the port promises: ties by id, nulls last, in descending order first."""

    def place(item):
        value = key(item)
        return (value is None, value if value is not None else 0, item.id)

    return sorted(items, key=place, reverse=descending)


@pytest.fixture
async def runs(store: Store):
    """Twelve runs with equal, differing and absent values, and instants across slots."""
    made = []
    for number in range(12):
        made.append(
            make_run(
                status=[RunStatus.RUNNING, RunStatus.FAILED, RunStatus.BLOCKED][number % 3],
                workflow_name=[None, "alpha", "Beta", "beta"][number % 4],
                workflow_kind=["graph", "sequential"][number % 2],
                session_id=[None, "s1", "s2"][number % 3],
                environment=[None, "prod", "dev"][number % 3],
                source={"spec": {"large": "x" * 1000}},
                output_text=[None, "Straße ÄHNLICH 100%", "plain_text"][number % 3],
                error=RunError(type="E", message="Kaputt") if number % 3 == 1 else None,
                created_at=NOW + timedelta(seconds=number // 2),
                updated_at=NOW + timedelta(seconds=(number * 7) % 40, microseconds=number),
            )
        )
    await store.commit([creation(run) for run in made])
    return made


@pytest.mark.parametrize("key", sorted(RUN_SORT_KEYS))
@pytest.mark.parametrize("descending", [False, True])
async def test_runs_are_sorted(store: Store, runs, key: str, descending: bool) -> None:
    page = PageRequest(sort_by=key, descending=descending)
    listed = await store.list_runs(RunFilter(), page)
    wanted = ordered(runs, lambda run: getattr(run, key), descending=descending)
    assert [run.id for run in listed.items] == [run.id for run in wanted]
    assert sorted(listed.items, key=lambda run: run.id) == [summary(run) for run in runs]


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (RunFilter(status=RunStatus.FAILED), lambda run: run.status is RunStatus.FAILED),
        (RunFilter(workflow_kind="graph"), lambda run: run.workflow_kind == "graph"),
        (RunFilter(workflow_name="beta"), lambda run: run.workflow_name == "beta"),
        (RunFilter(session_id="s2"), lambda run: run.session_id == "s2"),
        (RunFilter(environment="prod"), lambda run: run.environment == "prod"),
        (
            RunFilter(environment="prod", or_unnamed=True, workflow_kind="graph"),
            lambda run: run.environment in ("prod", None) and run.workflow_kind == "graph",
        ),
        (RunFilter(has_error=True), lambda run: run.error is not None),
        (RunFilter(has_error=False), lambda run: run.error is None),
        (
            RunFilter(created_after=NOW + timedelta(seconds=2)),
            lambda run: run.created_at > NOW + timedelta(seconds=2),
        ),
        (
            RunFilter(created_before=NOW + timedelta(seconds=2)),
            lambda run: run.created_at < NOW + timedelta(seconds=2),
        ),
        (RunFilter(text="ähnlich"), lambda run: run.output_text and "ÄHN" in run.output_text),
        (RunFilter(text="kAPUTT"), lambda run: run.error is not None),
        (RunFilter(text="100%"), lambda run: run.output_text and "%" in run.output_text),
        (RunFilter(text="n_t"), lambda run: run.output_text == "plain_text"),
        (RunFilter(text="' or true --"), lambda run: False),
        (
            RunFilter(status=RunStatus.FAILED, workflow_kind="graph", session_id="s1", text="a"),
            lambda run: run.status is RunStatus.FAILED and run.workflow_kind == "graph",
        ),
    ],
)
async def test_runs_are_filtered(store: Store, runs, where: RunFilter, wanted) -> None:
    listed = await store.list_runs(where, PageRequest(sort_by="id"))
    expected = [summary(run) for run in runs if wanted(run)]
    assert list(listed.items) == expected
    assert listed.total == len(expected)


async def test_pages_join_to_the_whole_list(store: Store, runs) -> None:
    pages = [
        await store.list_runs(
            RunFilter(), PageRequest(sort_by="updated_at", descending=True, limit=5, offset=offset)
        )
        for offset in (0, 5, 10, 15)
    ]
    assert [page.total for page in pages] == [12] * 4
    joined = [run.id for page in pages for run in page.items]
    newest = sorted(runs, key=lambda run: run.updated_at, reverse=True)
    assert joined == [run.id for run in newest]


async def test_a_total_is_counted_to_ten_thousand(store: Store, query: Query) -> None:
    run = make_run()
    await store.commit([creation(run)])
    for _ in range(3):
        await store.commit([step(run, events=tuple(event() for _ in range(3_350)))])
    page = await store.list_events(run.id, None, PageRequest(sort_by="sequence", limit=1))
    assert page.total == 10_000
    assert await query("select count(*) from events") == [(10_050,)]


@pytest.mark.parametrize("key", sorted(EVENT_SORT_KEYS))
@pytest.mark.parametrize("descending", [False, True])
async def test_events_are_sorted_and_filtered(store: Store, key: str, descending: bool) -> None:
    run, other = make_run(), make_run()
    events = tuple(
        event(["b", "a", "c"][n % 3], timestamp=NOW - timedelta(seconds=n // 2)) for n in range(9)
    )
    await store.commit([creation(run, events=events), creation(other, events=(event("a"),))])
    stored = [replace(item, sequence=n) for n, item in enumerate(events, start=1)]
    page = PageRequest(sort_by=key, descending=descending)
    wanted = ordered(stored, lambda item: getattr(item, key), descending=descending)
    assert list((await store.list_events(run.id, None, page)).items) == wanted
    only = await store.list_events(run.id, "a", replace(page, limit=2, offset=1))
    assert list(only.items) == [item for item in wanted if item.type == "a"][1:3]
    assert only.total == 3


@pytest.mark.parametrize("key", sorted(CHECKPOINT_SORT_KEYS))
@pytest.mark.parametrize("descending", [False, True])
async def test_checkpoints_are_sorted_each_with_its_state(
    store: Store, key: str, descending: bool
) -> None:
    run = await create(store)
    kinds = itertools.cycle(["b", "a", "c"])
    points = tuple(
        checkpoint({"n": n}, type=next(kinds), created_at=NOW - timedelta(seconds=n // 2))
        for n in range(150)
    )
    await store.commit([step(run, checkpoints=points)])
    stored = [replace(item, sequence=n) for n, item in enumerate(points, start=1)]
    wanted = ordered(stored, lambda item: getattr(item, key), descending=descending)
    page = PageRequest(sort_by=key, descending=descending)
    assert list((await store.list_checkpoints(run.id, None, page)).items) == wanted[:100]
    only = await store.list_checkpoints(run.id, "a", replace(page, limit=7, offset=30))
    assert list(only.items) == [item for item in wanted if item.type == "a"][30:37]
    assert only.total == 50
    bare = await store.list_checkpoints(run.id, None, page, states=False)
    assert list(bare.items) == [replace(item, state={}) for item in wanted[:100]]


@pytest.mark.parametrize("key", sorted(HUMAN_TASK_SORT_KEYS))
@pytest.mark.parametrize("descending", [False, True])
async def test_pending_tasks_are_sorted(store: Store, key: str, descending: bool) -> None:
    runs = [make_run(status=RunStatus.BLOCKED) for _ in range(2)]
    tasks = [
        human_task(
            runs[n % 2].id,
            created_at=NOW - timedelta(seconds=n // 2),
            expires_at=None if n % 3 == 0 else NOW + timedelta(seconds=n % 4),
        )
        for n in range(9)
    ]
    for run in runs:
        await store.commit(
            [creation(run, open_tasks=tuple(t for t in tasks if t.run_id == run.id))]
        )
    done = tasks.pop()
    settled = act(runs[0], RunStatus.BLOCKED, settle=(settlement(done),))
    assert (await store.commit([settled]))[0].applied
    page = PageRequest(sort_by=key, descending=descending)
    wanted = ordered(tasks, lambda item: getattr(item, key), descending=descending)
    assert list((await store.list_human_tasks(HumanTaskFilter(), page)).items) == wanted


async def test_checkpoints_that_go_while_they_are_listed_are_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await add_states(store, await create(store), [{"n": 1}, {"n": 2}])
    fetch = store._fetch

    async def pruned(sql: str, *arguments: object) -> object:
        if "patch, snapshot" in sql:  # the states, which are read after the rows
            return []
        return await fetch(sql, *arguments)

    monkeypatch.setattr(store, "_fetch", pruned)
    page = PageRequest(sort_by="sequence")
    assert (await store.list_checkpoints(run.id, None, page)).items == ()


async def test_pending_tasks_are_filtered(store: Store) -> None:
    runs = [make_run(status=RunStatus.BLOCKED) for _ in range(2)]
    graph = human_task(runs[0].id, workflow_kind="graph")
    other = human_task(runs[1].id)
    await store.commit([creation(runs[0], open_tasks=(graph,))])
    await store.commit([creation(runs[1], open_tasks=(other,))])
    page = PageRequest(sort_by="id")
    by_run = await store.list_human_tasks(HumanTaskFilter(run_id=runs[1].id), page)
    by_kind = await store.list_human_tasks(HumanTaskFilter(workflow_kind="graph"), page)
    assert (by_run.items, by_kind.items) == ((other,), (graph,))
    passed_on = replace(other, escalated_at=NOW)
    assert (await store.commit([act(runs[1], RunStatus.BLOCKED, restate=(passed_on,))]))[0].applied
    escalated = await store.list_human_tasks(HumanTaskFilter(escalated=True), page)
    waiting = await store.list_human_tasks(HumanTaskFilter(escalated=False), page)
    assert (escalated.items, waiting.items) == ((passed_on,), (graph,))


async def test_characters_that_no_column_holds_harm_no_list(store: Store) -> None:
    """PostgreSQL's json holds them, and refuses to look into what holds them."""
    run = make_run(status=RunStatus.BLOCKED)
    odd = human_task(run.id, current_input="a\0b", request=request(context={"x": "\0\ud800"}))
    (outcome,) = await store.commit([creation(run, open_tasks=(odd,))])
    assert outcome.applied
    page = PageRequest(sort_by="id")
    for escalated, wanted in ((None, (odd,)), (False, (odd,)), (True, ())):
        found = await store.list_human_tasks(HumanTaskFilter(escalated=escalated), page)
        assert found.items == wanted


def history(length: int) -> list[dict]:
    """States as an engine makes them: a growing list, a counter, keys that come and go."""
    states = []
    state: dict = {"messages": [], "variables": {}}
    for turn in range(length):
        variables = {**state["variables"], f"v{turn % 5}": turn}
        if turn % 7 == 0:
            variables.pop("v3", None)
        state = {
            "messages": [*state["messages"], {"role": "user", "text": f"turn {turn}"}],
            "variables": variables,
            "cursor": {"step": turn, "path": ["a", str(turn % 3)]},
        }
        if turn % 50 == 0:
            state["messages"] = state["messages"][-3:]
        states.append(state)
    return states


async def test_two_hundred_checkpoints_fold_to_the_states_that_were_given(store: Store) -> None:
    run = await create(store)
    states = history(200)
    await add_states(store, run, states)
    loaded = await store.load_state(run.id)
    assert (loaded.checkpoint_sequence, loaded.state) == (200, states[-1])
    page = PageRequest(sort_by="sequence", limit=1000)
    listed = await store.list_checkpoints(run.id, None, page)
    assert [point.state for point in listed.items] == states


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 129])
async def test_a_state_is_read_around_a_snapshot(store: Store, length: int) -> None:
    run = await create(store)
    states = history(length)
    points = tuple(checkpoint(state) for state in states)
    await store.commit([step(run, checkpoints=points)])
    loaded = await store.load_state(run.id)
    assert (loaded.checkpoint_sequence, loaded.state) == (length, states[-1])


async def test_a_state_is_read_from_at_most_64_rows(store: Store, monkeypatch) -> None:
    run = await create(store)
    await store.commit([step(run, checkpoints=tuple(checkpoint(s) for s in history(200)))])
    fetched: list[int] = []
    fetch = store._fetch

    async def count(sql: str, *arguments):
        rows = await fetch(sql, *arguments)
        fetched.append(len(rows))
        return rows

    monkeypatch.setattr(store, "_fetch", count)
    await store.load_state(run.id)
    assert fetched == [8]
    fetched.clear()
    page = PageRequest(sort_by="sequence", limit=1, offset=191)
    await store.list_checkpoints(run.id, None, page)
    assert max(fetched) == 64


async def test_every_64th_checkpoint_is_whole_and_the_others_are_small(
    store: Store, query: Query
) -> None:
    run = await create(store)
    await add_states(store, run, history(130))
    rows = await query("select sequence from checkpoints where snapshot is not null order by 1")
    assert rows == [(1,), (65,), (129,)]
    ((longest,),) = await query(
        "select max(length(cast(patch as text))) from checkpoints where patch is not null"
        " and sequence not in (51, 101)"
    )
    assert longest < 400


async def test_check_reads(store: Store) -> None:
    await store.check()


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.load_run("\ud800"),
        lambda store: store.list_runs(RunFilter(), PageRequest(sort_by="id", offset=2**70)),
        lambda store: store.postpone("\ud800", ["run"], timedelta(0)),
        lambda store: store.append_audit([audit(actor="\ud800")]),
    ],
    ids=["text", "number", "queue", "audit"],
)
async def test_values_that_no_database_holds_are_the_caller_s_fault(store: Store, call) -> None:
    with pytest.raises(InvalidInput):
        await call(store)
    await store.check()
