import asyncio

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2, run_pb2
from tests.service import create, data, failure, human_spec

Code = grpc.StatusCode


async def pause(service, **human):
    paused = await service.runs.CreateRun(create(spec=human_spec(**human)))
    assert paused.status == "blocked"
    return paused.run_id, paused.continuation_id, data(paused)["metadata"]["request"]["id"]


def resume(service, task, request, decision="approved", metadata=None, **fields):
    return service.tasks.ResumeHumanTask(
        human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=task, request_id=request, decision=decision, **fields
        ),
        metadata=metadata,
    )


@pytest.mark.parametrize(
    ("kind", "decision", "fields", "output"),
    [
        ("approval", "approved", {}, "Final answer: hi"),
        ("review", "edited", {"content": "E"}, "Final answer: E"),
        ("approval", "rejected", {"content": "no"}, "Final answer: Rejected by human reviewer: no"),
        ("freeform", "provided", {"content": "P"}, "Final answer: P"),
        ("correction", "edited", {"content": "C"}, "Final answer: C"),
    ],
)
async def test_each_decision_hands_its_text_on(service, kind, decision, fields, output) -> None:
    _, task, request = await pause(service, request_type=kind)
    answer = await resume(service, task, request, decision, **fields)
    assert (answer.status, answer.output_text) == ("completed", output)


async def test_a_selection_must_be_one_of_the_options(service) -> None:
    _, task, request = await pause(service, request_type="selection", options=["red", "blue"])
    for wrong in ({}, {"selected_option": "green"}):
        _, error = await failure(resume(service, task, request, "selected", **wrong))
        assert (error["error"], error["fields"][0]["field"]) == (
            "validation_error",
            "selected_option",
        )
    answer = await resume(service, task, request, "selected", selected_option="blue")
    assert answer.output_text == "Final answer: blue"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"decision": "maybe"}, "decision"),
        ({"decision": ""}, "decision"),
        ({"decision": "edited"}, "content"),
        ({"decision": "provided", "content": "P"}, "decision"),
        ({"decision": "selected", "selected_option": "x"}, "decision"),
        ({"decision": "approved", "selected_option": "x"}, "selected_option"),
        ({"decision": "edited", "content": "x" * 20_001}, "content"),
    ],
)
async def test_a_wrong_decision_is_refused_and_the_task_waits_on(service, fields, wrong) -> None:
    _, task, request = await pause(service)
    _, error = await failure(resume(service, task, request, **fields))
    assert (error["error"], error["http"]) == ("validation_error", 422)
    assert [item["field"] for item in error["fields"]] == [wrong]
    assert (await resume(service, task, request)).status == "completed"


async def test_a_decision_on_another_request_is_refused(service) -> None:
    _, task, _ = await pause(service)
    _, error = await failure(resume(service, task, "req_other"))
    assert error["fields"][0]["field"] == "request_id"


async def test_of_sixty_four_decisions_at_once_one_is_taken(service) -> None:
    run_id, task, request = await pause(service)
    calls = [resume(service, task, request) for _ in range(64)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    taken = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert [answer.status for answer in taken] == ["completed"]
    for answer in answers:
        if isinstance(answer, BaseException):
            assert answer.code() in (Code.ABORTED, Code.FAILED_PRECONDITION)
    marks = await service.runs.ListCheckpoints(run_pb2.ListCheckpointsRequest(run_id=run_id))
    assert [c.type for c in marks.checkpoints].count("human_resume") == 1


async def test_a_second_decision_comes_too_late(service) -> None:
    _, task, request = await pause(service)
    await resume(service, task, request)
    code, error = await failure(resume(service, task, request))
    assert (code, error["error"], error["status"]) == (
        Code.FAILED_PRECONDITION,
        "run_state_conflict",
        "completed",
    )


async def test_a_repeat_with_the_key_is_replayed_and_another_body_is_a_conflict(service) -> None:
    _, task, request = await pause(service)
    key = (("idempotency-key", "decide-1"),)
    first = await resume(service, task, request, metadata=key)
    assert await resume(service, task, request, metadata=key) == first
    _, error = await failure(
        resume(service, task, request, "edited", metadata=key, content="other")
    )
    assert (error["error"], error["scope"], error["http"]) == (
        "idempotency_key_conflict",
        "human:resume",
        409,
    )


async def test_a_key_that_is_too_long_is_refused(service) -> None:
    _, task, request = await pause(service)
    _, error = await failure(
        resume(service, task, request, metadata=(("idempotency-key", "k" * 257),))
    )
    assert (error["error"], error["http"]) == ("invalid_idempotency_key", 400)


async def test_a_task_shows_its_question_and_deadline(service) -> None:
    run_id, task, request = await pause(service, timeout_seconds=60, assignee="ann@example.com")
    found = await service.tasks.GetHumanTask(
        human_task_pb2.GetHumanTaskRequest(continuation_id=task)
    )
    assert (found.run_id, found.status, found.request.id) == (run_id, "pending", request)
    assert found.request.assignee == "ann@example.com"
    assert found.expires_at == pytest.approx(found.created_at.ToMicroseconds() / 1e6 + 60)
    assert found.expires_time.ToMicroseconds() / 1e6 == pytest.approx(found.expires_at)
    listed = await service.tasks.ListHumanTasks(human_task_pb2.ListHumanTasksRequest(run_id=run_id))
    assert [item.id for item in listed.tasks] == [task]


async def test_a_decision_without_the_questions_id_is_told_where_that_stands(service) -> None:
    blocked = await service.runs.CreateRun(create(spec=human_spec()))
    request = human_task_pb2.ResumeHumanTaskRequest(
        continuation_id=blocked.continuation_id, decision="approved"
    )
    _, error = await failure(service.tasks.ResumeHumanTask(request))
    assert error["http"] == 422
    assert error["fields"] == [
        {
            "field": "request_id",
            "message": "is required: the task shows it as pending_human_request_id",
        }
    ]
