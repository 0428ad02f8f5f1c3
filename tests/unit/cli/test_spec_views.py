"""kneo spec lint, compile, explain, graph, policy-report, migrate and schema."""

import json
from contextlib import asynccontextmanager

import pytest

from kneo_grpc.cli import connect
from kneo_grpc.domain.errors import SpecInvalid

WARNING = {"code": "W_X", "severity": "warning", "message": "odd", "path": "agent", "line": 2}
ERROR = {"code": "E_X", "severity": "error", "message": "wrong", "path": "agent", "line": 2}
HINTED = {**WARNING, "suggestion": "mend it", "column": 4}
SERVICE = ("--service-url", "http://localhost:1")

EXPLAINED = {
    "summary": {
        "root_agent": "root",
        "root_workflow": "flow",
        "component_agents": [],
        "agents": [
            {
                "path": "agent",
                "name": "root",
                "description": "Answers.",
                "provider": "dummy",
                "model": "small",
                "strategy": "react",
                "runtime_mode": "bridge",
                "tools": ["search"],
                "skills": [],
                "memory": "full",
                "guardrails": ["clean"],
            }
        ],
        "workflows": [
            {
                "path": "workflow",
                "name": "flow",
                "kind": "sequential",
                "steps": [
                    {"id": "ask", "kind": "human", "ref": "boss", "enabled": True},
                    {"id": "spare", "kind": "agent", "ref": "root", "enabled": False},
                ],
            }
        ],
        "tools": [{"name": "search", "description": "Search.", "backing": "mcp"}],
        "humans": [
            {
                "name": "boss",
                "request_type": "approval",
                "assignee": "me",
                "timeout_seconds": 60,
                "on_timeout": "fail",
            }
        ],
        "functions": ["publish"],
        "skills": [],
        "mcp_servers": [],
    }
}
NODE = {"kind": "agent", "enabled": True, "max_retries": 0, "on_error": "fail"}
GRAPH = {
    "workflow_name": "flow",
    "workflow_kind": "sequential",
    "start": "a",
    "nodes": [
        {**NODE, "id": "a", "name": "root", "fallback_node": "c"},
        {**NODE, "id": "b", "name": "review", "kind": "workflow", "subgraph": "review"},
        {**NODE, "id": "c", "name": "root", "enabled": False},
    ],
    "edges": [
        {"source": "a", "target": "b", "conditional": True, "priority": 0},
        {"source": "a", "target": "c", "label": "odd", "conditional": False, "priority": 1},
    ],
    "subgraphs": [
        {
            "id": "review",
            "workflow_name": "all",
            "workflow_kind": "concurrent",
            "nodes": [{**NODE, "id": "x", "name": "root"}],
            "edges": [],
        }
    ],
    "text": "flowchart TD\n",
}
REPORT = {
    "valid": True,
    "report": {
        "valid": True,
        "version": "v1",
        "summary": {
            "agent_count": 1,
            "workflow_count": 2,
            "tool_count": 1,
            "diagnostic_count": 1,
        },
        "memory": {"agents": [{"agent": "agent", "configured": True, "policy": "full"}]},
        "tools": {
            "agent_policies": [
                {
                    "agent": "agent",
                    "include": ["search"],
                    "permissions": {"allow_shell": True, "allowed_domains": ["a", "b"]},
                    "unrestricted": True,
                }
            ]
        },
        "guardrails": {"agents": [{"agent": "agent", "configured": True, "stages": {"input": 2}}]},
        "human_review": {
            "workflow_steps": [{"workflow": "workflow", "step_id": "ask", "ref": "boss"}],
            "requirements": [{"code": "W_TOOL_SHELL_ALLOWED", "path": "agent", "reason": "why"}],
            "missing": True,
        },
        "diagnostics": [WARNING],
    },
}


# lint


@pytest.mark.parametrize(
    ("findings", "code", "told"),
    [
        ([], 0, "{spec} is clean.\n"),
        ([{**WARNING, "severity": "info"}], 0, "{spec} is clean.\n"),
        ([WARNING], 1, "error: {spec} has 0 errors and 1 warning\n"),
        ([ERROR, WARNING, WARNING], 1, "error: {spec} has 1 error and 2 warnings\n"),
    ],
)
def test_lint_exits_with_1_for_warnings_too(kneo, backend, spec_path, findings, code, told):
    valid = all(item["severity"] != "error" for item in findings)
    backend.answers["validate_spec"] = {"valid": valid, "diagnostics": findings}
    result = kneo("spec", "lint", str(spec_path))
    assert result.exit_code == code
    assert (result.stdout + result.stderr).endswith(told.format(spec=spec_path))


def test_lint_prints_counts_as_json(kneo, backend, spec_path):
    backend.answers["validate_spec"] = {"valid": True, "diagnostics": [WARNING]}
    result = kneo("spec", "lint", str(spec_path), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (
        1,
        {"clean": False, "warning_count": 1, "error_count": 0, "diagnostics": [WARNING]},
    )


def test_a_finding_is_one_line_that_editors_can_jump_to(kneo, backend, spec_path):
    nowhere = {**ERROR, "line": None, "message": "two\nlines"}
    backend.answers["validate_spec"] = {
        "valid": False,
        "diagnostics": [HINTED, nowhere, {**ERROR, "file": "over.yaml"}],
    }
    result = kneo("spec", "lint", str(spec_path))
    assert result.stdout.splitlines() == [
        f"{spec_path}:2:4: warning W_X odd (mend it)",
        "over.yaml:2:1: error E_X wrong",
        f"{spec_path}: error E_X two lines at agent",
    ]


# compile


def test_a_spec_that_compiles_is_told_with_its_parts(kneo, backend, spec_path):
    summary = {"has_root_workflow": True, "component_agents": ["a", "b"]}
    backend.answers["compile_spec"] = {"ok": True, "diagnostics": [WARNING], "summary": summary}
    result = kneo("spec", "compile", str(spec_path))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{spec_path}:2:1: warning W_X odd",
        f"{spec_path} compiles: a root agent, a root workflow, 2 component agents.",
    ]
    body = {"spec_path": str(spec_path), "strict": False}
    assert backend.calls == [("compile_spec", (body,))]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_spec_that_does_not_compile_exits_with_1(kneo, backend, spec_path, options):
    backend.answers["compile_spec"] = {"ok": False, "diagnostics": [ERROR]}
    assert kneo("spec", "compile", str(spec_path), *options).exit_code == 1


def test_a_compilation_can_be_written(kneo, backend, spec_path, tmp_path):
    answer = {"ok": True, "diagnostics": [], "summary": {}}
    backend.answers["compile_spec"] = answer
    kneo("spec", "compile", str(spec_path), "-o", str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text()) == answer


# explain, graph, policy-report


def test_an_explanation_reads_like_a_list_of_parts(kneo, backend, spec_path):
    backend.answers["explain_spec"] = EXPLAINED
    result = kneo("spec", "explain", str(spec_path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "Agents",
        "  root (agent): Answers.",
        "    model dummy/small; react; memory full; tools search; guardrails clean",
        "",
        "Workflow flow (sequential)",
        "  ask    human boss",
        "  spare  agent root  (left out)",
        "",
        "Tools",
        "  search  Search.  (mcp)",
        "",
        "People",
        "  boss",
        "    approval by me; after 60 s: fail",
        "",
        "Functions",
        "  publish",
    ]


def test_a_graph_is_text_for_people(kneo, backend, spec_path):
    backend.answers["graph_spec"] = GRAPH
    result = kneo("spec", "graph", str(spec_path))
    assert result.stdout.splitlines() == [
        "flow (sequential)",
        "* a  agent root",
        "      -> b (if)",
        "      -> c (odd)",
        "      -> c (on error)",
        "  b  workflow review",
        "      runs review, see below",
        "  c  agent root  (left out)",
        "",
        "review: all (concurrent)",
        "  all at once",
        "  x  agent root",
    ]
    assert backend.calls == [("graph_spec", ({"spec_path": str(spec_path)},))]


@pytest.mark.parametrize("form", ["mermaid", "dot"])
def test_a_graph_can_be_drawn(kneo, backend, spec_path, form):
    backend.answers["graph_spec"] = GRAPH
    result = kneo("spec", "graph", str(spec_path), "--format", form)
    assert result.stdout == "flowchart TD\n"
    assert backend.calls == [("graph_spec", ({"spec_path": str(spec_path), "format": form},))]


@pytest.mark.parametrize("options", [("--json",), ("--format", "json")])
def test_a_graph_is_json_for_programs(kneo, backend, spec_path, options):
    backend.answers["graph_spec"] = GRAPH
    result = kneo("spec", "graph", str(spec_path), *options)
    assert json.loads(result.stdout) == GRAPH


def test_a_policy_report_names_what_is_wide_and_what_is_missing(kneo, backend, spec_path):
    backend.answers["policy_report"] = REPORT
    result = kneo("spec", "policy-report", str(spec_path))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "1 agent, 2 workflows, 1 tool, 1 diagnostic",
        "",
        "Tools",
        "  agent: search; allow_shell yes, allowed_domains a b; UNRESTRICTED",
        "",
        "Memory",
        "  agent: full",
        "",
        "Guardrails",
        "  agent: input 2",
        "",
        "Human review",
        "  workflow: step ask asks boss",
        "  required: W_TOOL_SHELL_ALLOWED at agent: why",
        "  MISSING: nobody is asked",
    ]
    assert result.stderr == f"{spec_path}:2:1: warning W_X odd\n"


def test_a_policy_report_on_no_spec_exits_with_1(kneo, backend, spec_path):
    report = {"valid": False, "diagnostics": [ERROR]}
    backend.answers["policy_report"] = {"valid": False, "report": report}
    result = kneo("spec", "policy-report", str(spec_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{spec_path}:2:1: error E_X wrong\n"


@pytest.mark.parametrize(
    ("command", "method", "answer"),
    [
        ("explain", "explain_spec", EXPLAINED),
        ("graph", "graph_spec", GRAPH),
        ("policy-report", "policy_report", REPORT),
    ],
)
class TestEveryView:
    def test_json_is_the_answer_as_it_came(self, kneo, backend, spec_path, command, method, answer):
        backend.answers[method] = answer
        result = kneo("spec", command, str(spec_path), "--json")
        assert (result.exit_code, json.loads(result.stdout)) == (0, answer)

    def test_it_can_be_written(self, kneo, backend, spec_path, tmp_path, command, method, answer):
        backend.answers[method] = answer
        shown = kneo("spec", command, str(spec_path)).stdout
        result = kneo("spec", command, str(spec_path), "-o", str(tmp_path / "out"))
        assert (result.exit_code, result.stdout) == (0, "")
        assert (tmp_path / "out").read_text() == shown

    def test_a_folder_that_is_not_there_is_told(
        self, kneo, backend, spec_path, command, method, answer
    ):
        backend.answers[method] = answer
        result = kneo("spec", command, str(spec_path), "-o", "/nowhere/at/all")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: cannot write /nowhere/at/all: ")

    def test_a_refused_spec_exits_with_1_and_its_findings(
        self, kneo, backend, spec_path, command, method, answer
    ):
        backend.answers[method] = SpecInvalid("1 error", diagnostics=[ERROR])
        result = kneo("spec", command, str(spec_path))
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            "error: 1 error (spec_invalid)",
            f"{spec_path}:2:1: error E_X wrong",
        ]

    def test_here_files_are_named_and_a_service_gets_them_merged(
        self, kneo, backend, spec_path, tmp_path, command, method, answer
    ):
        backend.answers[method] = answer
        over = tmp_path / "over.yaml"
        over.write_text("agent: {tools: {include: [other]}}\n")
        words = ("spec", command, str(spec_path), "--env", "prod", "--overlay", str(over))
        kneo(*words)
        kneo(*words, *SERVICE)
        (_, (here,)), (_, (there,)) = backend.calls
        assert here == {
            "spec_path": str(spec_path),
            "overlays": [str(over)],
            "environment": "prod",
        }
        assert there["spec"]["agent"]["tools"] == {"include": ["other"]}
        assert there["environment"] == "prod"
        assert "overlays" not in there


@pytest.mark.parametrize(
    "words",
    [
        ("validate", "missing.yaml"),
        ("explain", "missing.yaml"),
        ("graph", "{spec}", "--format", "png"),
        ("lint", "{spec}", "--overlay", "missing.yaml"),
        ("migrate", "missing.yaml"),
        ("schema", "--wrong"),
    ],
)
def test_wrong_usage_exits_with_2(kneo, backend, spec_path, words):
    result = kneo("spec", *(word.format(spec=spec_path) for word in words))
    assert result.exit_code == 2
    assert backend.calls == []


def test_a_command_works_on_this_machine(kneo, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "flow.yaml"
    path.write_text(
        "version: v1\nagent: {name: a}\nworkflow: {type: sequential, steps: [a, {id: b}]}\n"
    )
    result = kneo("spec", "explain", str(path))
    assert result.exit_code == 1
    assert f"{path}:3:" in result.stderr
    path.write_text("version: v1\nagent: {name: a}\n")
    assert kneo("spec", "compile", str(path)).exit_code == 0
    assert json.loads(kneo("spec", "graph", str(path), "--json").stdout)["nodes"][0]["id"] == "a"


def test_a_command_needs_no_database_of_a_service(kneo, spec_path, monkeypatch):
    @asynccontextmanager
    async def open_backend(session):
        raise AssertionError("no backend is needed")
        yield

    monkeypatch.setattr(connect, "open_backend", open_backend)
    assert kneo("spec", "migrate", str(spec_path)).exit_code == 0
    assert kneo("spec", "schema").exit_code == 0


# migrate and schema

OLD = "# old\nroot_agent: {name: helper}\nworkflow: [helper]\n"
NEW = {
    "agent": {"name": "helper"},
    "workflow": {"type": "sequential", "steps": ["helper"]},
    "version": "v1",
}


def test_an_old_spec_is_printed_in_its_new_shape(kneo, tmp_path):
    import yaml

    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    result = kneo("spec", "migrate", str(path))
    assert (result.exit_code, yaml.safe_load(result.stdout)) == (0, NEW)
    written = tmp_path / "new.yaml"
    result = kneo("spec", "migrate", str(path), "-o", str(written))
    assert "root_agent -> agent\n" in result.stdout
    assert yaml.safe_load(written.read_text()) == NEW


@pytest.mark.parametrize(("text", "code"), [(OLD, 1), ("version: v1\nagent: {name: a}\n", 0)])
def test_a_check_exits_with_1_when_changes_are_needed(kneo, tmp_path, text, code):
    path, output = tmp_path / "spec.yaml", tmp_path / "out.yaml"
    path.write_text(text)
    result = kneo("spec", "migrate", str(path), "--check", "-o", str(output))
    assert result.exit_code == code
    assert path.read_text() == text
    assert not output.exists()


def test_a_migration_is_told_as_json(kneo, tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    told = json.loads(kneo("spec", "migrate", str(path), "--json").stdout)
    assert told["applied"] == [
        "root_agent -> agent",
        "workflow -> sequential",
        "version -> v1",
    ]
    assert (told["source_version"], told["target_version"]) == (None, "v1")
    assert (told["changed"], told["spec"]) == (True, NEW)
    output = str(tmp_path / "new.yaml")
    told = json.loads(kneo("spec", "migrate", str(path), "--json", "-o", output).stdout)
    assert told["output"] == output
    assert "spec" not in told


def test_a_spec_that_needs_no_change_keeps_its_comments(kneo, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("# mine\nversion: v1\nagent: {name: a}\n")
    assert kneo("spec", "migrate", str(path)).stdout == path.read_text()


@pytest.mark.parametrize("text", ["version: v7\nagent: {name: a}\n", "a: [1\n", ""])
def test_what_cannot_be_migrated_exits_with_1(kneo, tmp_path, text):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    result = kneo("spec", "migrate", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "(spec_invalid)" in result.stderr


def test_the_schema_is_json(kneo, tmp_path):
    printed = json.loads(kneo("spec", "schema").stdout)
    assert printed["title"] == "Kneo spec v1"
    kneo("spec", "schema", "-o", str(tmp_path / "schema.json"))
    assert json.loads((tmp_path / "schema.json").read_text()) == printed


def test_permissions_stand_in_one_order_whatever_the_answers_was(kneo, backend, spec_path):
    rights = {"allow_shell": True, "allow": ["t"], "allow_network": False}
    seen = set()
    for keys in (list(rights), list(reversed(rights))):
        policy = {
            "agent": "agent",
            "include": ["t"],
            "permissions": {key: rights[key] for key in keys},
        }
        report = {**REPORT["report"], "tools": {"agent_policies": [policy]}}
        backend.answers["policy_report"] = {"valid": True, "report": report}
        for form in ((), ("--json",)):
            seen.add(kneo("spec", "policy-report", str(spec_path), *form).stdout)
    assert len(seen) == 2
