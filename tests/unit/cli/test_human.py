"""kneo human."""

import json

import pytest

from kneo_grpc.domain.errors import ResourceLocked

TASK = {
    "id": "cont_1",
    "continuation_id": "cont_1",
    "run_id": "run_1",
    "status": "pending",
    "pending_human_request_id": "req_1",
    "pending_human_request": {
        "id": "req_1",
        "type": "approval",
        "prompt": "Publish it?",
        "assignee": "someone",
        "context": {"input_text": "hello"},
        "options": ["now", "later"],
    },
}
COMPLETED = {"run_id": "run_1", "status": "completed", "output_text": "done"}


def test_the_list_shows_who_is_asked_what(kneo, backend):
    backend.answers["list_human_tasks"] = {"tasks": [TASK], "count": 1, "total": 1}
    result = kneo("human", "list", "--run-id", "run_1")
    assert result.exit_code == 0
    for part in ("cont_1", "run_1", "Publish it?", "someone"):
        assert part in result.stdout
    query = {"limit": 100, "offset": 0, "run_id": "run_1"}
    assert backend.calls == [("list_human_tasks", (query,))]


def test_an_empty_list_says_so(kneo, backend):
    backend.answers["list_human_tasks"] = {"tasks": [], "count": 0, "total": 0}
    assert kneo("human", "list").stdout == "No tasks.\n"


def test_a_task_is_shown_with_its_context_and_options(kneo, backend):
    backend.answers["get_human_task"] = TASK
    result = kneo("human", "get", "cont_1")
    for part in ("req_1", "Publish it?", '{"input_text": "hello"}', "now, later"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("words", "method", "answer"),
    [
        (("list",), "list_human_tasks", {"tasks": [TASK]}),
        (("get", "cont_1"), "get_human_task", TASK),
        (
            ("resume", "cont_1", "--request-id", "req_1", "--approve"),
            "resume_human_task",
            COMPLETED,
        ),
    ],
)
def test_json_is_the_answer_as_it_came(kneo, backend, words, method, answer):
    backend.answers[method] = answer
    result = kneo("human", *words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == answer


@pytest.mark.parametrize(
    ("words", "decision"),
    [
        (("--approve",), {"decision": "approved"}),
        (("--approve", "--content", "ok"), {"decision": "approved", "content": "ok"}),
        (("--reject", "--content", ""), {"decision": "rejected", "content": ""}),
        (("--edit", "E"), {"decision": "edited", "content": "E"}),
        (("--select", "b"), {"decision": "selected", "selected_option": "b"}),
        (
            ("--select", "b", "--content", "why"),
            {"decision": "selected", "selected_option": "b", "content": "why"},
        ),
        (("--provide", ""), {"decision": "provided", "content": ""}),
    ],
)
def test_each_answer_becomes_its_decision(kneo, backend, words, decision):
    backend.answers["resume_human_task"] = COMPLETED
    result = kneo("human", "resume", "cont_1", "--request-id", "req_9", *words)
    assert (result.exit_code, result.stdout) == (0, "done\n")
    assert backend.calls == [("resume_human_task", ("cont_1", {"request_id": "req_9", **decision}))]


@pytest.mark.parametrize(
    "task",
    [TASK, {"continuation_id": "cont_1", "request": {"id": "req_1"}}],
    ids=["full", "0.4.0"],
)
def test_the_pending_question_is_answered_when_none_is_named(kneo, backend, task):
    backend.answers.update(get_human_task=task, resume_human_task=COMPLETED)
    assert kneo("human", "resume", "cont_1", "--approve").exit_code == 0
    assert backend.calls == [
        ("get_human_task", ("cont_1",)),
        ("resume_human_task", ("cont_1", {"request_id": "req_1", "decision": "approved"})),
    ]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--approve", "--reject"),
        ("--edit", "a", "--provide", "b"),
        ("--edit", "a", "--content", "b"),
        ("--content", "b"),
    ],
)
def test_anything_but_one_answer_is_wrong_usage(kneo, backend, words):
    assert kneo("human", "resume", "cont_1", *words).exit_code == 2
    assert backend.calls == []


def test_a_run_that_fails_after_the_answer_exits_with_1(kneo, backend):
    backend.answers["resume_human_task"] = {"run_id": "run_1", "status": "failed"}
    result = kneo("human", "resume", "cont_1", "--request-id", "req_1", "--approve")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: run_1 failed")


def test_a_task_that_another_call_decides_is_told(kneo, backend):
    backend.answers["resume_human_task"] = ResourceLocked("held", resource="cont_1")
    result = kneo("human", "resume", "cont_1", "--request-id", "req_1", "--approve")
    assert (result.exit_code, result.stderr) == (1, "error: held (resource_locked)\n")
