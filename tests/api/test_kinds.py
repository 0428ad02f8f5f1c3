"""Every workflow kind through the whole service: parallel, with people, and what stands after."""

import asyncio
import time

import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2, run_pb2
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.platform.runs import Runs
from tests.service import create, data, failure
from tests.waiting import until

LIST = human_task_pb2.ListHumanTasksRequest()


def part(name, kind="function", **fields):
    return {"id": name, "kind": kind, "ref": fields.pop("ref", "note"), **fields}


def spec_of(workflow, **components):
    return {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {"name": "flow", **workflow},
        "components": {
            "functions": {
                name: {"implementation": f"kneo_test_code.{name}"}
                for name in ("note", "broken", "gated", "second", "good", "bad", "huge")
            },
            "humans": {"boss": {"request_type": "review"}},
            **components,
        },
    }


def edge(source, to, **condition):
    return {"from": source, "to": to, **({"condition": condition} if condition else {})}


async def run(service, workflow, text="hi", **components):
    return await service.runs.CreateRun(create(spec=spec_of(workflow, **components), input=text))


def resume(service, run, task, decision="approved", **fields):
    asked = zip(run["continuation_ids"], run["pending_human_requests"], strict=True)
    pending = {known: request["id"] for known, request in asked}
    return service.tasks.ResumeHumanTask(
        human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=task, request_id=pending[task], decision=decision, **fields
        )
    )


async def stored(service, run_id):
    return data(await service.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id)))


async def test_three_participants_work_side_by_side_and_their_texts_are_merged(service) -> None:
    members = [part(name, ref="second") for name in "abc"]
    begun = time.monotonic()
    done = await run(service, {"type": "concurrent", "participants": members})
    assert (done.status, done.output_text) == ("completed", "hi\n\nhi\n\nhi")
    assert time.monotonic() - begun < 2.5


async def test_a_loop_goes_round_until_its_condition_holds(service) -> None:
    graph = {
        "type": "graph",
        "start": "a",
        "nodes": {"a": part("a"), "b": part("b")},
        "edges": [
            edge("a", "b", type="output_contains", value="..."),
            edge("a", "a"),
        ],
    }
    done = data(await run(service, graph))
    assert done["output_text"] == "hi...."
    facts = done["metadata"]["workflow"]
    assert (facts["visited_nodes"], facts["termination"]) == (
        ["a", "a", "a", "b"],
        "no_matching_edge",
    )


async def test_an_endless_loop_fails_with_a_reason(service) -> None:
    graph = {
        "type": "graph",
        "start": "a",
        "nodes": {"a": part("a")},
        "edges": [edge("a", "a")],
        "max_steps": 7,
    }
    done = data(await run(service, graph))
    assert (done["status"], done["metadata"]["workflow"]["termination"]) == ("failed", "max_steps")
    kept = await stored(service, done["run_id"])
    assert kept["error"]["type"] == "max_iterations"
    assert len(kept["visited_nodes"]) == 7
    view = await service.runs.GetRunRecovery(run_pb2.GetRunRecoveryRequest(run_id=done["run_id"]))
    assert not view.replay_context.can_continue


FORK = {
    "type": "graph",
    "start": "a",
    "nodes": {
        "a": part("a", fan_out=True),
        "b": part("b", "human", ref="boss"),
        "c": part("c", "human", ref="boss"),
        "d": part("d", join="all"),
    },
    "edges": [edge("a", "b"), edge("a", "c"), edge("b", "d"), edge("c", "d")],
}


async def test_two_people_are_asked_at_once_and_each_answers_alone(service) -> None:
    paused = data(await run(service, FORK))
    assert paused["status"] == "blocked"
    kept = await stored(service, paused["run_id"])
    first, second = kept["continuation_ids"]
    half = await resume(service, kept, second, "edited", content="C")
    assert half.status == "blocked"
    kept_now = await stored(service, paused["run_id"])
    assert kept_now["continuation_ids"] == [first]
    _, error = await failure(resume(service, kept, second))
    assert error["error"] == "run_state_conflict"
    done = await resume(service, kept, first, "edited", content="B")
    assert (done.status, done.output_text) == ("completed", "B\n\nC.")


async def test_a_decision_that_another_one_overtakes_is_refused(service, monkeypatch) -> None:
    """The task is decided, and the run blocked again by its other one, between two reads."""
    paused = data(await run(service, FORK))
    kept = await stored(service, paused["run_id"])
    first, second = kept["continuation_ids"]
    real, overtaken = Runs.get, False

    async def get(runs, run_id):
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            await resume(service, kept, first, "edited", content="B")
        return await real(runs, run_id)

    monkeypatch.setattr(Runs, "get", get)
    _, error = await failure(resume(service, kept, first, "edited", content="late"))
    assert error["error"] == "run_state_conflict"
    done = await resume(service, kept, second, "edited", content="C")
    assert (done.status, done.output_text) == ("completed", "B\n\nC.")


async def test_a_decision_is_taken_while_another_branch_works(service, code) -> None:
    graph = {**FORK, "nodes": {**FORK["nodes"], "c": part("c", ref="gated")}}
    call = asyncio.create_task(run(service, graph))
    for _ in range(500):
        tasks = await service.tasks.ListHumanTasks(human_task_pb2.ListHumanTasksRequest())
        if tasks.tasks:
            break
        await asyncio.sleep(0.01)
    task = tasks.tasks[0]
    kept = await stored(service, task.run_id)
    assert kept["status"] == "running"
    answer = await resume(service, kept, task.id, "edited", content="B")
    assert answer.status == "running"
    _, error = await failure(resume(service, kept, task.id))
    assert error["error"] == "resource_locked"
    for _ in range(500):
        visited = (await stored(service, task.run_id))["visited_nodes"]
        if visited == ["a", "b"]:
            break
        await asyncio.sleep(0.01)
    assert visited == ["a", "b"]
    code.GATE.set()
    done = await call
    assert (done.status, done.output_text) == ("completed", "B\n\nhi..")


async def test_an_escalation_while_another_branch_works_stays_with_the_run(service, code) -> None:
    graph = {**FORK, "nodes": {**FORK["nodes"], "c": part("c", ref="gated")}}
    boss = {"request_type": "review", "timeout_seconds": 1, "on_timeout": "escalate"}
    call = asyncio.create_task(run(service, graph, humans={"boss": boss}))
    escalated = human_task_pb2.ListHumanTasksRequest(status="escalated")
    deadline = time.monotonic() + 10
    while not (tasks := (await service.tasks.ListHumanTasks(escalated)).tasks):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    code.GATE.set()
    paused = data(await call)
    assert paused["status"] == "blocked"
    (pending,) = (await stored(service, tasks[0].run_id))["pending_human_requests"]
    assert "escalated_at" in pending["metadata"]
    assert "escalated_at" in paused["metadata"]["pending_human_request"]["metadata"]


async def test_a_database_that_is_away_while_a_decision_comes_ends_no_branch(
    service, code, monkeypatch
) -> None:
    graph = {**FORK, "nodes": {**FORK["nodes"], "c": part("c", ref="gated")}}
    call = asyncio.create_task(run(service, graph))

    async def asked() -> list:
        return list((await service.tasks.ListHumanTasks(LIST)).tasks)

    (task,) = await until(asked)
    store, away = service.platform.store, []
    load = store.load_human_task

    async def load_human_task(continuation_id):
        if len(away) < 2 and asyncio.current_task() in [leg.task for leg in legs]:
            away.append(continuation_id)
            raise StoreUnavailable("The database does not answer.")
        return await load(continuation_id)

    legs = list(service.platform.legs._driven.values())
    monkeypatch.setattr(store, "load_human_task", load_human_task)
    await resume(service, await stored(service, task.run_id), task.id, "edited", content="B")
    await until(lambda: len(away) == 2)
    code.GATE.set()
    done = await call
    assert (done.status, done.output_text) == ("completed", "B\n\nhi..")
    assert (await stored(service, task.run_id))["attempt"] == 1


async def test_of_two_branches_the_first_to_come_goes_on(service, code) -> None:
    nodes = {**FORK["nodes"], "c": part("c", ref="gated"), "d": part("d", join="any")}
    nodes["b"] = part("b")
    done = await run(service, {**FORK, "nodes": nodes})
    assert (done.status, done.output_text) == ("completed", "hi...")
    code.GATE.set()
    kept = await stored(service, done.run_id)
    assert kept["visited_nodes"] == ["a", "b", "d"]


async def test_a_failing_branch_ends_the_question_to_a_person_and_a_continue_asks_anew(
    service, code
) -> None:
    graph = {**FORK, "nodes": {**FORK["nodes"], "c": part("c", ref="broken")}}
    done = data(await run(service, graph))
    assert done["status"] == "failed"
    waiting = await service.tasks.ListHumanTasks(human_task_pb2.ListHumanTasksRequest())
    assert not waiting.tasks
    code.broken = lambda text: text + "?"
    again = await service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=done["run_id"]))
    assert again.status == "blocked"
    kept = await stored(service, done["run_id"])
    (task,) = kept["continuation_ids"]
    over = await resume(service, kept, task)
    assert (over.status, over.output_text) == ("completed", "hi.\n\nhi.?.")
    assert [path for path, _, _ in code.CALLS] == ["a#1", "d#1"]


async def test_a_handoff_through_all_participants_succeeds(service) -> None:
    members = [part(name) for name in "abc"]
    done = data(await run(service, {"type": "handoff", "participants": members}))
    assert (done["status"], done["output_text"]) == ("completed", "hi...")
    cut = {"type": "handoff", "participants": members, "max_iterations": 2}
    failed = data(await run(service, cut))
    assert failed["status"] == "failed"
    assert (await stored(service, failed["run_id"]))["error"]["type"] == "max_iterations"


async def test_a_chat_goes_in_rounds_until_it_is_over(service) -> None:
    chat = {
        "type": "group-chat",
        "participants": [part("a"), part("b", "human", ref="boss")],
        "rounds": 3,
        "stop_when": {"type": "output_contains", "value": "enough"},
    }
    paused = data(await run(service, chat))
    for content in ("go on", "enough"):
        assert paused["status"] == "blocked"
        kept = await stored(service, paused["run_id"])
        (task,) = kept["continuation_ids"]
        paused = data(await resume(service, kept, task, "edited", content=content))
    assert (paused["status"], paused["output_text"]) == ("completed", "enough")
    assert (await stored(service, paused["run_id"]))["visited_steps"] == ["a", "b", "a", "b"]


@pytest.mark.parametrize(("rule", "status"), [("fail", "failed"), ("goto", "blocked")])
async def test_a_rejection_takes_the_path_that_the_spec_declares(service, rule, status) -> None:
    ask = part("ask", "human", ref="boss", on_reject=rule)
    if rule == "goto":
        ask["goto_ref"] = "write"
    paused = await run(service, {"type": "sequential", "steps": [part("write"), ask]})
    kept = await stored(service, paused.run_id)
    after = await resume(service, kept, paused.continuation_id, "rejected", content="no")
    assert after.status == status
    kept = await stored(service, paused.run_id)
    if rule == "fail":
        assert kept["error"] == {"type": "rejected", "message": "no", "step_id": "ask"}
        return
    (task,) = kept["continuation_ids"]
    done = await resume(service, kept, task)
    assert (done.status, done.output_text) == ("completed", "Rejected by human reviewer: no.")


async def test_what_ends_in_the_moment_of_a_failure_is_not_executed_again(service, code) -> None:
    members = [part("b", ref="bad"), part("g", ref="good")]
    call = asyncio.create_task(run(service, {"type": "concurrent", "participants": members}))
    await until(lambda: code.CALLS == ["good"])
    code.TOGETHER.set()
    failed = await call
    assert failed.status == "failed"

    async def mended(text: str) -> str:
        return text + "!"

    code.bad = mended
    again = await service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=failed.run_id))
    assert (again.status, again.output_text) == ("completed", "hi!\n\nhi+")
    assert code.CALLS == ["good"]
