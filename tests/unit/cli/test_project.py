"""Commands within a project."""

import json
import os
import re
import threading
from pathlib import Path

import pytest
import yaml

from kneo_grpc.spec.load import load_text
from kneo_grpc.spec.project import ProjectConfig, read_project

SPEC = "version: v1\nagent:\n  name: a\n  description: base\n"
CONFIG = {
    "project": {"name": "shop"},
    "specs": {
        "default_spec": "specs/main.yaml",
        "overlays": {"dev": ["over/dev.yaml"], "gone": ["over/gone.yaml"]},
        "include_paths": ["lib"],
    },
    "secrets": {"provider_env": {"acme": "ACME_TOKEN"}, "extra_env": {"mcp": "MCP_SECRET"}},
    "environments": {
        "prod": {"policy_enforcement": {"require_human_review": True}},
        "test": {},
    },
}
FINE = {"valid": True, "diagnostics": []}


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """A project; the test stands in its folder."""
    for name in ("KNEO_ENV", "KNEO_PROJECT_CONFIG", "ACME_TOKEN", "MCP_SECRET"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "shop"
    for name, content in {
        ".kneo/config.yaml": yaml.safe_dump(CONFIG),
        "specs/main.yaml": SPEC,
        "over/dev.yaml": "agent:\n  description: dev\n",
        "lib/part.yaml": SPEC.replace("base", "part"),
        "more.yaml": "agent: {system_prompt: more}\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def empty(tmp_path: Path, monkeypatch) -> Path:
    """A folder without a project, in which the test stands."""
    for name in ("KNEO_ENV", "KNEO_PROJECT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def change(project: Path, **sections) -> None:
    config = project / ".kneo" / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, **sections}))


def told(result, code: int = 1) -> str:
    """Return the one line that an error is told in."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", ['sh"op: 1', None])
def test_init_writes_a_config_of_this_name_or_the_folders(kneo, empty: Path, name) -> None:
    assert kneo("config", "init", *(["--name", name] if name else [])).exit_code == 0
    path = empty / ".kneo" / "config.yaml"
    config = read_project(path.read_bytes(), name="x").config
    assert config.project.name == (name or "empty")
    assert {item.name for item in path.parent.iterdir()} == {
        "config.yaml",
        "artifacts",
        "logs",
        "cache",
    }


def test_what_init_leaves_in_comments_is_a_config_with_every_section(kneo, empty: Path) -> None:
    kneo("config", "init")
    text = (empty / ".kneo" / "config.yaml").read_text()
    shown = re.sub(r"^# ( *[a-z_]+: )", r"\1", text, flags=re.MULTILINE)
    whole = re.sub(r"^# ( *[a-z_]+:)$", r"\1", shown, flags=re.MULTILINE)
    read = read_project(whole.encode(), name="x")
    assert read.document.data.keys() == ProjectConfig.model_fields.keys()
    assert not read_project(text.encode(), name="x").config.specs.overlays


def test_init_replaces_nothing_unasked(kneo, empty: Path) -> None:
    kneo("config", "init")
    path = empty / ".kneo" / "config.yaml"
    path.write_text("mine")
    assert "exists; --force replaces it" in told(kneo("config", "init"))
    assert path.read_text() == "mine"
    assert kneo("config", "init", "--force").exit_code == 0
    assert "project:" in path.read_text()


def test_after_init_a_simple_spec_works_here_in_every_environment(kneo, empty: Path) -> None:
    kneo("config", "init")
    (empty / "spec.yaml").write_text(SPEC)
    for words in (
        ("run", "spec.yaml", "--input", "hi"),
        ("run", "spec.yaml", "--input", "hi", "--env", "prod"),
        ("spec", "validate", "spec.yaml", "--env", "prod"),
        ("config", "show"),
        ("config", "resolve"),
    ):
        result = kneo(*words)
        assert result.exit_code == 0, (words, result.output)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "specs/main.yaml", "--input", "x"),
        ("spec", "validate", "specs/main.yaml"),
        ("spec", "resolve", "specs/main.yaml"),
        ("config", "resolve"),
        ("config", "secrets"),
    ],
)
def test_an_environment_that_the_project_does_not_have_is_refused(
    kneo, project: Path, words
) -> None:
    line = told(kneo(*words, "--env", "prdo"), code=2)
    meant = "did you mean `prod`? it has dev, gone, prod, test"
    assert line == f"error: the project has no environment `prdo`: {meant} (environment_unknown)"


def test_a_project_that_says_nothing_of_environments_takes_any(kneo, project: Path) -> None:
    change(project, specs={}, environments={})
    result = kneo("config", "resolve", "--env", "anything", "--json")
    assert json.loads(result.stdout)["environment"] == "anything"


def test_without_a_project_show_warns_and_is_content(kneo, empty: Path) -> None:
    result = kneo("config", "show")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("warning: no project config")


def test_show_prints_the_config_with_its_defaults(kneo, project: Path) -> None:
    data = json.loads(kneo("config", "show", "--json").stdout)
    assert data["project"] == {"name": "shop", "default_environment": "dev", "tags": []}
    assert data["local"]["state_path"] == ".kneo/kneo_runs.sqlite"
    shown = kneo("config", "show").stdout
    assert shown.startswith("# .kneo/config.yaml\nproject:\n  name: shop\n")


def test_resolve_tells_what_commands_work_with(kneo, project: Path, monkeypatch) -> None:
    facts = json.loads(kneo("config", "resolve", "--json").stdout)
    assert facts == {
        "root_dir": str(project),
        "config_path": str(project / ".kneo" / "config.yaml"),
        "environment": "dev",
        "spec_path": "specs/main.yaml",
        "overlay_paths": ["over/dev.yaml"],
        "state_path": str(project / ".kneo" / "kneo_runs.sqlite"),
        "artifact_path": str(project / ".kneo" / "artifacts"),
        "log_path": str(project / ".kneo" / "logs"),
        "cache_path": str(project / ".kneo" / "cache"),
        "service_url": None,
        "has_config": True,
        "secrets": {
            "provider_env": {"acme": "ACME_TOKEN"},
            "extra_env": {"mcp": "MCP_SECRET"},
        },
    }
    monkeypatch.chdir(project / "specs")
    inner = json.loads(kneo("config", "resolve", "--json", "--spec", "x.yaml").stdout)
    assert (inner["root_dir"], inner["spec_path"]) == (str(project), "x.yaml")
    assert inner["overlay_paths"] == ["../over/dev.yaml"]
    assert kneo("config", "resolve").exit_code == 0


@pytest.mark.parametrize(
    ("words", "variable", "environment"),
    [((), None, "dev"), ((), "prod", "prod"), (("--env", "test"), "prod", "test")],
)
def test_the_option_wins_over_the_variable_and_that_over_the_project(
    kneo, project: Path, words, variable, environment
) -> None:
    result = kneo("config", "resolve", "--json", *words, env={"KNEO_ENV": variable})
    assert json.loads(result.stdout)["environment"] == environment


def test_secrets_are_named_and_never_shown(kneo, project: Path) -> None:
    env = {"ACME_TOKEN": "s3cret", "OPENAI_API_KEY": "sk-1", "KNEO_SERV_API_KEY": "tok"}
    result = kneo("config", "secrets", "--json", env={**env, "MCP_SECRET": " "})
    found = json.loads(result.stdout)
    assert found["providers"]["acme"] == {
        "name": "provider:acme",
        "env_var": "ACME_TOKEN",
        "present": True,
        "value": "[REDACTED]",
        "status": "present",
    }
    assert {"openai", "openai-agents", "anthropic", "google", "google-adk"} < set(
        found["providers"]
    )
    assert found["extra"]["mcp"]["present"] is False
    assert found["extra"]["mcp"]["value"] is None
    assert found["service_tokens"]["KNEO_SERV_API_KEY"]["present"] is True
    table = kneo("config", "secrets", env=env).stdout
    for value in ("s3cret", "sk-1", "tok"):
        assert value not in result.stdout.replace("tokens", "")
        assert f" {value} " not in table


def test_the_inventory_is_the_one_that_the_service_shows(kneo, empty: Path) -> None:
    env = {"OPENAI_API_KEY": "s3cret", "KNEO_SERV_API_KEY": "tok"}
    own = json.loads(kneo("config", "secrets", "--json", env=env).stdout)
    shown = json.loads(kneo("credentials", "--local", "--json", env=env).stdout)["inventory"]
    for table in ("providers", "extra", "service_tokens"):
        entries = {
            name: {field: value for field, value in entry.items() if value is not None}
            for name, entry in own[table].items()
        }
        assert entries == shown[table]


def test_secrets_need_no_project(kneo, empty: Path) -> None:
    assert json.loads(kneo("config", "secrets", "--json").stdout)["extra"] == {}


def test_the_resolved_spec_is_written(kneo, project: Path) -> None:
    for words in (
        ("config", "render-spec", "-o", "out.yaml"),
        ("config", "render-spec", "-o", "out.yaml", "--spec", "specs/main.yaml"),
        ("spec", "resolve", "-o", "out.yaml"),
        ("spec", "resolve", "specs/main.yaml", "--output", "out.yaml"),
    ):
        result = kneo(*words)
        assert (result.exit_code, result.stdout) == (0, "Wrote out.yaml for dev.\n")
        data = load_text((project / "out.yaml").read_text()).data
        assert data["agent"]["description"] == "dev"
        assert data["metadata"] == {"project": "shop", "environment": "dev"}
        (project / "out.yaml").unlink()
    printed = kneo("spec", "resolve", "--env", "test", "--overlay", "more.yaml").stdout
    agent = load_text(printed).data["agent"]
    assert (agent["description"], agent["system_prompt"]) == ("base", "more")


def test_run_takes_the_default_spec_as_the_project_has_it(kneo, backend, project: Path) -> None:
    backend.answers["validate_spec"] = FINE
    backend.answers["create_run"] = {"run_id": "r", "status": "completed", "output_text": "hi"}
    assert kneo("run", "-i", "hello").exit_code == 0
    (checked, (_, (body,))) = backend.calls
    assert checked[0] == "validate_spec"
    assert body["environment"] == "dev"
    assert body["spec"]["agent"]["description"] == "dev"
    assert body["input"] == "hello"


def test_a_named_file_wins_and_is_looked_up_in_the_include_paths(kneo, backend, project) -> None:
    backend.answers["validate_spec"] = FINE
    for name in ("lib/part.yaml", "part.yaml", str(project / "lib" / "part.yaml")):
        assert kneo("spec", "validate", name, "--env", "test").exit_code == 0
    bodies = [body for _, (body,) in backend.calls]
    assert {body["spec"]["agent"]["description"] for body in bodies} == {"part"}


def test_a_project_may_go_without_the_check(kneo, backend, project: Path) -> None:
    change(project, specs={**CONFIG["specs"], "validate_on_run": False})
    backend.answers["create_run"] = {"run_id": "r", "status": "completed", "output_text": "hi"}
    assert kneo("run", "-i", "hello").exit_code == 0
    assert [name for name, _ in backend.calls] == ["create_run"]


def test_warnings_of_the_check_are_told_on_stderr(kneo, backend, project: Path) -> None:
    odd = {"code": "W_X", "severity": "warning", "message": "odd", "path": "agent.description"}
    backend.answers["validate_spec"] = {"valid": True, "diagnostics": [odd]}
    backend.answers["create_run"] = {"run_id": "r", "status": "completed", "output_text": "hi"}
    result = kneo("run", "-i", "hello", "--json")
    assert json.loads(result.stdout)["run_id"] == "r"
    assert result.stderr.startswith("over/dev.yaml:2:3: warning W_X odd")


def test_what_cannot_run_is_not_started(kneo, backend, project: Path) -> None:
    wrong = {"code": "E_X", "severity": "error", "message": "no", "path": "agent.name"}
    backend.answers["validate_spec"] = {"valid": False, "diagnostics": [wrong]}
    result = kneo("run", "-i", "hello")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: specs/main.yaml has 1 error (spec_invalid)",
        "specs/main.yaml:3:3: error E_X no",
    ]
    assert [name for name, _ in backend.calls] == ["validate_spec"]


def test_the_policy_stops_a_run_here(kneo, backend, project: Path) -> None:
    result = kneo("run", "-i", "hello", "--env", "prod")
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.endswith("(environment_policy_blocked)")
    assert second.startswith("specs/main.yaml:1:1: error E_ENV_POLICY_HUMAN_REVIEW")
    assert backend.calls == []


def test_the_policy_is_a_finding_of_validate(kneo, backend, project: Path) -> None:
    backend.answers["validate_spec"] = FINE
    result = kneo("spec", "validate", "--env", "prod", "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["valid"]) == (1, False)
    assert [item["code"] for item in answer["diagnostics"]] == ["E_ENV_POLICY_HUMAN_REVIEW"]


def test_a_finding_that_the_service_has_too_is_told_once(kneo, backend, project: Path) -> None:
    same = {
        "code": "E_ENV_POLICY_HUMAN_REVIEW",
        "severity": "error",
        "message": "m",
        "path": "workflow",
    }
    backend.answers["validate_spec"] = {"valid": False, "diagnostics": [same]}
    result = kneo("spec", "validate", "--env", "prod", "--json")
    assert len(json.loads(result.stdout)["diagnostics"]) == 1


def test_an_overlay_that_is_not_there_is_told_with_its_place(kneo, project: Path) -> None:
    line = told(kneo("config", "resolve", "--env", "gone"))
    assert "there is no spec file over/gone.yaml" in line


def test_the_projects_service_is_used_unless_another_is_named(kneo, backend, project, monkeypatch):
    from kneo_grpc.cli.session import Session

    assert Session().connection() is None
    change(project, service={"default_url": "http://project:1"})
    assert Session(api_key="k").connection() == ("http://project:1", "k")
    assert Session(service_url="http://other:1").connection() == ("http://other:1", None)
    assert Session(on_this_machine=True).connection() is None
    profiles = project / "profiles.json"
    kneo(
        "config",
        "profile",
        "set",
        "p",
        "--service-url",
        "http://p",
        env={"KNEO_SERV_PROFILES_PATH": str(profiles)},
    )
    assert Session(profiles_path=profiles).connection() == ("http://project:1", None)
    assert Session(profiles_path=profiles, profile="p").connection() == ("http://p", None)
    change(project)
    assert Session(profiles_path=profiles).connection() == ("http://p", None)


def test_a_service_of_the_project_out_of_reach_is_told_with_the_way_out(kneo, project, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    change(project, service={"default_url": "http://127.0.0.1:9"})
    assert "--local works on this machine instead (unavailable)" in told(kneo("runs", "list"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("project: [", ".kneo/config.yaml:"),
        ("projct: {name: a}", "the field `projct` is not known here"),
        ("project: {name: 3}", ".kneo/config.yaml:1:11: project.name: `name` must be text"),
        ("\x00", ".kneo/config.yaml"),
        ("x: " + "y" * 2_000_000, "larger"),
    ],
    ids=range(5),
)
def test_a_broken_config_is_told_in_its_place(kneo, backend, project: Path, content, words) -> None:
    (project / ".kneo" / "config.yaml").write_text(content)
    for command in (
        ("config", "show"),
        ("config", "resolve"),
        ("config", "secrets"),
        ("config", "render-spec", "-o", "x"),
        ("spec", "resolve"),
        ("spec", "validate"),
        ("run", "-i", "x"),
    ):
        result = kneo(*command)
        assert result.exit_code == 1, command
        assert words in result.stderr.splitlines()[0]
        assert "Traceback" not in result.output


def test_the_variable_names_another_config(kneo, project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("project: {name: other}\n")
    env = {"KNEO_PROJECT_CONFIG": str(other)}
    facts = json.loads(kneo("config", "resolve", "--json", env=env).stdout)
    assert (facts["root_dir"], facts["spec_path"]) == (str(tmp_path), None)
    line = told(kneo("config", "show", env={"KNEO_PROJECT_CONFIG": "gone.yaml"}))
    assert "cannot read the project config gone.yaml" in line


def test_without_any_spec_it_is_wrong_usage(kneo, backend, empty: Path, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert kneo("run", "gone.yaml", "-i", "x").exit_code == 2
    assert kneo("spec", "validate", str(empty)).exit_code == 2


def test_a_config_folder_or_pipe_is_no_config(kneo, empty: Path) -> None:
    (empty / ".kneo").mkdir()
    os.mkfifo(empty / ".kneo" / "config.yaml")
    assert kneo("config", "show").exit_code == 0


def test_local_state_lies_in_the_project(project: Path, monkeypatch) -> None:
    from kneo_grpc.cli.connect import _local_options
    from kneo_grpc.cli.workspace import Workspace
    from kneo_grpc.domain.errors import InvalidInput

    monkeypatch.delenv("KNEO_SERV_STATE_PATH", raising=False)
    monkeypatch.chdir(project / "specs")
    monkeypatch.setattr("sys.path", [])
    state = project / ".kneo" / "kneo_runs.sqlite"
    here = {"skill_root": project}
    assert _local_options(Workspace.open()) == {**here, "state_path": state}
    monkeypatch.setenv("KNEO_SERV_STATE_PATH", "elsewhere")
    assert _local_options(Workspace.open()) == here
    monkeypatch.delenv("KNEO_SERV_STATE_PATH")
    change(project, local={"state_path": "gone/x", "create_missing_dirs": False})
    with pytest.raises(InvalidInput, match="create_missing_dirs"):
        _local_options(Workspace.open())


def test_the_agent_alone_does_not_get_around_a_demanded_person(kneo, project: Path) -> None:
    steps = "workflow: {type: sequential, steps: [{id: p, kind: human, ref: boss}]}\n"
    (project / "asks.yaml").write_text(SPEC + steps + "components: {humans: {boss: {}}}\n")
    words = ("run", "asks.yaml", "--input", "x", "--env", "prod")
    assert "waits for a person" in kneo(*words).stdout
    result = kneo(*words, "--target", "agent")
    assert result.exit_code == 1
    assert "the target `agent` passes the workflow by" in result.stderr
    assert "(environment_policy_blocked)" in result.stderr


def test_skills_lie_in_the_projects_folder_wherever_the_command_is_given(
    kneo, project: Path, monkeypatch
) -> None:
    (project / "tone.md").write_text("Speak softly.")
    spec = "version: v1\nagent: {name: a}\nskills: {tone: {source: tone.md}}\n"
    (project / "skilled.yaml").write_text(spec)
    monkeypatch.chdir(project / "specs")
    words = ("run", "skilled.yaml", "--input", "x", "--env", "test")
    assert kneo(*words, "--add-skill", "tone").exit_code == 0
    assert "declares no skill `tnoe`" in kneo(*words, "--disable-skill", "tnoe").stderr
    (project / "tone.md").unlink()
    assert "there is no skill tone.md" in kneo(*words, "--add-skill", "tone").stderr


def test_skills_are_looked_for_in_the_project_and_nowhere_else(
    kneo, project: Path, monkeypatch
) -> None:
    for folder in (project / "skills" / "tone", project.parent / "skills" / "law"):
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text("Speak softly.")
    monkeypatch.chdir(project / "specs")
    page = json.loads(kneo("spec", "skills", "--json").stdout)
    assert [skill["path"] for skill in page["skills"]] == ["skills/tone"]


@pytest.mark.parametrize("inside", [True, False])
def test_files_that_the_user_names_may_lie_anywhere_and_be_pipes(
    kneo, project: Path, monkeypatch, inside
) -> None:
    if not inside:
        (project.parent / "plain").mkdir()
        monkeypatch.chdir(project.parent / "plain")
    outside = project.parent / "outside.yaml"
    outside.write_text(SPEC)
    (project.parent / "over.yaml").write_text("agent: {name: laid_over}\n")
    options = ("--input", "x", *(("--env", "test") if inside else ()))
    for path in (str(outside), "../outside.yaml"):
        assert kneo("run", path, *options, "--overlay", "../over.yaml").exit_code == 0
    pipe = project.parent / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(SPEC,))
    writer.start()
    result = kneo("run", str(pipe), *options)
    writer.join()
    assert (result.exit_code, result.stdout) == (0, "Final answer: x\n")


@pytest.mark.parametrize("path", ["../outside.yaml", "/etc/hostname", "link.yaml"])
def test_files_that_the_config_names_stay_in_the_project(kneo, project: Path, path) -> None:
    (project.parent / "outside.yaml").write_text(SPEC)
    (project / "link.yaml").symlink_to(project.parent / "outside.yaml")
    change(project, specs={"overlays": {"dev": [path]}})
    result = kneo("run", "more.yaml", "--input", "x")
    assert result.exit_code == 1
    assert "(project_config_invalid)" in result.stderr
