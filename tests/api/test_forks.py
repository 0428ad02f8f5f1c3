"""Runs that start where others stood."""

from dataclasses import replace
from datetime import timedelta

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import audit_pb2, human_task_pb2, run_pb2
from kneo_grpc.platform.retention import RetentionSettings
from kneo_grpc.ports.upkeep import Kept
from tests.api.test_kinds import edge, part, resume, run, stored
from tests.service import create, data, failure, function_spec, human_spec, open_service


def fork(service, run_id, metadata=None, **fields):
    request = run_pb2.ForkRunRequest(run_id=run_id, **fields)
    return service.runs.ForkRun(request, metadata=metadata)


async def checkpoints(service, run_id):
    request = run_pb2.ListCheckpointsRequest(run_id=run_id, limit=1000)
    return (await service.runs.ListCheckpoints(request)).checkpoints


async def number(service, run_id, kind, step=None):
    """The number of the first checkpoint of a type (and step)."""
    return next(
        item.sequence
        for item in await checkpoints(service, run_id)
        if item.type == kind and step in (None, item.step_id or item.node_id)
    )


async def test_a_fork_repeats_no_step_that_had_ended(service, code) -> None:
    first = await service.runs.CreateRun(create(spec=function_spec("note", "broken", "number")))
    assert first.status == "failed"
    code.broken = lambda text: text + "?"
    second = await fork(service, first.run_id)
    assert (second.status, second.output_text) == ("completed", "42")
    assert [path for path, _, _ in code.CALLS] == ["note#1"]
    new, old = [await stored(service, item.run_id) for item in (second, first)]
    assert (new["parent_run_id"], new["input_text"], new["visited_steps"]) == (
        first.run_id,
        "hi",
        ["note", "broken", "number"],
    )
    assert (old["status"], "parent_run_id" in old) == ("failed", False)
    begun, *_ = await checkpoints(service, second.run_id)
    assert begun.type == "run_started"
    assert dict(begun.metadata) == {"forked_from": first.run_id, "checkpoint": 4.0}


async def test_a_completed_run_is_forked_before_its_last_step(service, code) -> None:
    first = await service.runs.CreateRun(create(spec=function_spec("note", "number")))
    assert first.output_text == "42"
    second = await fork(service, first.run_id)
    assert (second.status, second.output_text) == ("completed", "42")
    assert len(code.CALLS) == 1


async def test_the_open_step_is_given_another_text(service, code) -> None:
    spec = function_spec("note", "spills")
    first = await service.runs.CreateRun(create(spec=spec))
    code.spills = str.upper
    begin = await number(service, first.run_id, "step_completed", "note")
    second = await fork(service, first.run_id, checkpoint_sequence=begin, input="anew")
    assert (second.status, second.output_text) == ("completed", "ANEW")
    empty = await fork(service, first.run_id, checkpoint_sequence=begin, input="")
    assert (empty.status, empty.output_text) == ("completed", "")


async def test_a_fork_at_the_first_checkpoint_begins_anew(service, code) -> None:
    first = await service.runs.CreateRun(create(spec=function_spec("note", "number")))
    second = await fork(service, first.run_id, checkpoint_sequence=1, input="new")
    assert second.status == "completed"
    assert [path for path, _, _ in code.CALLS] == ["note#1", "note#1"]
    assert len({key for _, key, _ in code.CALLS}) == 2


async def test_a_person_is_asked_again_in_the_fork_and_the_first_question_stays(service) -> None:
    first = await service.runs.CreateRun(create(spec=human_spec()))
    second = await fork(service, first.run_id, input="B")
    assert (first.status, second.status) == ("blocked", "blocked")
    assert first.continuation_id != second.continuation_id
    tasks = await service.tasks.ListHumanTasks(human_task_pb2.ListHumanTasksRequest())
    assert {task.id for task in tasks.tasks} == {first.continuation_id, second.continuation_id}
    done = await resume(service, await stored(service, second.run_id), second.continuation_id)
    assert (done.status, done.output_text) == ("completed", "Final answer: B")
    assert (await stored(service, first.run_id))["status"] == "blocked"


FLOW = {
    "type": "graph",
    "start": "a",
    "nodes": {
        "a": part("a", fan_out=True),
        "b": part("b"),
        "c": part("c", "human", ref="boss"),
        "e": part("e", "human", ref="boss"),
        "d": part("d", join="all"),
    },
    "edges": [edge("a", "b"), edge("a", "c"), edge("b", "e"), edge("e", "d"), edge("c", "d")],
}


async def test_a_checkpoint_amid_a_decision_counts_as_its_last_one(service, code) -> None:
    first = data(await run(service, FLOW))
    # b has ended, and what follows it, the question e, is open one checkpoint later only.
    amid = await number(service, first["run_id"], "node_completed", "b")
    second = await fork(service, first["run_id"], checkpoint_sequence=amid)
    assert second.status == "blocked"
    assert len(second.continuation_ids) == 2
    kept = await stored(service, second.run_id)
    for task in kept["continuation_ids"]:
        done = await resume(service, kept, task)
    assert (done.status, done.output_text) == ("completed", "hi..\n\nhi..")
    assert [path for path, _, _ in code.CALLS] == ["a#1", "b#1", "d#1"]


async def test_a_nested_workflow_goes_on_inside(service, code) -> None:
    inner = {"type": "sequential", "name": "inner", "steps": [part("x"), part("y", ref="broken")]}
    outer = {"type": "sequential", "steps": [part("in", "workflow", ref="inner"), part("z")]}
    first = await run(service, outer, workflows={"inner": inner})
    assert first.status == "failed"
    code.broken = lambda text: text + "?"
    second = await fork(service, first.run_id, input="Y")
    assert (second.status, second.output_text) == ("completed", "Y?.")
    assert [path for path, _, _ in code.CALLS] == ["in#1/x#1", "z#1"]


async def test_a_cancelled_run_is_forked_where_it_was(service) -> None:
    first = await service.runs.CreateRun(create(spec=human_spec()))
    await service.runs.CancelRun(run_pb2.CancelRunRequest(run_id=first.run_id))
    second = await fork(service, first.run_id)
    assert second.status == "blocked"
    _, error = await failure(
        service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=first.run_id))
    )
    assert error["error"] == "run_state_conflict"


async def test_what_cannot_be_forked_says_why(service) -> None:
    code, error = await failure(fork(service, "run_x"))
    assert (code, error["error"], error["http"]) == (
        grpc.StatusCode.NOT_FOUND,
        "not_found",
        404,
    )
    done = await service.runs.CreateRun(create(spec=function_spec("note")))
    last = len(await checkpoints(service, done.run_id))
    for unknown in (last + 1, 2**31 - 1):
        _, error = await failure(fork(service, done.run_id, checkpoint_sequence=unknown))
        assert (error["error"], error["http"]) == ("not_found", 404)
    _, error = await failure(fork(service, done.run_id, checkpoint_sequence=last))
    assert (error["error"], error["http"]) == ("run_state_conflict", 409)
    for bad in (0, -1):
        _, error = await failure(fork(service, done.run_id, checkpoint_sequence=bad))
        assert (error["error"], error["fields"][0]["field"]) == (
            "validation_error",
            "checkpoint_sequence",
        )
    _, error = await failure(fork(service, done.run_id, input="x" * 20_001))
    assert error["fields"][0]["field"] == "input"


async def test_a_queued_run_that_has_not_begun_cannot_be_forked(settings, code, tmp_path) -> None:
    async for idle in open_service(settings, tmp_path, works=False):
        waits = await idle.runs.CreateRun(create(spec=function_spec("note"), async_mode=True))
        _, error = await failure(fork(idle, waits.run_id))
        assert (error["error"], error["http"]) == ("run_state_conflict", 409)
        for sequence in (1, 7):
            _, error = await failure(fork(idle, waits.run_id, checkpoint_sequence=sequence))
            assert (error["error"], error["http"]) == ("not_found", 404)


async def test_a_run_whose_checkpoints_were_removed_cannot_be_forked(
    settings, code, tmp_path
) -> None:
    ages = RetentionSettings(ages={Kept.CHECKPOINTS: timedelta(microseconds=1)})
    settings = replace(settings, retention=ages)
    async for kept in open_service(settings, tmp_path):
        done = await kept.runs.CreateRun(create(spec=function_spec("note", "broken")))
        report = await kept.platform.retention.run_once()
        assert report.removed[Kept.CHECKPOINTS] > 0
        for fields in ({}, {"checkpoint_sequence": 1}):
            _, error = await failure(fork(kept, done.run_id, **fields))
            assert (error["error"], error["http"]) == ("run_state_conflict", 409)
            assert "removed" in error["message"]


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request) -> str:
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else ""


async def test_a_worker_takes_a_queued_fork(database_url, settings, code, tmp_path) -> None:
    settings = replace(settings, database_url=database_url)
    async for service in open_service(settings, tmp_path):
        spec = function_spec("note", "broken")
        first = await service.runs.CreateRun(create(spec=spec, timeout_seconds=60))
        code.broken = lambda text: text + "?"
        second = await fork(service, first.run_id, async_mode=True)
        assert second.status == "queued"
        platform = service.platform
        for _ in range(500):
            found = await stored(service, second.run_id)
            if found["status"] == "completed":
                break
            await platform.clock.sleep(timedelta(milliseconds=20))
        assert (found["status"], found["output_text"]) == ("completed", "hi.?")
        assert found["parent_run_id"] == first.run_id
        listed = await service.runs.ListRuns(run_pb2.ListRunsRequest())
        parents = {item.run_id: item.parent_run_id for item in listed.runs}
        assert parents == {first.run_id: "", second.run_id: first.run_id}
        assert found["deadline_at"] > (await stored(service, first.run_id))["deadline_at"]
        assert [path for path, _, _ in code.CALLS] == ["note#1"]


async def test_a_repeat_with_the_key_forks_once_and_the_act_is_recorded(guarded, code) -> None:
    who = (("authorization", "Bearer operator-key"),)
    first = await guarded.runs.CreateRun(create(spec=function_spec("note", "number")), metadata=who)
    keyed = (*who, ("idempotency-key", "k"))
    answers = [await fork(guarded, first.run_id, metadata=keyed) for _ in range(2)]
    assert answers[0] == answers[1]
    _, error = await failure(fork(guarded, first.run_id, metadata=keyed, input="other"))
    assert error["error"] == "idempotency_key_conflict"
    listed = await guarded.runs.ListRuns(run_pb2.ListRunsRequest(), metadata=who)
    assert len(listed.runs) == 2
    request = audit_pb2.ListAuditEventsRequest(event_type="run.forked")
    (event,) = (await guarded.audit.ListAuditEvents(request, metadata=who)).events
    assert (event.actor, event.run_id) == ("operator", answers[0].run_id)
    assert dict(event.metadata) == {
        "source_run_id": first.run_id,
        "checkpoint_sequence": 2.0,
        "has_input": False,
        "async_mode": False,
    }
