"""kneo runs."""

import json

import pytest

from kneo_grpc.domain.errors import FieldsInvalid, InvalidInput, NotFound, RunStateConflict

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
    "replay": {
        "run_id": "run_1",
        "status": "failed",
        "checkpoint_count": 1200,
        "timeline": [
            {"sequence": 1199, "type": "step_completed", "step_id": "draft", "status": "running"},
            {
                "sequence": 1200,
                "type": "run_failed",
                "status": "failed",
                "error": {"type": "ValueError", "message": "bad step"},
            },
        ],
        "replay_context": {"can_continue": True},
    },
    "checkpoint_diff": {
        "run_id": "run_1",
        "from_checkpoint": {"sequence": 2, "type": "step_completed", "step_id": "draft"},
        "to_checkpoint": {"sequence": 5, "type": "run_failed"},
        "change_count": 250,
        "added": [{"path": "state.error.message", "value": "bad [b]step[/b]"}],
        "removed": [{"path": "state.active[0]", "value": "check"}],
        "changed": [
            {"path": "state.status", "before": "running", "after": "failed"},
            {"path": "state.output_text", "before": None, "after": "word " * 40},
        ],
        "truncated": True,
    },
    "continue_run": {"run_id": "run_1", "status": "completed", "output_text": "42"},
    "fork_run": {"run_id": "run_2", "status": "completed", "output_text": "42"},
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
    (("continue", "run_1"), "continue_run", ("run_1",)),
    (("fork", "run_1"), "fork_run", ("run_1", {})),
    (
        ("fork", "run_1", "--checkpoint", "3", "--input", ""),
        "fork_run",
        ("run_1", {"checkpoint_sequence": 3, "input": ""}),
    ),
    (("replay", "run_1"), "replay", ("run_1",)),
    (("checkpoint-diff", "run_1"), "checkpoint_diff", ("run_1", {})),
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
        (("continue", "run_1"), ["42\n"]),
        (("fork", "run_1"), ["42\n"]),
        (
            ("replay", "run_1"),
            [
                "1199",
                "step_completed",
                "bad step",
                "The last 2 of 1200 checkpoints.\nrun_1 is failed.\n",
                "kneo runs continue run_1\n",
            ],
        ),
        (
            ("checkpoint-diff", "run_1"),
            [
                "from  #2 step_completed draft",
                "to    #5 run_failed",
                "added    state.error.message           bad [b]step[/b]",
                "removed  state.active[0]      check",
                "changed  state.status         running  failed",
                "changed  state.output_text    null     word word",
                "…",
                "4 of 250 changes.",
            ],
        ),
    ],
    ids=lambda words: words[0],
)
def test_people_get_a_table(kneo, filled, words, shown):
    result = kneo("runs", *words)
    assert result.exit_code == 0
    assert [part for part in shown if part not in result.stdout] == []


def test_looking_at_a_failed_run_is_no_failure(kneo, filled):
    assert kneo("runs", "get", "run_1").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--from-sequence", "2", "--to-sequence", "5"),
        ("--from", "2", "--to", "5"),
    ],
)
def test_the_checkpoints_to_compare_can_be_named(kneo, filled, words):
    assert kneo("runs", "checkpoint-diff", "run_1", *words).exit_code == 0
    assert filled.calls == [("checkpoint_diff", ("run_1", {"from_sequence": 2, "to_sequence": 5}))]


def test_no_difference_says_so(kneo, backend):
    backend.answers["checkpoint_diff"] = {"added": [], "removed": [], "changed": []}
    assert "No changes.\n" in kneo("runs", "checkpoint-diff", "run_1").stdout


def test_a_checkpoint_that_does_not_differ_from_itself_is_told(kneo, backend):
    backend.answers["checkpoint_diff"] = InvalidInput("a checkpoint does not differ from itself")
    result = kneo("runs", "checkpoint-diff", "run_1", "--from", "2", "--to", "2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: a checkpoint does not differ from itself (invalid_request)\n"


def test_a_history_of_a_run_that_ended_well_offers_nothing(kneo, backend):
    backend.answers["replay"] = {
        "status": "completed",
        "checkpoint_count": 1,
        "timeline": [{"sequence": 1, "type": "run_started", "status": "running"}],
        "replay_context": {"can_continue": False},
    }
    result = kneo("runs", "replay", "run_1")
    assert result.stdout.endswith("\nrun_1 is completed.\n")


def test_a_run_that_cannot_be_continued_is_told(kneo, backend):
    backend.answers["continue_run"] = RunStateConflict(
        "only a failed run can be continued; run_1 is completed: that is final", status="completed"
    )
    result = kneo("runs", "continue", "run_1", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: only a failed run can be continued; run_1 is completed: that is final "
        "(run_state_conflict)\n"
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_continued_run_that_fails_again_exits_with_1(kneo, backend, options):
    backend.answers["continue_run"] = {
        "run_id": "run_1",
        "status": "failed",
        "error": {"type": "ValueError", "message": "bad step"},
    }
    assert kneo("runs", "continue", "run_1", *options).exit_code == 1


def test_a_continued_run_may_wait_for_a_person(kneo, backend):
    backend.answers["continue_run"] = {
        "run_id": "run_1",
        "status": "blocked",
        "continuation_id": "cont_1",
        "metadata": {"request": {"prompt": "Publish?"}},
    }
    result = kneo("runs", "continue", "run_1")
    assert result.exit_code == 0
    assert "kneo human resume cont_1 --approve\n" in result.stdout


def test_only_commands_that_carry_a_key_show_the_option_for_it(kneo):
    for words in (("run",), ("runs", "continue"), ("runs", "cancel"), ("human", "resume")):
        assert "--idempotency-key" in kneo(*words, "--help").stdout
    for words in (("runs", "get"), ("queue", "requeue")):
        assert "--idempotency-key" not in kneo(*words, "--help").stdout


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
    "words",
    [
        ("get",),
        ("list", "--limit", "0"),
        ("trace", "run_1", "--offset", "10001"),
        ("continue",),
        ("replay",),
        ("checkpoint-diff", "run_1", "--from", "0"),
        ("checkpoint-diff", "run_1", "--to", "x"),
    ],
)
def test_wrong_usage_exits_with_2(kneo, filled, words):
    assert kneo("runs", *words).exit_code == 2
    assert filled.calls == []


def test_a_status_that_there_is_not_is_wrong_usage_and_told_once(kneo, backend):
    result = kneo("runs", "list", "--status", "blokced")
    assert result.exit_code == 2
    words = "'blokced' is no status: did you mean blocked? there are queued, running, blocked,"
    assert result.stderr.count(words) == 1
    assert backend.calls == []
    backend.answers["list_runs"] = {"runs": [], "total": 0}
    assert kneo("runs", "list", "--status", "paused").exit_code == 0


def test_a_single_field_fault_is_told_in_one_line(kneo, backend):
    backend.answers["list_runs"] = FieldsInvalid([("limit", "must be between 1 and 1000")])
    result = kneo("runs", "list")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: limit: must be between 1 and 1000 (validation_error)\n",
    )
    faults = [("limit", "must be between 1 and 1000"), ("sort_by", "is unknown")]
    backend.answers["list_runs"] = FieldsInvalid(faults)
    assert len(kneo("runs", "list").stderr.splitlines()) == 3


def test_a_fork_is_left_to_a_worker(kneo, backend):
    backend.answers["fork_run"] = {"run_id": "run_2", "status": "queued"}
    backend.answers["beyond_workers"] = {"modules": ["shop"], "import_allow": "shop"}
    result = kneo("runs", "fork", "run_1", "--async", "--local")
    assert backend.calls == [
        ("fork_run", ("run_1", {"async_mode": True})),
        ("beyond_workers", ("run_2",)),
    ]
    assert "run_2 is queued. A worker executes it" in result.stdout
    assert "KNEO_SERV_IMPORT_ALLOW=shop kneo worker" in result.stderr


def test_a_checkpoint_that_cannot_be_is_wrong_usage(kneo, backend):
    assert kneo("runs", "fork", "run_1", "--checkpoint", "0").exit_code == 2
    assert backend.calls == []
