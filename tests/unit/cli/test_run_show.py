"""kneo runs show: the picture of a run. How each kind looks: tests/api/test_pictures.py."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from kneo_grpc.cli import run_show
from kneo_grpc.cli.run_picture import picture, plain
from kneo_grpc.domain.errors import NotFound
from tests.fakes import FakeClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds):
    return (NOW + timedelta(seconds=seconds)).isoformat()


def step(name, status="completed", **fields):
    return {
        "path": f"{name}#1",
        "step_id": name,
        "kind": "function",
        "ref": name,
        "status": status,
        "attempt": 1,
        "iteration": 1,
        "started_at": at(-60),
        "ended_at": at(-58.5),
        **fields,
    }


def node(name, **fields):
    return {"id": name, "kind": "function", "name": name, "ref": name, "enabled": True, **fields}


RUN = {
    "run_id": "run_1",
    "status": "running",
    "workflow_name": "flow",
    "workflow_kind": "sequential",
    "created_at": at(-61),
    "started_at": at(-60),
    "continuation_ids": [],
    "pending_human_requests": [],
}
GRAPH = {
    "run_id": "run_1",
    "status": "running",
    "workflow_name": "flow",
    "workflow_kind": "sequential",
    "nodes": [node("a"), node("b"), node("c", enabled=False)],
    "edges": [{"source": "a", "target": "b", "conditional": False, "priority": 0}],
    "subgraphs": [],
    "visited": ["a"],
    "steps": [step("a", attempt=3), step("b", "retry", started_at=at(-7400), ended_at=None)],
    "step_count": 2,
}


def lines(run=RUN, graph=GRAPH, **changes):
    return plain(picture(run, {**graph, **changes}, NOW)).splitlines()


@pytest.fixture
def filled(backend):
    backend.answers.update(get_run=RUN, run_graph=GRAPH)
    return backend


def test_a_pipe_gets_one_picture_without_colours(kneo, filled):
    result = kneo("runs", "show", "run_1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert filled.calls == [("get_run", ("run_1",)), ("run_graph", ("run_1",))]
    assert "\x1b" not in result.stdout
    assert "├─ ✓ a  function a" in result.stdout


def test_json_is_the_run_and_its_graph(kneo, filled):
    result = kneo("runs", "show", "run_1", "--json")
    assert json.loads(result.stdout) == {"run": RUN, "graph": GRAPH}


def test_a_flowchart_has_states_as_classes(kneo, filled):
    result = kneo("runs", "show", "run_1", "--mermaid")
    first, *rest = result.stdout.splitlines()
    assert first == "flowchart TD"
    assert "  class w0n0 completed" in rest
    assert "  class w0n1 retry" in rest
    assert "  class w0n2 off" in rest


def test_a_failure_is_told_on_stderr(kneo, backend):
    backend.answers["get_run"] = NotFound("there is no run run_1")
    result = kneo("runs", "show", "run_1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: there is no run run_1 (not_found)\n"


def test_times_attempts_and_what_was_left_out_are_told():
    assert lines() == [
        "run_1  running",
        "  flow (sequential)",
        "  began 2026-01-01 11:59:00 UTC, 1 min 0 s so far",
        "",
        "├─ ↻ b  function b  2 h 3 min  retry",
        "├─ ✓ a  function a      1.5 s  attempt 3",
        "└─ · c  function c             left out",
    ]


def test_a_run_that_waits_in_the_queue_has_not_begun():
    queued = {**RUN, "status": "queued", "started_at": None}
    drawn = lines(queued, steps=[], visited=[], step_count=0)
    assert drawn[2] == "  created 2026-01-01 11:58:59 UTC, not begun"
    assert [line[3] for line in drawn[4:]] == ["·", "·", "·"]


def test_of_many_executions_the_newest_are_drawn():
    many = [
        step("a", path=f"a#{number}", iteration=number, started_at=at(number))
        for number in range(1, 41)
    ]
    drawn = lines(steps=many, step_count=50)
    assert drawn[3] == "  the newest 40 of 50 steps"
    assert drawn[5].startswith("├─ · … 10 earlier")
    assert drawn[6].startswith("├─ ✓ a#11 ")
    assert drawn[35].startswith("├─ ✓ a#40 ")


def test_names_of_users_steer_neither_terminal_nor_flowchart(kneo, backend):
    evil = 'a\x1b[2J\nrun_9  completed\u202eb\r"]; click w0n0 "javascript:x"\n%%{init}%%<b>'
    question = {"prompt": evil, "assignee": evil, "requested_by": evil}
    error = {"type": evil, "message": evil, "step_id": evil}
    run = {
        **RUN,
        "run_id": evil,
        "workflow_name": evil,
        "parent_run_id": evil,
        "error": error,
        "continuation_ids": [evil],
        "pending_human_requests": [question],
    }
    flow = {"id": evil, "workflow_name": evil, "workflow_kind": "graph", "nodes": [node(evil)]}
    inside = step(evil, path=f"{evil}#1/{evil}#1", parent_path=f"{evil}#1", branch=evil)
    graph = {
        **GRAPH,
        "workflow_name": evil,
        "nodes": [node(evil, kind="workflow", subgraph=evil)],
        "edges": [{"source": evil, "target": evil, "label": evil, "conditional": True}],
        "subgraphs": [flow],
        "visited": [evil],
        "steps": [step(evil, "failed", error=error, fallback_step=evil), inside],
    }
    backend.answers.update(get_run=run, run_graph=graph)
    shown = kneo("runs", "show", "run_1").stdout
    assert not set(shown) & {"\x1b", "\u202e", "\r"}
    assert not [line for line in shown.splitlines() if line.startswith("run_9")]
    chart = kneo("runs", "show", "run_1", "--mermaid").stdout
    assert not set(chart) & {"\x1b", "\u202e", "\r"}
    assert not [sign for sign in ("javascript:", "%%", "<b>", '"]; ') if sign in chart]
    assert {line.split()[0] for line in chart.splitlines()} <= {
        *("flowchart", "subgraph", "end", "classDef", "class"),
        *(line.split()[0] for line in chart.splitlines() if line.lstrip().startswith("w")),
    }


class Looks:
    """A backend whose run changes from look to look."""

    def __init__(self, *statuses):
        self.left = list(statuses)

    async def get_run(self, run_id):
        return {**RUN, "status": self.left.pop(0)}

    async def run_graph(self, run_id):
        return GRAPH


def test_a_run_is_drawn_every_second_until_it_has_ended():
    drawn, clock = [], FakeClock(NOW)
    backend = Looks("queued", "running", "blocked", "running", "failed", "never")
    asyncio.run(run_show.follow(backend, "run_1", drawn.append, clock))
    heads = [plain(picture_of).splitlines()[0] for picture_of in drawn]
    statuses = ["queued", "running", "blocked", "running", "failed"]
    assert heads == [f"run_1  {status}" for status in statuses]
    assert clock.now() - NOW == timedelta(seconds=4)


@pytest.fixture
def terminal(monkeypatch):
    """The command thinks that it writes to a terminal."""
    monkeypatch.setattr(run_show, "_on_terminal", lambda: True)


def test_a_terminal_gets_the_moving_picture(kneo, backend, terminal):
    backend.answers.update(get_run={**RUN, "status": "completed"}, run_graph=GRAPH)
    result = kneo("runs", "show", "run_1")
    assert result.exit_code == 0
    assert "✓ a" in result.stdout
    once = kneo("runs", "show", "run_1", "--once")
    assert "✓ a" in once.stdout


def test_ctrl_c_leaves_without_a_word(kneo, backend, terminal, monkeypatch):
    async def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_show, "follow", interrupted)
    backend.answers["interrupted"] = None
    result = kneo("runs", "show", "run_1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Interrupted" not in result.stdout
