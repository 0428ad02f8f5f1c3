"""kneo run."""

import json

import pytest

from kneo_grpc.domain.errors import QueueFull, SpecInvalid

COMPLETED = {"run_id": "run_1", "status": "completed", "output_text": "Final answer: hi"}
BLOCKED = {
    "run_id": "run_1",
    "status": "blocked",
    "continuation_id": "cont_1",
    "continuation_ids": ["cont_1"],
    "metadata": {"pending_human_request": {"type": "approval", "prompt": "Publish [it]?"}},
}
FAILED = {
    "run_id": "run_1",
    "status": "failed",
    "error": {"type": "RetryTimeoutError", "message": "the step took too long"},
}


def test_options_may_stand_after_the_path_or_before_it(kneo, backend, spec_path):
    backend.answers["create_run"] = COMPLETED
    path = str(spec_path)
    after = kneo("run", path, "--input", "hi", "--target", "agent", "--env", "dev")
    before = kneo("run", "--target", "agent", "-i", "hi", "--env", "dev", path)
    assert (after.exit_code, before.exit_code) == (0, 0)
    body = {"input": "hi", "spec_path": path, "target": "agent", "environment": "dev"}
    assert backend.calls == [("create_run", (body,)), ("create_run", (body,))]


def test_the_target_is_the_workflow_and_a_session_can_be_named(kneo, backend, spec_path):
    backend.answers["create_run"] = COMPLETED
    kneo("run", str(spec_path), "--input", "", "--session-id", "talk")
    ((_, (body,)),) = backend.calls
    assert body == {
        "input": "",
        "spec_path": str(spec_path),
        "target": "workflow",
        "session_id": "talk",
    }


def test_spec_run_is_the_other_call_with_the_same_body(kneo, backend, spec_path):
    backend.answers |= {"create_run": COMPLETED, "run_spec": COMPLETED}
    words = [str(spec_path), "-i", "hi", "--session-id", "talk", "--timeout-seconds", "9"]
    plain, of_spec = kneo("run", *words), kneo("spec", "run", *words)
    assert (of_spec.exit_code, of_spec.stdout) == (plain.exit_code, plain.stdout)
    (first, sent), (second, sent_again) = backend.calls
    assert (first, second) == ("create_run", "run_spec")
    assert sent == sent_again


def test_a_completed_run_leaves_only_its_output_on_stdout(kneo, backend, spec_path):
    backend.answers["create_run"] = COMPLETED
    result = kneo("run", str(spec_path), "-i", "hi")
    assert result.stdout == "Final answer: hi\n"
    assert result.stderr == "run_1 completed\n"


def test_output_cannot_steer_the_terminal(kneo, backend, spec_path):
    backend.answers["create_run"] = {**COMPLETED, "output_text": "a\x1b[2J\tb\x9b\n"}
    assert kneo("run", str(spec_path), "-i", "hi").stdout == "a[2J\tb\n\n"


def test_json_is_all_of_stdout(kneo, backend, spec_path):
    backend.answers["create_run"] = BLOCKED
    result = kneo("run", str(spec_path), "-i", "hi", "--json")
    assert json.loads(result.stdout) == BLOCKED
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_blocked_run_shows_the_question_and_how_to_answer(kneo, backend, spec_path):
    backend.answers["create_run"] = BLOCKED
    result = kneo("run", str(spec_path), "-i", "hi")
    assert result.exit_code == 0
    assert "Publish [it]?" in result.stdout
    assert "kneo human resume cont_1 --approve\n" in result.stdout


@pytest.mark.parametrize(
    ("waiting", "more"),
    [(["cont_1", "cont_2"], "One more is asked"), (["cont_1"] * 3, "2 more are asked")],
)
def test_of_several_questions_no_answer_is_shown_beside_another_s(
    kneo, backend, spec_path, waiting, more
):
    backend.answers["create_run"] = {**BLOCKED, "continuation_ids": waiting}
    lines = kneo("run", str(spec_path), "-i", "hi").stdout.splitlines()
    assert lines[-2:] == [
        f"{more}. See all questions with:",
        f"  kneo runs show {BLOCKED['run_id']} --once",
    ]
    assert sum("kneo human resume" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("request_part", "answer"),
    [
        ({"type": "selection", "options": ["a b", "c"]}, "--select 'a b'"),
        ({"type": "selection", "options": ["a", "c"], "default_option": "c"}, "--select c"),
        ({"type": "freeform"}, "--provide TEXT"),
    ],
)
def test_the_answer_shown_fits_the_question(kneo, backend, spec_path, request_part, answer):
    backend.answers["create_run"] = {**BLOCKED, "metadata": {"request": request_part}}
    result = kneo("run", str(spec_path), "-i", "hi")
    assert f"kneo human resume cont_1 {answer}\n" in result.stdout


def test_what_to_do_next_names_the_service_again(kneo, backend, spec_path):
    backend.answers["create_run"] = BLOCKED
    result = kneo("run", str(spec_path), "-i", "hi", "--service-url", "http://localhost:8000")
    assert "resume cont_1 --approve --service-url http://localhost:8000\n" in result.stdout


def test_a_run_that_goes_on_is_no_failure(kneo, backend, spec_path):
    backend.answers["create_run"] = {"run_id": "run_1", "status": "queued"}
    result = kneo("run", str(spec_path), "-i", "hi")
    assert result.exit_code == 0
    assert "kneo runs get run_1\n" in result.stdout


OWN_CODE = """
version: v1
agent: {name: a}
workflow: {type: sequential, steps: [{id: s, kind: function, ref: s}]}
components: {functions: {s: {implementation: kneo_test_own.step}}}
"""
QUEUED = {"run_id": "run_1", "status": "queued"}


def test_a_run_can_be_left_to_a_worker_and_given_a_deadline(kneo, backend, spec_path):
    backend.answers["create_run"] = QUEUED
    backend.answers["beyond_workers"] = {"modules": []}
    result = kneo("run", str(spec_path), "-i", "hi", "--async", "--timeout-seconds", "30")
    assert (result.exit_code, result.stderr) == (0, "")
    ((_, (body,)), _) = backend.calls
    assert (body["async_mode"], body["timeout_seconds"]) == (True, 30)


def test_a_queued_run_on_this_machine_names_the_worker_to_start(kneo, backend, spec_path):
    backend.answers["create_run"] = QUEUED
    backend.answers["beyond_workers"] = {"modules": []}
    result = kneo("run", str(spec_path), "-i", "hi", "--async")
    assert result.stdout.splitlines() == [
        "run_1 is queued. A worker executes it; start one here with:",
        "  kneo worker",
        "See what became of it with:",
        "  kneo runs get run_1",
    ]


def test_a_queued_run_of_a_service_names_the_service_only(kneo, backend, spec_path):
    backend.answers["create_run"] = QUEUED
    backend.answers["beyond_workers"] = {"modules": []}
    words = ("run", str(spec_path), "-i", "hi", "--async", "--service-url", "grpc://a:1")
    assert kneo(*words).stdout.splitlines() == [
        "run_1 is queued. See what became of it with:",
        "  kneo runs get run_1 --service-url grpc://a:1",
    ]


def test_a_queued_run_whose_code_workers_may_not_import_is_warned_of(kneo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kneo_test_own.py").write_text("def step(text): return text\n")
    (tmp_path / "flow.yaml").write_text(OWN_CODE)
    words = ("run", "flow.yaml", "-i", "hi", "--async", "--json")
    result = kneo(*words)
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (0, "queued")
    allow = "KNEO_SERV_IMPORT_ALLOW=kneo_grpc.examples,kneo_test_own"
    assert result.stderr == (
        f"warning: a worker imports kneo_test_own only when told so; start it with: {allow} "
        "kneo worker\n"
    )
    monkeypatch.setenv("KNEO_SERV_IMPORT_ALLOW", "kneo_test_own")
    assert kneo(*words).stderr == ""


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("status", ["failed", "cancelled", "expired", "timed_out"])
def test_a_run_that_ended_badly_exits_with_1(kneo, backend, spec_path, status, options):
    backend.answers["create_run"] = {**FAILED, "status": status}
    assert kneo("run", str(spec_path), "-i", "hi", *options).exit_code == 1


def test_a_failed_run_tells_why_on_stderr(kneo, backend, spec_path):
    backend.answers["create_run"] = FAILED
    result = kneo("run", str(spec_path), "-i", "hi")
    assert result.stdout == ""
    assert result.stderr == ("error: run_1 failed: the step took too long (RetryTimeoutError)\n")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_refused_spec_is_told_line_by_line(kneo, backend, spec_path, options):
    backend.answers["create_run"] = SpecInvalid(
        "the spec has 1 error",
        diagnostics=[
            {
                "code": "E_UNKNOWN_TOOL",
                "severity": "error",
                "message": "no tool nope",
                "path": "agent.tools.include[0]",
                "line": 5,
                "column": 15,
                "suggestion": "register it",
            }
        ],
    )
    result = kneo("run", str(spec_path), "-i", "hi", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: the spec has 1 error (spec_invalid)",
        f"{spec_path}:5:15: error E_UNKNOWN_TOOL no tool nope (register it)",
    ]


def test_an_expected_failure_is_one_line(kneo, backend, spec_path):
    backend.answers["create_run"] = QueueFull("as many runs are waiting as may")
    result = kneo("run", str(spec_path), "-i", "hi")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: as many runs are waiting as may (queue_full)\n"


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "missing.yaml", "-i", "hi"),
        ("run", "{spec}"),
        ("run", "{spec}", "-i", "hi", "--target", "tool"),
        ("run", "{spec}", "-i", "hi", "--wrong"),
        ("run", "{spec}", "-i", "hi", "--timeout-seconds", "0"),
        ("run", "{spec}", "-i", "hi", "--timeout-seconds", "31536001"),
        ("run", "{spec}", "-i", "hi", "--timeout-seconds", "1.5"),
    ],
)
def test_wrong_usage_exits_with_2(kneo, backend, spec_path, words):
    result = kneo(*(word.format(spec=spec_path) for word in words))
    assert result.exit_code == 2
    assert backend.calls == []


def test_a_failed_run_names_the_step_that_failed(kneo, backend, spec_path):
    error = {"type": "ValueError", "message": "the shop is closed", "step_id": "buy"}
    backend.answers["create_run"] = {**FAILED, "error": error}
    result = kneo("run", str(spec_path), "-i", "hi")
    line = "error: run_1 failed at the step buy: the shop is closed (ValueError)\n"
    assert result.stderr == line
