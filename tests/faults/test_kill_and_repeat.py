"""kill -9 after a call's effect and before its answer: the repeat gets the effect's answer."""

import asyncio
from typing import Any

import grpc

from kneo_grpc._gen.kneo.v1 import human_task_pb2, run_pb2, run_result_pb2
from tests.faults.service_process import SPEC, Calls, Site
from tests.service import create, failure, human_spec

KEY = (("idempotency-key", "once"),)
BREAKS = {
    **SPEC,
    "workflow": {**SPEC["workflow"], "steps": [{"id": "act", "kind": "function", "ref": "act"}]},
    "components": {"functions": {"act": {"implementation": "tests.faults.acts.fail_first"}}},
}


async def test_a_repeat_after_a_kill_gets_the_answer_of_the_first_call(site: Site) -> None:
    """A create, a resume, a continue and a cancel, each held up right after its commit."""
    first = await site.start(hold_commits=True, WORKER_LEASE_SECONDS="1").ready()
    async with first.calls() as calls:
        requests = [*await prepare(site, calls)]
        pending = [asyncio.ensure_future(call(calls, request)) for request in requests]
        for request in requests:
            await site.ledger_line(reached=gate_of(request))
        first.kill()
        answers = await asyncio.gather(*pending, return_exceptions=True)
        assert all(isinstance(answer, grpc.aio.AioRpcError) for answer in answers)
    await site.sessions_ended()

    second = await site.start(WORKER_LEASE_SECONDS="1").ready()
    async with second.calls() as calls:
        for request in requests:
            answer, replayed = await repeated(calls, request)
            assert replayed, request
            assert answer.status == EXPECTED[type(request)]
            again, replayed = await repeated(calls, request)
            assert (again, replayed) == (answer, True)
        listed = await calls.runs.ListRuns(run_pb2.ListRunsRequest())
        assert listed.total == len(requests)
    actions = [row["event_type"] for row in await site.rows("audit_events")]
    # Two decisions were part of the preparation.
    wanted = {"run.created": 4, "human.decision": 3, "run.continued": 1, "run.cancelled": 1}
    assert {action: actions.count(action) for action in wanted} == wanted


EXPECTED = {
    run_result_pb2.CreateRunRequest: "completed",
    human_task_pb2.ResumeHumanTaskRequest: "completed",
    run_pb2.ContinueRunRequest: "completed",
    run_pb2.CancelRunRequest: "cancelled",
}
"""What has become of the runs when another process has done what was left."""

GATES = {
    run_result_pb2.CreateRunRequest: "after:1",
    human_task_pb2.ResumeHumanTaskRequest: "after:2",
    run_pb2.ContinueRunRequest: "after:3",
    run_pb2.CancelRunRequest: "after:4",
}
"""The number of the commit in its run that is the call's effect."""


def gate_of(request: Any) -> str:
    return GATES[type(request)]


async def prepare(site: Site, calls: Calls) -> list[Any]:
    """Bring runs to where they can be resumed, continued and cancelled; close the gates."""
    asked = await calls.runs.CreateRun(create("to after:2", spec=human_spec()))
    failed = await calls.runs.CreateRun(create("to after:3", spec=BREAKS))
    assert (asked.status, failed.status) == ("blocked", "failed")
    # Three commits lie before its cancel: the create and two resumes, each up to the next question.
    thrice = human_spec()
    for name in ("again", "once more"):
        thrice["workflow"]["steps"].insert(1, {"id": name, "kind": "human", "ref": "boss"})
    blocked = await calls.runs.CreateRun(create("to after:4", spec=thrice))
    for _ in range(2):
        blocked = await calls.tasks.ResumeHumanTask(approve(blocked))
    for gate in GATES.values():
        site.close_gate(gate)
    return [
        create("to after:1", spec=SPEC),
        approve(asked),
        run_pb2.ContinueRunRequest(run_id=failed.run_id),
        run_pb2.CancelRunRequest(run_id=blocked.run_id),
    ]


def approve(result: Any) -> human_task_pb2.ResumeHumanTaskRequest:
    return human_task_pb2.ResumeHumanTaskRequest(
        continuation_id=result.continuation_id,
        request_id=result.metadata["pending_human_request"]["id"],
        decision="approved",
    )


def call(calls: Calls, request: Any) -> Any:
    rpc = {
        run_result_pb2.CreateRunRequest: calls.runs.CreateRun,
        human_task_pb2.ResumeHumanTaskRequest: calls.tasks.ResumeHumanTask,
        run_pb2.ContinueRunRequest: calls.runs.ContinueRun,
        run_pb2.CancelRunRequest: calls.runs.CancelRun,
    }[type(request)]
    return rpc(request, metadata=KEY)


async def repeated(calls: Calls, request: Any) -> tuple[Any, bool]:
    """Repeat a call until what it began has ended; meanwhile it must say so."""
    for _ in range(400):
        under_way = call(calls, request)
        try:
            answer = await under_way
        except grpc.aio.AioRpcError:
            code, error = await failure(under_way)
            assert (code, error["error"]) == (
                grpc.StatusCode.ABORTED,
                "idempotency_key_in_progress",
            )
            await asyncio.sleep(0.05)
            continue
        headers = dict(await under_way.initial_metadata())
        return answer, headers.get("idempotency-replayed") == "true"
    raise AssertionError(f"never ended: {request}")
