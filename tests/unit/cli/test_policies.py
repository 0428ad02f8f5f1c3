"""kneo policies and kneo credentials, and the commands that show a run's plan."""

import json
import re

import pytest

from kneo_grpc.domain.errors import FieldsInvalid, StoreUnavailable

DEFAULTS = {
    "enabled": True,
    "fail_on_warnings": False,
    "blocked_diagnostic_codes": [],
    "require_human_review": False,
    "require_tool_permissions": False,
    "deny_unrestricted_tools": False,
    "require_guardrails": False,
    "require_signed_bundle": False,
}
STRICT = {**DEFAULTS, "require_guardrails": True, "blocked_diagnostic_codes": ["W_A"]}
ENTRY = {
    "name": "provider:openai",
    "env_var": "OPENAI_API_KEY",
    "present": True,
    "value": "[REDACTED]",
    "status": "present",
}
PREVIEW = {
    "environment": "prod",
    "diff": {"require_guardrails": {"from": False, "to": True}},
    "affected_run_ids": ["run_2", "run_1"],
    "newly_blocking": ["run_2"],
    "runs_evaluated": 7,
}
GRAPH = {
    "run_id": "run_1",
    "status": "blocked",
    "workflow_name": "wf",
    "workflow_kind": "sequential",
    "start": "ask",
    "nodes": [
        {"id": "ask", "kind": "human", "name": "boss", "ref": "boss", "enabled": True},
        {"id": "do", "kind": "agent", "name": "root", "ref": "root", "enabled": True},
    ],
    "edges": [{"source": "ask", "target": "do", "conditional": False, "priority": 0}],
    "current": "ask",
    "current_nodes": ["ask"],
    "visited": [],
}
COUNTS = {"agent_count": 1, "workflow_count": 1, "tool_count": 0, "diagnostic_count": 0}
REPORT = {"valid": True, "report": {"valid": True, "summary": COUNTS, "diagnostics": []}}
COMMANDS = [
    (("policies", "list"), "list_environment_policies", (), {"policies": {"prod": STRICT}}),
    (
        ("policies", "get", "prod"),
        "get_environment_policy",
        ("prod",),
        {"environment": "prod", "policy": STRICT},
    ),
    (
        ("policies", "put", "prod", "--require-guardrails", "--block-code", "W_A"),
        "put_environment_policy",
        ("prod", STRICT),
        {"environment": "prod", "policy": STRICT, "previous_policy": DEFAULTS},
    ),
    (
        ("policies", "preview", "prod", "--disabled"),
        "preview_environment_policy",
        ("prod", {**DEFAULTS, "enabled": False}),
        PREVIEW,
    ),
    (
        ("credentials", "--provider", "openai", "--extra", "CRM", "--no-service-tokens"),
        "list_credentials",
        ({"providers": ["openai"], "extras": ["CRM"], "include_service_tokens": False},),
        {"inventory": {"providers": {"openai": ENTRY}, "extra": {}, "service_tokens": {}}},
    ),
    (("runs", "graph", "run_1"), "run_graph", ("run_1",), GRAPH),
    (("runs", "policy-report", "run_1"), "run_policy_report", ("run_1",), REPORT),
    (("spec", "skills"), "list_skills", ({"limit": 100, "offset": 0},), {"skills": []}),
    (("service", "health"), "health", (), {"ok": True}),
    (("service", "live"), "live", (), {"ok": True}),
    (("service", "ready"), "ready", (), {"ok": True}),
]
each_command = pytest.mark.parametrize(
    ("words", "method", "arguments", "answer"),
    COMMANDS,
    ids=[" ".join(words[:2]) for words, *_ in COMMANDS],
)


@each_command
def test_json_is_the_answer_as_it_came(kneo, backend, words, method, arguments, answer):
    backend.answers[method] = answer
    result = kneo(*words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == answer
    assert backend.calls == [(method, arguments)]


@each_command
def test_a_failure_is_told_on_stderr(kneo, backend, words, method, arguments, answer):
    backend.answers[method] = StoreUnavailable("the database does not answer")
    result = kneo(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: the database does not answer (store_unavailable)\n"


@pytest.mark.parametrize(
    ("words", "method", "answer", "lines"),
    [
        (*COMMANDS[0][:2], COMMANDS[0][3], ["environment demands", "prod require_guardrails, W_A"]),
        (*COMMANDS[0][:2], {"policies": {}}, ["No policies."]),
        (*COMMANDS[1][:2], {"environment": "prod"}, ["prod has no policy."]),
        (
            *COMMANDS[2][:2],
            COMMANDS[2][3],
            ["prod demands: require_guardrails, W_A.", "Before: nothing."],
        ),
        (
            *COMMANDS[3][:2],
            PREVIEW,
            [
                "field now then",
                "require_guardrails no yes",
                "Of 7 runs 2 would be refused, 1 of them newly.",
                "run_2",
            ],
        ),
        (
            *COMMANDS[4][:2],
            COMMANDS[4][3],
            ["credential variable status", "provider:openai OPENAI_API_KEY present"],
        ),
    ],
)
def test_what_people_read(kneo, backend, words, method, answer, lines):
    backend.answers[method] = answer
    result = kneo(*words)
    assert result.exit_code == 0
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == lines


def test_a_run_s_graph_tells_where_it_is(kneo, backend):
    backend.answers["run_graph"] = GRAPH
    words = kneo("runs", "graph", "run_1").stdout.split()
    assert words[-2:] == ["at", "ask"]
    assert "boss" in words


def test_a_refused_field_is_named(kneo, backend):
    fault = FieldsInvalid([("blocked_diagnostic_codes[0]", "is empty")])
    backend.answers["put_environment_policy"] = fault
    result = kneo("policies", "put", "prod")
    assert result.exit_code == 1
    assert "blocked_diagnostic_codes[0]: is empty" in result.stderr


def test_runs_are_listed_by_every_filter(kneo, backend):
    backend.answers["list_runs"] = {"runs": [], "count": 0, "total": 0}
    words = ("--status", "failed", "--workflow-kind", "graph", "--workflow-name", "wf")
    words += ("--session-id", "s", "--env", "prod", "--with-error", "--text", "kaputt")
    words += ("--created-after", "2026-01-01", "--created-before", "2026-02-01")
    assert kneo("runs", "list", *words, "--page-token", "t").exit_code == 0
    assert backend.calls == [
        (
            "list_runs",
            (
                {
                    "status": "failed",
                    "workflow_kind": "graph",
                    "workflow_name": "wf",
                    "session_id": "s",
                    "environment": "prod",
                    "has_error": True,
                    "created_after": "2026-01-01",
                    "created_before": "2026-02-01",
                    "q": "kaputt",
                    "limit": 100,
                    "offset": 0,
                    "page_token": "t",
                },
            ),
        )
    ]


LISTS = [
    (("runs", "list"), "list_runs", "runs"),
    (("runs", "trace", "run_1"), "trace", "events"),
    (("runs", "checkpoints", "run_1"), "checkpoints", "checkpoints"),
    (("queue", "list"), "list_queue", "jobs"),
    (("queue", "dead"), "list_dead_letters", "jobs"),
    (("human", "list"), "list_human_tasks", "tasks"),
    (("spec", "skills"), "list_skills", "skills"),
]


@pytest.mark.parametrize(("words", "method", "items"), LISTS)
def test_the_next_page_is_told_by_options_that_the_command_has(kneo, backend, words, method, items):
    page = {items: [{"run_id": "run_1"}], "count": 1, "total": 2, "next_page_token": "t0ken"}
    backend.answers[method] = page
    told = kneo(*words).stdout
    assert "\n1 of 2 " in told
    assert "The next page: --page-token t0ken\n" in told
    for option in set(re.findall(r"--[a-z]+(?:-[a-z]+)*", told)):
        assert kneo(*words, option, "1").exit_code == 0


@pytest.mark.parametrize(
    ("words", "method", "query"),
    [
        (("queue", "list"), "list_queue", {"limit": 100, "offset": 0}),
        (("queue", "dead"), "list_dead_letters", {"limit": 100, "offset": 0}),
        (("spec", "skills"), "list_skills", {"limit": 100, "offset": 0}),
        (("human", "list"), "list_human_tasks", {"limit": 100, "offset": 0}),
    ],
)
def test_other_lists_are_read_on_by_a_token(kneo, backend, words, method, query):
    backend.answers[method] = {"jobs": [], "tasks": [], "count": 0, "total": 0}
    assert kneo(*words, "--page-token", "t").exit_code == 0
    assert backend.calls == [(method, ({**query, "page_token": "t"},))]
