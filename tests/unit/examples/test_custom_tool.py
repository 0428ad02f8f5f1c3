"""The example of a tool of one's own: from a Python function to a service that answers with it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.gateway.support_service import project
from tests.ports import free_port
from tests.processes import kneo, plain_environment, serving

SPEC = "examples/custom_tool/lookup_agent.yaml"
QUESTION = "What's the email for u-002?"
ANSWER = "The directory says: bob@example.com"
# A service blanks e-mail addresses on their way out; a program of your own sees them.
SHOWN = ANSWER.replace("bob@example.com", "[REDACTED_EMAIL]")
PYTHON = sys.executable

TUTORIAL = """
version: v1
agent:
  name: directory-agent
  system_prompt: |
    You answer questions by looking up users with the lookup_user tool.
    Return concise, factual answers.
  model:
    provider: openai
    name: gpt-4o-mini
  strategy:
    type: react
    max_iterations: 4
  runtime_preferences:
    preferred_mode: bridge
    allowed_modes: [bridge]
  tools:
    include: [lookup_user]
workflow:
  type: sequential
  name: lookup-pipeline
  steps:
    - id: answer
      kind: agent
      ref: directory-agent
"""
"""As the tutorial prints it; its model is one that no test can reach."""

STAND_IN = {"agent": {"model": {"provider": "dummy", "name": "dummy"}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = project(tmp_path_factory.mktemp("tool"))
    (made / "examples" / "lookup_agent.yaml").write_text(TUTORIAL)
    return made


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A service that `python examples/custom_tool/serve_lookup.py` started."""
    port = free_port()
    keys = {"KNEO_SERV_API_KEYS": "operator:operator-token:operator"}
    keys["KNEO_SERV_STATE_PATH"] = "service.sqlite"
    program = ("examples/custom_tool/serve_lookup.py", str(port))
    with serving(*program, folder=folder, port=port, **keys):
        yield f"http://127.0.0.1:{port}"


def python(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [PYTHON, *words],
        cwd=folder,
        env=plain_environment(folder, PYTHONPATH=str(folder / "examples" / "custom_tool")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(line: str, folder: Path, url: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        env=plain_environment(folder, BASE=url, KNEO_SERV_API_KEY="operator-token"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_program_runs_the_agent_and_the_command_shows_its_tool_calls(folder: Path) -> None:
    out = python(folder, "examples/custom_tool/run_lookup.py")
    first, answer = out.splitlines()
    assert answer == ANSWER
    shown = kneo("runs", "trace", first.removeprefix("run_id="), "--json", folder=folder)
    events = json.loads(shown.stdout)["events"]
    calls = [event for event in events if event.get("tool_name") == "lookup_user"]
    assert [call["type"] for call in calls] == ["tool_call_started", "tool_call_completed"]
    # Neither the arguments nor the result of a tool are in the trace.
    assert "u-002" not in json.dumps(calls)
    assert "bob@" not in json.dumps(calls)


def test_the_bare_command_does_not_know_the_tool(folder: Path) -> None:
    done = kneo("spec", "validate", "examples/lookup_agent.yaml", folder=folder)
    assert done.returncode == 1
    assert "E_UNKNOWN_TOOL" in done.stdout + done.stderr


LOCAL = """
import json, sys
from my_platform import build_platform
from kneo_grpc import KneoError

spec, overrides = "examples/lookup_agent.yaml", json.loads(sys.argv[1])
with build_platform() as platform:
    found = platform.validate_spec(spec, overrides=overrides)
    result = platform.run_from_spec(spec, "What's the email for u-002?", overrides=overrides)
    events = platform.trace(result["run_id"])["events"]
    print(json.dumps([found, result["output_text"], [event["type"] for event in events]]))
"""


def local(folder: Path, **agent: object) -> tuple[dict, str, list[str]]:
    script = folder / "local.py"
    script.write_text(LOCAL)
    overrides = json.dumps({"agent": {**STAND_IN["agent"], **agent}})
    return tuple(json.loads(python(folder, str(script), overrides)))


def test_the_spec_of_the_tutorial_runs_as_it_is_printed(folder: Path) -> None:
    found, output, _ = local(folder)
    assert found["valid"]
    assert output == ANSWER


def test_a_policy_lets_the_tool_through_or_keeps_it_from_being_called(folder: Path) -> None:
    policy = {"deny": [], "network": False, "filesystem": False, "shell": False}
    found, output, types = local(folder, policies={"tool": {**policy, "allow": ["lookup_user"]}})
    assert found == {"valid": True, "diagnostics": []}
    assert output == ANSWER
    assert "tool_policy_denied" not in types
    _, output, types = local(folder, policies={"tool": {**policy, "allow": ["summarize"]}})
    assert "bob@" not in output
    assert "tool_policy_denied" in types
    assert "tool_call_started" not in types


def test_the_example_is_the_spec_of_the_tutorial_with_a_policy_and_a_stand_in(folder) -> None:
    shown = yaml.safe_load((folder / SPEC).read_text())
    printed = yaml.safe_load(TUTORIAL)
    assert shown["agent"].pop("policies")["tool"]["allow"] == ["lookup_user"]
    printed["agent"]["model"] = STAND_IN["agent"]["model"]
    assert shown == printed


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines of the tutorial are curl's")
def test_curl_runs_the_spec_in_the_service(folder: Path, url: str) -> None:
    body = {
        "input": QUESTION,
        "spec_path": "examples/lookup_agent.yaml",
        "target": "workflow",
        "overrides": STAND_IN,
    }
    (folder / "body.json").write_text(json.dumps(body))
    line = (
        "curl -sf -X POST $BASE/v1/runs "
        '-H "Authorization: Bearer $KNEO_SERV_API_KEY" '
        "-H 'Content-Type: application/json' -d @body.json"
    )
    run = json.loads(shell(line, folder, url))
    assert (run["status"], run["output_text"]) == ("completed", SHOWN)
    line = f'curl -sf $BASE/v1/runs/{run["run_id"]}/trace -H "X-Kneo-Api-Key: $KNEO_SERV_API_KEY"'
    types = [event["type"] for event in json.loads(shell(line, folder, url))["events"]]
    assert "tool_call_completed" in types
    assert "lookup_user" in shell("curl -sf $BASE/readyz -H 'X-Kneo-Api-Key: operator-token'",
                                  folder, url)  # fmt: skip


def test_the_command_runs_the_spec_in_the_service(folder: Path, url: str) -> None:
    service = ("--service-url", url)
    key = {"KNEO_SERV_API_KEY": "operator-token"}
    checked = kneo("spec", "validate", SPEC, *service, folder=folder, **key)
    assert checked.returncode == 0, checked.stderr
    ran = kneo("run", SPEC, *service, "--input", QUESTION, "--target", "workflow", "--json",
               folder=folder, **key)  # fmt: skip
    run = json.loads(ran.stdout)
    assert (run["status"], run["output_text"]) == ("completed", SHOWN)
    shown = kneo("runs", "trace", run["run_id"], *service, folder=folder, **key)
    assert re.search(r"tool_call_completed", shown.stdout)
