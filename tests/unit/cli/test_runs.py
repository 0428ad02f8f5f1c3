"""kneo runs."""

import json

import pytest

from kneo_grpc.domain.errors import NotFound

RUN = {
    "id": "run_1",
    "run_id": "run_1",
    "status": "failed",
    "workflow_name": "wf",
    "workflow_kind": "sequential",
    "input_text": "hello [b]there[/b]",
    "visited_steps": ["draft", "check"],
    "error": {"type": "ValueError", "message": "bad step"},
    "updated_at": "2026-01-01T00:00:00Z",
}
PAGES = {
    "list_runs": {"runs": [RUN], "count": 1, "total": 3},
    "trace": {
        "events": [
            {
                "sequence": 1,
                "timestamp": "2026-01-01T00:00:00Z",
                "type": "step_failed",
                "step_id": "draft",
                "error": "bad step",
            }
        ],
        "count": 1,
        "total": 1,
    },
    "checkpoints": {
        "checkpoints": [{"sequence": 4, "type": "step_failed", "step_id": "draft", "iteration": 2}],
        "count": 1,
        "total": 1,
    },
    "recovery": {
        "run_id": "run_1",
        "status": "failed",
        "checkpoint_count": 4,
        "replay_context": {"can_continue": True, "failed_step": "draft", "next_step_index": 0},
    },
    "get_run": RUN,
    "cancel_run": {**RUN, "status": "cancelled"},
}
PAGE = {"limit": 100, "offset": 0}
COMMANDS = [
    (("list",), "list_runs", (PAGE,)),
    (("get", "run_1"), "get_run", ("run_1",)),
    (("cancel", "run_1"), "cancel_run", ("run_1",)),
    (("trace", "run_1"), "trace", ("run_1", PAGE)),
    (("checkpoints", "run_1"), "checkpoints", ("run_1", PAGE)),
    (("recovery", "run_1"), "recovery", ("run_1",)),
]
each_command = pytest.mark.parametrize(
    ("words", "method", "arguments"), COMMANDS, ids=[words[0] for words, *_ in COMMANDS]
)


@pytest.fixture
def filled(backend):
    backend.answers.update(PAGES)
    return backend


@each_command
def test_json_is_the_answer_as_it_came(kneo, filled, words, method, arguments):
    result = kneo("runs", *words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == PAGES[method]
    assert filled.calls == [(method, arguments)]


@each_command
def test_a_failure_is_told_on_stderr(kneo, backend, words, method, arguments):
    backend.answers[method] = NotFound("there is no run run_1")
    result = kneo("runs", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: there is no run run_1 (not_found)\n"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("list",), ["run_1", "failed", "wf", "hello [b]there[/b]", "1 of 3 runs"]),
        (("get", "run_1"), ["sequential", "draft, check", "bad step", "ValueError"]),
        (("cancel", "run_1"), ["cancelled"]),
        (("trace", "run_1"), ["step_failed", "draft", "bad step"]),
        (("checkpoints", "run_1"), ["step_failed", "draft", "4", "2"]),
        (("recovery", "run_1"), ["can be continued  yes", "failed at         draft"]),
    ],
    ids=lambda words: words[0],
)
def test_people_get_a_table(kneo, filled, words, shown):
    result = kneo("runs", *words)
    assert result.exit_code == 0
    assert [part for part in shown if part not in result.stdout] == []


def test_looking_at_a_failed_run_is_no_failure(kneo, filled):
    assert kneo("runs", "get", "run_1").exit_code == 0


def test_an_empty_list_says_so(kneo, backend):
    backend.answers["list_runs"] = {"runs": [], "count": 0, "total": 0}
    assert kneo("runs", "list").stdout == "No runs.\n"


def test_filters_reach_the_backend(kneo, filled):
    kneo("runs", "list", "--status", "blocked", "--limit", "5", "--offset", "10")
    kneo("runs", "trace", "run_1", "--event-type", "run_failed")
    kneo("runs", "checkpoints", "run_1", "--type", "human_pause")
    assert [arguments[-1] for _, arguments in filled.calls] == [
        {"status": "blocked", "limit": 5, "offset": 10},
        {"event_type": "run_failed", **PAGE},
        {"type": "human_pause", **PAGE},
    ]


@pytest.mark.parametrize(
    "words", [("get",), ("list", "--limit", "0"), ("trace", "run_1", "--offset", "10001")]
)
def test_wrong_usage_exits_with_2(kneo, filled, words):
    assert kneo("runs", *words).exit_code == 2
    assert filled.calls == []
