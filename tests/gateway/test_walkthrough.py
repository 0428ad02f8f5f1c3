"""The smoke workflow from pause to end, in a service that runs as its own process.

Rows 1 to 10 of the contract's walk, each with what this service answers, over HTTP/JSON on both
route families, over gRPC by reflection, and with the kneo command.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.support_service import (
    Answer,
    BufCaller,
    Caller,
    CommandCaller,
    HttpCaller,
    RunningService,
    end_left_over,
    project,
    serving,
)
from tests.processes import kneo, plain_environment

SMOKE = "examples/smoke_human_workflow.yaml"
UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
WAYS = ("http /v1", "http", "buf curl", "kneo http", "kneo grpc")
HTTP_STATUS_TOLD = ("http /v1", "http")
EXTRAS_TOLD = (*HTTP_STATUS_TOLD, "buf curl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("walk"))


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[RunningService]:
    with serving(folder, KNEO_SERV_AUTH_ENABLED="true") as running:
        yield running


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def caller(way: str, service: RunningService, folder: Path) -> Caller:
    port = service.port
    return {
        "http /v1": HttpCaller(service.url, "/v1"),
        "http": HttpCaller(service.url, ""),
        "buf curl": BufCaller(service.url),
        "kneo http": CommandCaller(service.url, folder),
        "kneo grpc": CommandCaller(f"grpc://127.0.0.1:{port}", folder),
    }[way]


def expect(way: str, answer: Answer, error: str | None, http: int, **extras: Any) -> None:
    """Check how a call ended; HTTP status and extras as far as the way tells them."""
    assert answer.error == error
    if way in HTTP_STATUS_TOLD:
        assert answer.http == http
    if way in EXTRAS_TOLD:
        assert {name: answer.extras.get(name) for name in extras} == extras


def events(caller: Caller, run_id: str) -> list[tuple[int, str]]:
    trace = caller.look("trace", run_id)
    assert (trace["count"], trace["total"]) == (len(trace["events"]), len(trace["events"]))
    return [(event["sequence"], event["type"]) for event in trace["events"]]


def checkpoints(caller: Caller, run_id: str) -> list[tuple[int, str, str | None]]:
    listed = caller.look("checkpoints", run_id)["checkpoints"]
    return [(item["sequence"], item["type"], item.get("step_id")) for item in listed]


def test_the_walk_from_pause_to_end(caller: Caller, way: str) -> None:
    # 1: the run waits for a person.
    created = caller.create("hi", SMOKE)
    expect(way, created, None, 202)
    paused = created.body
    run_id, task = paused["run_id"], paused["continuation_id"]
    assert (paused["status"], paused["human_intervention_required"]) == ("blocked", True)
    assert "output_text" not in paused
    request = paused["metadata"]["pending_human_request"]
    assert request == paused["metadata"]["request"]
    assert request["id"] == request["request_id"]
    assert (request["type"], request["requested_by"]) == ("approval", "approve")
    assert (request["timeout_seconds"], request["on_timeout"]) == (3600, "escalate")
    for prefix, name in (("run", run_id), ("cont", task), ("req", request["id"])):
        assert re.fullmatch(f"{prefix}_{UUID7}", name)
    assert events(caller, run_id) == [(1, "workflow_started"), (2, "human_intervention_requested")]
    started = caller.look("trace", run_id)["events"][0]
    assert started["metadata"] == {"start_index": 0, "step_count": 2}
    # 2 and 3: where it stands.
    begun = [(1, "run_started", None), (2, "human_pause", "approve")]
    assert checkpoints(caller, run_id) == begun
    context = caller.look("recovery", run_id)["replay_context"]
    assert (context["can_continue"], context["can_replay"]) == (False, True)
    # 4: the decision, with a key.
    decision = {"request_id": request["request_id"], "decision": "approved"}
    key = f"walk {way}"
    resumed = caller.resume(task, decision, key)
    expect(way, resumed, None, 200)
    ended = resumed.body
    assert (ended["run_id"], ended["status"]) == (run_id, "completed")
    assert ended["output_text"] == "Final answer: hi"
    assert ended["metadata"]["workflow"]["visited_steps"] == ["approve", "respond"]
    assert ended["metadata"]["resumed_from_continuation_id"] == task
    # 5 and 6: what was written, gap-free over both legs.
    assert checkpoints(caller, run_id) == [
        *begun,
        (3, "human_resume", "approve"),
        (4, "step_completed", "approve"),
        (5, "step_completed", "respond"),
        (6, "run_completed", None),
    ]
    trace = caller.look("trace", run_id)["events"]
    assert [(event["sequence"], event["type"]) for event in trace[2:]] == [
        (3, "workflow_resumed"),
        (4, "run_started"),
        (5, "run_completed"),
        (6, "workflow_completed"),
    ]
    assert trace[2]["metadata"] == {"start_index": 1}
    assert trace[3]["agent_name"] == "smoke-responder"
    # 7: the same key and body is the same answer, and does nothing.
    repeated = caller.resume(task, decision, key)
    expect(way, repeated, None, 200)
    assert repeated.body == ended
    assert len(events(caller, run_id)) == 6
    # 8: the same key with another body.
    other = caller.resume(task, {**decision, "content": "other"}, key)
    expect(way, other, "idempotency_key_conflict", 409, scope="human:resume")
    # 9: a second decision.
    second = caller.resume(task, decision)
    expect(way, second, "run_state_conflict", 409, run_id=run_id, status="completed")


@pytest.mark.parametrize(
    ("decision", "content", "output"),
    [
        ("edited", "E", "Final answer: E"),
        ("rejected", "no", "Final answer: Rejected by human reviewer: no"),
    ],
)
def test_each_decision_hands_its_text_on(
    caller: Caller, way: str, decision: str, content: str, output: str
) -> None:
    # 10
    paused = caller.create("hi", SMOKE).body
    request_id = paused["metadata"]["pending_human_request"]["request_id"]
    answer = caller.resume(
        paused["continuation_id"],
        {"request_id": request_id, "decision": decision, "content": content},
    )
    expect(way, answer, None, 200)
    assert (answer.body["status"], answer.body["output_text"]) == ("completed", output)


def test_a_task_survives_the_service_s_death(tmp_path: Path) -> None:
    project(tmp_path)
    with serving(tmp_path) as first:
        caller = HttpCaller(first.url, "/v1")
        paused = caller.create("hi", SMOKE).body
        children = first.kill()
    end_left_over(children, 0)
    with serving(tmp_path) as second:
        caller = HttpCaller(second.url, "/v1")
        assert len(events(caller, paused["run_id"])) == 2
        request_id = paused["metadata"]["request"]["id"]
        decision = {"request_id": request_id, "decision": "approved"}
        resumed = caller.resume(paused["continuation_id"], decision).body
    assert (resumed["status"], resumed["output_text"]) == ("completed", "Final answer: hi")


def test_the_gateway_ends_with_its_service(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        children = running.kill()
    assert len(children) == 1
    assert end_left_over(children, 5) == []


# The tutorial's commands. Its reader has a checkout, and types these lines.

Shell = Callable[..., str]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Types a line; returns what it prints. A command that fails fails the test."""
    project(tmp_path)

    def run(line: str, **env: str) -> str:
        words = shlex.split(line)
        if words[0] == "kneo":
            done = kneo(*words[1:], folder=tmp_path, **env)
        else:
            done = subprocess.run(
                words,
                env=plain_environment(tmp_path, **env),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_specs_are_checked_and_run_on_this_machine(shell: Shell) -> None:
    assert "is valid" in shell("kneo spec validate examples/research_agent.yaml")
    question = "Summarize the plan in three bullet points"
    path = "examples/research_agent.yaml"
    printed = shell(f'kneo run {path} --input "{question}" --target workflow')
    assert printed == f"[compressed] Final answer: {question}\n"
    assert "completed" in shell("kneo runs list")
    assert shell("kneo human list") == "No tasks.\n"


def test_a_person_decides_on_this_machine(shell: Shell) -> None:
    line = 'kneo run examples/human_approval_workflow.yaml --input "draft it" --target workflow'
    paused = json.loads(shell(f"{line} --json"))
    assert paused["metadata"]["pending_human_request"]["request_id"].startswith("req_")
    task = paused["continuation_id"]
    assert task in shell("kneo human list")
    assert "Draft report for: draft it" in shell(f"kneo human get {task}")
    shell(f"kneo human resume {task} --approve")
    run_id = paused["run_id"]
    assert json.loads(shell(f"kneo runs get {run_id} --json"))["status"] == "completed"
    assert "workflow_resumed" in shell(f"kneo runs trace {run_id}")
    assert "human_resume" in shell(f"kneo runs checkpoints {run_id}")


def test_a_run_through_a_service_and_through_a_saved_profile(
    shell: Shell, service: RunningService
) -> None:
    run = f'kneo run {SMOKE} --input "hello" --target workflow'
    url = service.url
    answer = json.loads(
        shell(f"{run} --service-url {url} --json", KNEO_SERV_API_KEY="operator-token")
    )
    assert answer["status"] == "blocked"
    key = "--api-key operator-token"
    shown = shell(f"kneo config profile set local --service-url {url} {key}")
    shown += shell("kneo config profile use local")
    shown += shell("kneo config profile list")
    assert "operator-token" not in shown
    assert "waits for a person" in shell(f"{run} --profile local")
    assert answer["continuation_id"] in shell("kneo human list --profile local")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_service_is_used_with_curl(shell: Shell, service: RunningService) -> None:
    def curl(role: str, path: str, *words: str, body: Any = None) -> Any:
        line = ["curl", "-sf", f"{service.url}{path}"]
        line += ["-H", f"Authorization: Bearer {role}-token", *words]
        if body is not None:
            line += ["-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return json.loads(shell(shlex.join(line)))

    assert json.loads(shell(f"curl -sf {service.url}/livez"))["ok"] is True
    assert json.loads(shell(f"curl -sf {service.url}/readyz"))["metadata"]["ready"] is True
    spec_path = "examples/human_approval_workflow.yaml"
    body = {"input": "draft it", "spec_path": spec_path, "target": "workflow"}
    paused = curl("operator", "/v1/runs", body=body)
    run_id, task = paused["run_id"], paused["continuation_id"]
    listed = curl("operator", f"/v1/human-tasks?run_id={run_id}")
    assert [item["continuation_id"] for item in listed["tasks"]] == [task]
    request = curl("operator", f"/v1/human-tasks/{task}")["request"]
    decision = {
        "request_id": request["request_id"],
        "decision": "approved",
        "content": "Looks good.",
    }
    path, key = f"/v1/human-tasks/{task}/resume", ("-H", f"Idempotency-Key: curl {run_id}")
    resumed = curl("reviewer", path, *key, body=decision)
    assert resumed["status"] == "completed"
    assert curl("reviewer", path, *key, body=decision) == resumed
    recovery = curl("viewer", f"/runs/{run_id}/recovery")
    assert recovery["replay_context"]["can_continue"] is False
