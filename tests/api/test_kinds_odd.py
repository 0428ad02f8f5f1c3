"""Workflows that are odd, endless, large or at odds with themselves: each ends with a reason."""

import asyncio

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2, run_pb2
from tests.api.test_kinds import FORK, edge, part, resume, run, stored
from tests.service import data, failure
from tests.waiting import until

LARGE = 65_536


async def task_of(service, task_id):
    return await service.tasks.GetHumanTask(
        human_task_pb2.GetHumanTaskRequest(continuation_id=task_id)
    )


async def pending_tasks(service):
    listed = await service.tasks.ListHumanTasks(human_task_pb2.ListHumanTasksRequest())
    return list(listed.tasks)


async def questions(service, count):
    """Wait until so many people are asked; return the tasks."""

    async def asked() -> list:
        tasks = await pending_tasks(service)
        return tasks if len(tasks) >= count else []

    return await until(asked)


async def test_a_condition_on_a_missing_variable_holds_for_nothing(service) -> None:
    graph = {
        "type": "graph",
        "start": "a",
        "nodes": {name: part(name) for name in "abc"},
        "edges": [
            edge("a", "b", type="variable_equals", key="absent", value=""),
            edge(
                "a",
                "c",
                type="not",
                condition={"type": "variable_equals", "key": "absent", "value": "x"},
            ),
        ],
    }
    done = data(await run(service, graph))
    assert (done["status"], done["output_text"]) == ("completed", "hi..")
    assert done["metadata"]["workflow"]["visited_nodes"] == ["a", "c"]


async def test_branches_that_loop_for_ever_fail_at_max_steps_together(service) -> None:
    graph = {
        "type": "graph",
        "start": "a",
        "nodes": {"a": part("a", fan_out=True), "b": part("b"), "c": part("c")},
        "edges": [edge("a", "b"), edge("a", "c"), edge("b", "b"), edge("c", "c")],
        "max_steps": 9,
    }
    done = data(await run(service, graph))
    kept = await stored(service, done["run_id"])
    assert (kept["status"], kept["error"]["type"]) == ("failed", "max_iterations")
    assert "max_steps (9)" in kept["error"]["message"]
    _, error = await failure(
        service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=done["run_id"]))
    )
    assert error["error"] == "run_state_conflict"


async def test_branches_that_never_meet_are_merged_at_the_end(service, code) -> None:
    graph = {
        "type": "graph",
        "start": "a",
        "nodes": {"a": part("a", fan_out=True), "b": part("b"), "c": part("c"), "d": part("d")},
        "edges": [edge("a", "b"), edge("a", "c"), edge("b", "d"), edge("c", "d")],
    }
    done = data(await run(service, graph))
    assert (done["status"], done["output_text"]) == ("completed", "hi...\n\nhi...")
    assert sorted(path for path, _, _ in code.CALLS) == ["a#1", "b#1", "c#1", "d#1", "d#2"]


async def test_a_handoff_to_nobody_fails_with_a_reason_and_may_be_asked_again(service) -> None:
    handoff = {
        "type": "handoff",
        "participants": [part("a"), part("b")],
        "selector": {"type": "agent", "ref": "chooser"},
    }
    chooser = {"name": "chooser", "model": {"provider": "dummy", "name": "dummy"}}
    for _ in range(2):
        done = data(await run(service, handoff, agents={"chooser": chooser}))
        kept = await stored(service, done["run_id"])
        assert (kept["status"], kept["error"]["type"]) == ("failed", "handoff_target_unknown")
        assert kept["visited_steps"] == []
    again = await service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=done["run_id"]))
    assert again.status == "failed"


async def test_a_thousand_steps_complete(service, code) -> None:
    steps = [part(f"s{number}") for number in range(1000)]
    done = data(await run(service, {"type": "sequential", "steps": steps}))
    assert (done["status"], len(done["output_text"])) == ("completed", 1002)
    assert [path for path, _, _ in code.CALLS] == [f"s{number}#1" for number in range(1000)]
    kept = await stored(service, done["run_id"])
    assert len(kept["visited_steps"]) == 1000


async def test_a_large_text_is_handed_on_two_hundred_times(service, code) -> None:
    code.note = lambda text: text[-LARGE:].rjust(LARGE, "x")
    steps = [part(f"s{number}") for number in range(200)]
    done = data(await run(service, {"type": "sequential", "steps": steps}))
    assert done["status"] == "completed"
    assert done["output_text"] == "x" * (LARGE - 2) + "hi"


async def test_a_resume_of_a_branch_that_failed_with_another_is_refused(service, code) -> None:
    graph = {**FORK, "nodes": {**FORK["nodes"], "c": part("c", ref="gated")}}
    code.gated = lambda text: code.GATE.wait(20) and code.broken(text)
    call = asyncio.create_task(run(service, graph))
    (task,) = await questions(service, 1)
    kept = await stored(service, task.run_id)
    code.GATE.set()
    assert (await call).status == "failed"
    assert (await task_of(service, task.id)).status == "cancelled"
    assert not await pending_tasks(service)
    status, error = await failure(resume(service, kept, task.id))
    assert (status, error["http"]) == (grpc.StatusCode.FAILED_PRECONDITION, 409)
    assert error["error"] == "run_state_conflict"


async def test_a_resume_of_a_branch_that_came_too_late_is_refused(service, code) -> None:
    nodes = {**FORK["nodes"], "c": part("c", ref="gated"), "d": part("d", join="any")}
    call = asyncio.create_task(run(service, {**FORK, "nodes": nodes}))
    (task,) = await questions(service, 1)
    kept = await stored(service, task.run_id)
    code.GATE.set()
    assert (await call).status == "completed"
    assert (await task_of(service, task.id)).status == "cancelled"
    _, error = await failure(resume(service, kept, task.id))
    assert (error["error"], error["http"]) == ("run_state_conflict", 409)


async def test_one_answer_leaves_the_other_questions_open(service) -> None:
    people = [part(name, "human", ref="boss") for name in "abc"]
    paused = data(await run(service, {"type": "concurrent", "participants": people}))
    kept = await stored(service, paused["run_id"])
    first, second, third = kept["continuation_ids"]
    for task, left, content in ((second, {first, third}, "B"), (first, {third}, "A")):
        half = await resume(service, kept, task, "edited", content=content)
        assert half.status == "blocked"
        assert {item.id for item in await pending_tasks(service)} == left
    done = await resume(service, kept, third, "edited", content="C")
    assert (done.status, done.output_text) == ("completed", "A\n\nB\n\nC")


async def test_two_answers_at_the_same_moment_both_land(service) -> None:
    """Twenty times: whichever comes second finds the run busy or blocked anew."""

    async def once(number):
        people = [part(name, "human", ref="boss") for name in "ab"]
        paused = data(await run(service, {"type": "concurrent", "participants": people}))
        kept = await stored(service, paused["run_id"])
        asked = [*zip(kept["continuation_ids"], "AB", strict=True)]
        if number % 2:
            asked.reverse()
        calls = [resume(service, kept, task, "edited", content=text) for task, text in asked]
        answers = await asyncio.gather(*calls)
        assert {answer.status for answer in answers} <= {"blocked", "running", "completed"}

        async def completed() -> dict | None:
            kept = await stored(service, paused["run_id"])
            return kept if kept["status"] == "completed" else None

        assert (await until(completed))["output_text"] == "A\n\nB"

    await asyncio.gather(*(once(number) for number in range(20)))
    assert not await pending_tasks(service)


@pytest.mark.parametrize("join", ["any", "all"])
async def test_a_question_beside_a_workflow_that_is_over_at_once(service, join) -> None:
    empty = {"name": "empty", "type": "sequential", "steps": [part("x", enabled=False)]}
    graph = {
        "type": "graph",
        "start": "a",
        "nodes": {
            "a": part("a", fan_out=True),
            "h": part("h", "human", ref="boss"),
            "e": part("e", "workflow", ref="empty"),
            "d": part("d", join=join),
        },
        "edges": [edge("a", "h"), edge("a", "e"), edge("h", "d"), edge("e", "d")],
    }
    done = await run(service, graph, workflows={"empty": empty})
    if join == "all":
        assert done.status == "blocked"
        kept = await stored(service, done.run_id)
        done = await resume(service, kept, done.continuation_id)
    assert done.status == "completed"
    assert not await pending_tasks(service)


async def test_a_branch_that_fails_as_another_comes_to_a_person(service, code) -> None:
    """Both results come at the same moment: the question is over before it is asked."""
    meeting, arrived = asyncio.Event(), []

    async def meets(text):
        arrived.append(text)
        if len(arrived) == 2:
            meeting.set()
        await meeting.wait()
        return text

    async def breaks(text):
        await meets(text)
        raise ValueError("it broke")

    code.note, code.broken = meets, breaks
    asks = {"name": "asks", "type": "sequential"}
    asks["steps"] = [part("x"), part("h", "human", ref="boss")]
    members = [part("a", "workflow", ref="asks"), part("b", ref="broken")]
    flow = {"type": "concurrent", "participants": members}
    async with asyncio.timeout(10):
        done = await run(service, flow, workflows={"asks": asks})
    assert done.status == "failed"
    assert not await pending_tasks(service)
    assert (await stored(service, done.run_id))["error"]["message"] == "it broke"


async def test_a_text_that_is_too_large_fails_its_step_once(service, code) -> None:
    step = {**part("big", ref="huge"), "max_retries": 3}
    failed = await run(service, {"type": "sequential", "steps": [step, part("next")]}, "y")
    assert failed.status == "failed"
    kept = await stored(service, failed.run_id)
    assert (kept["error"]["type"], kept["error"]["step_id"]) == ("output_too_large", "big")
    assert code.CALLS == ["huge"]
