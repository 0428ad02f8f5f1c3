"""kneo queue."""

import json

import pytest

from kneo_grpc.domain.errors import NotFound, RunStateConflict, StoreUnavailable

WAITING = {
    "jobs": [
        {
            "run_id": "run_1",
            "state": "leased",
            "due_at": "2026-01-01T00:00:00Z",
            "claims": 2,
            "lease_owner": "proc_host_7",
            "lease_expires_at": "2026-01-01T00:00:15Z",
        },
        {"run_id": "run_2", "state": "later", "due_at": "2026-01-01T01:00:00Z", "claims": 0},
    ],
    "count": 2,
    "total": 2,
}
DEAD = {
    "jobs": [{"run_id": "run_3", "state": "dead", "due_at": "2026-01-01T02:00:00Z", "claims": 0}],
    "count": 1,
    "total": 1,
}
NONE = {"jobs": [], "count": 0, "total": 0}
COMMANDS = [
    (("list",), "list_queue", ({"limit": 100, "offset": 0},), WAITING),
    (("dead",), "list_dead_letters", ({"limit": 100, "offset": 0},), DEAD),
    (("requeue", "run_3"), "requeue_run", ("run_3",), {"run_id": "run_3", "status": "queued"}),
]
each_command = pytest.mark.parametrize(
    ("words", "method", "arguments", "answer"), COMMANDS, ids=[words[0] for words, *_ in COMMANDS]
)


@each_command
def test_json_is_the_answer_as_it_came(kneo, backend, words, method, arguments, answer):
    backend.answers[method] = answer
    result = kneo("queue", *words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == answer
    assert backend.calls == [(method, arguments)]


@each_command
def test_a_failure_is_told_on_stderr(kneo, backend, words, method, arguments, answer):
    backend.answers[method] = StoreUnavailable("the database does not answer")
    result = kneo("queue", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: the database does not answer (store_unavailable)\n"


def test_the_queue_is_a_table_of_state_due_time_attempts_and_owner(kneo, backend):
    backend.answers["list_queue"] = WAITING
    lines = [line.split() for line in kneo("queue", "list").stdout.splitlines()]
    assert lines == [
        ["run", "state", "due", "attempts", "owner", "held", "until"],
        ["run_1", "leased", "2026-01-01T00:00:00Z", "2", "proc_host_7", "2026-01-01T00:00:15Z"],
        ["run_2", "later", "2026-01-01T01:00:00Z", "0"],
    ]


def test_dead_letters_come_with_the_way_to_put_one_back(kneo, backend):
    backend.answers["list_dead_letters"] = DEAD
    result = kneo("queue", "dead", "--service-url", "grpc://a:1")
    assert "run_3  2026-01-01T02:00:00Z" in result.stdout
    assert "  kneo runs get run_3 --service-url grpc://a:1\n" in result.stdout
    assert "  kneo queue requeue run_3 --service-url grpc://a:1\n" in result.stdout


@pytest.mark.parametrize(
    ("words", "method", "said"),
    [
        (("list",), "list_queue", "The queue is empty.\n"),
        (("dead",), "list_dead_letters", "No dead letters.\n"),
    ],
)
def test_an_empty_list_says_so(kneo, backend, words, method, said):
    backend.answers[method] = NONE
    assert kneo("queue", *words).stdout == said


def test_a_list_that_is_cut_says_so_and_a_whole_one_does_not(kneo, backend):
    backend.answers["list_queue"] = WAITING
    assert " of " not in kneo("queue", "list", "--limit", "2").stdout
    backend.answers["list_queue"] = {**WAITING, "total": 9}
    result = kneo("queue", "list", "--limit", "2", "--offset", "3")
    assert backend.calls[1] == ("list_queue", ({"limit": 2, "offset": 3},))
    assert result.stdout.endswith("2 of 9 jobs; --limit and --offset show others.\n")


def test_a_requeued_run_tells_how_to_follow_it(kneo, backend):
    backend.answers["requeue_run"] = {"run_id": "run_3", "status": "queued"}
    result = kneo("queue", "requeue", "run_3", "--service-url", "grpc://a:1")
    assert result.stdout.splitlines() == [
        "run_3 is queued. See what became of it with:",
        "  kneo runs get run_3 --service-url grpc://a:1",
    ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotFound("there is no run run_3"), "not_found"),
        (RunStateConflict("only a failed run can be continued"), "run_state_conflict"),
    ],
)
def test_a_run_that_cannot_be_put_back_is_told(kneo, backend, error, reason):
    backend.answers["requeue_run"] = error
    result = kneo("queue", "requeue", "run_3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {error.message} ({reason})\n"


@pytest.mark.parametrize(
    "words", [("requeue",), ("list", "--limit", "0"), ("dead", "--limit", "1001"), ("drop",)]
)
def test_wrong_usage_exits_with_2(kneo, backend, words):
    assert kneo("queue", *words).exit_code == 2
    assert backend.calls == []
