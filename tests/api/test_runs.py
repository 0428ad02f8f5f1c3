import asyncio

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import health_pb2, human_task_pb2, run_pb2
from tests.api.conftest import in_module_loop
from tests.service import create, data, failure, function_spec, human_spec
from tests.waiting import until

Code = grpc.StatusCode


async def get(service, run_id):
    return await service.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id))


def trace_of(service, run_id):
    return service.runs.GetRunTrace(run_pb2.GetRunTraceRequest(run_id=run_id))


def checkpoints_of(service, run_id):
    return service.runs.ListCheckpoints(run_pb2.ListCheckpointsRequest(run_id=run_id))


async def test_a_create_returns_the_run_when_it_ended(service) -> None:
    result = await service.runs.CreateRun(create(spec=function_spec("note")))
    assert (result.status, result.output_text) == ("completed", "hi.")
    stored = await get(service, result.run_id)
    assert (stored.status, stored.output_text, list(stored.visited_steps)) == (
        "completed",
        "hi.",
        ["note"],
    )


async def test_a_call_carries_an_idempotency_key_of_its_own(service, code) -> None:
    result = await service.runs.CreateRun(create(spec=function_spec("note")))
    assert [("note#1", f"{result.run_id}/note#1/0", 1)] == code.CALLS


async def test_a_failed_step_is_an_answer_with_the_run_s_id(service) -> None:
    result = await service.runs.CreateRun(create(spec=function_spec("note", "broken", "number")))
    assert (result.status, result.error.type) == ("failed", "ValueError")
    kinds = [c.type for c in (await checkpoints_of(service, result.run_id)).checkpoints]
    assert kinds == ["run_started", "step_completed", "step_failed", "run_failed"]


async def test_code_that_ends_its_thread_fails_its_step_only(service) -> None:
    result = await service.runs.CreateRun(create(spec=function_spec("exits")))
    assert (result.status, result.error.type) == ("failed", "SystemExit")
    again = await service.runs.CreateRun(create(spec=function_spec("note")))
    assert again.status == "completed"


async def test_what_a_function_returns_becomes_text(service) -> None:
    result = await service.runs.CreateRun(create(spec=function_spec("number")))
    assert result.output_text == "42"


async def test_a_step_that_takes_too_long_is_given_up(service) -> None:
    spec = function_spec("gated", gated={"timeout_seconds": 1})
    result = await service.runs.CreateRun(create(spec=spec))
    assert (result.error.type, result.error.message) == (
        "RetryTimeoutError",
        "Operation timed out after 1 seconds.",
    )


@pytest.mark.parametrize("name", ["cancels", "cancels_too"])
async def test_a_cancellation_of_the_code_s_own_fails_its_step(service, name) -> None:
    calling = service.runs.CreateRun(create(spec=function_spec(name)))
    result = await asyncio.wait_for(calling, 20)
    assert (result.status, result.error.type) == ("failed", "CancelledError")
    assert result.error.message == "their own task was cancelled"


async def test_a_timeout_of_the_code_s_own_is_not_the_step_s(service) -> None:
    spec = function_spec("impatient", impatient={"timeout_seconds": 60})
    result = await service.runs.CreateRun(create(spec=spec))
    found = (result.error.type, result.error.message)
    assert found == ("TimeoutError", "the shop does not answer")


async def test_retries_are_recorded(service) -> None:
    spec = function_spec("broken", broken={"on_error": "retry", "max_retries": 2})
    result = await service.runs.CreateRun(create(spec=spec))
    assert result.status == "failed"
    kinds = [e.type for e in (await trace_of(service, result.run_id)).events]
    assert kinds.count("step_retried") == 2


async def test_the_smoke_walk_leaves_the_documented_history(service) -> None:
    paused = await service.runs.CreateRun(create(spec_path="examples/smoke_human_workflow.yaml"))
    assert paused.status == "blocked"
    request = data(paused)["metadata"]["pending_human_request"]
    assert (request["type"], request["requested_by"]) == ("approval", "approve")
    assert (request["timeout_seconds"], request["on_timeout"]) == (3600, "escalate")
    resumed = await service.tasks.ResumeHumanTask(
        human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=paused.continuation_id, request_id=request["id"], decision="approved"
        )
    )
    assert (resumed.status, resumed.output_text) == ("completed", "Final answer: hi")
    assert data(resumed)["metadata"]["resumed_from_continuation_id"] == paused.continuation_id
    assert "pending_human_request" not in data(resumed)["metadata"]
    events = (await trace_of(service, paused.run_id)).events
    assert [(e.sequence, e.type) for e in events] == [
        (1, "workflow_started"),
        (2, "human_intervention_requested"),
        (3, "workflow_resumed"),
        (4, "run_started"),
        (5, "run_completed"),
        (6, "workflow_completed"),
    ]
    assert data(events[0])["metadata"] == {"start_index": 0, "step_count": 2}
    assert data(events[2])["metadata"] == {"start_index": 1}
    marks = (await checkpoints_of(service, paused.run_id)).checkpoints
    assert [(c.sequence, c.type, c.step_id) for c in marks] == [
        (1, "run_started", ""),
        (2, "human_pause", "approve"),
        (3, "human_resume", "approve"),
        (4, "step_completed", "approve"),
        (5, "step_completed", "respond"),
        (6, "run_completed", ""),
    ]
    assert data(marks[1])["state"]["status"] == "blocked"
    assert data(marks[5])["state"]["output_text"] == "Final answer: hi"


async def test_recovery_of_a_waiting_run_cannot_continue_but_replay(service) -> None:
    paused = await service.runs.CreateRun(create(spec=human_spec()))
    view = await service.runs.GetRunRecovery(run_pb2.GetRunRecoveryRequest(run_id=paused.run_id))
    assert (view.replay_context.can_continue, view.replay_context.can_replay) == (False, True)


async def test_recovery_of_a_failed_run_tells_where_to_go_on(service) -> None:
    failed = await service.runs.CreateRun(create(spec=function_spec("note", "broken", "number")))
    view = await service.runs.GetRunRecovery(run_pb2.GetRunRecoveryRequest(run_id=failed.run_id))
    context = view.replay_context
    assert (context.can_continue, context.next_step_index) == (True, 1)
    assert (context.failed_step, context.resume_input) == ("broken", "hi.")


async def test_cancel_reaches_a_step_under_way(service) -> None:
    creating = asyncio.ensure_future(service.runs.CreateRun(create(spec=function_spec("waits"))))

    async def running():
        page = await service.runs.ListRuns(run_pb2.ListRunsRequest(status="running"))
        return page.runs

    (run,) = await until(running)
    cancelled = await service.runs.CancelRun(run_pb2.CancelRunRequest(run_id=run.run_id))
    assert (cancelled.status, cancelled.error.type) == ("cancelled", "cancelled")
    answer = await asyncio.wait_for(creating, 5)
    assert answer.status == "cancelled"
    again = await service.runs.CancelRun(run_pb2.CancelRunRequest(run_id=run.run_id))
    assert again.updated_at == cancelled.updated_at


async def test_cancel_of_a_waiting_run_closes_its_task(service) -> None:
    paused = await service.runs.CreateRun(create(spec=human_spec()))
    await service.runs.CancelRun(run_pb2.CancelRunRequest(run_id=paused.run_id))
    listed = await service.tasks.ListHumanTasks(human_task_pb2.ListHumanTasksRequest())
    assert not listed.tasks
    request_id = data(paused)["metadata"]["request"]["id"]
    code, error = await failure(
        service.tasks.ResumeHumanTask(
            human_task_pb2.ResumeHumanTaskRequest(
                continuation_id=paused.continuation_id,
                request_id=request_id,
                decision="approved",
            )
        )
    )
    assert (code, error["error"], error["http"]) == (
        Code.FAILED_PRECONDITION,
        "run_state_conflict",
        409,
    )


async def test_a_repeat_with_the_same_key_is_the_first_call_s_answer(service) -> None:
    header = (("idempotency-key", "k1"),)
    first = await service.runs.CreateRun(create(spec=function_spec("note")), metadata=header)
    call = service.runs.CreateRun(create(spec=function_spec("note")), metadata=header)
    assert await call == first
    assert dict(await call.initial_metadata())["idempotency-replayed"] == "true"
    code, error = await failure(
        service.runs.CreateRun(create("other", spec=function_spec("note")), metadata=header)
    )
    assert (code, error["error"], error["scope"]) == (
        Code.ALREADY_EXISTS,
        "idempotency_key_conflict",
        "runs:create",
    )


async def test_of_many_creates_with_one_key_one_makes_a_run(service) -> None:
    header = (("idempotency-key", "k2"),)
    calls = [
        service.runs.CreateRun(create(spec=function_spec("note")), metadata=header)
        for _ in range(32)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    made = {answer.run_id for answer in answers if not isinstance(answer, BaseException)}
    assert len(made) == 1
    for answer in answers:
        if isinstance(answer, BaseException):
            assert answer.code() is Code.ABORTED
    listed = await service.runs.ListRuns(run_pb2.ListRunsRequest())
    assert listed.total == 1


async def test_a_slow_step_delays_no_probe(service) -> None:
    for kind in ("slow", "burn"):
        creating = asyncio.ensure_future(service.runs.CreateRun(create(spec=function_spec(kind))))
        probes = 0
        while not creating.done():
            # Less than the step takes.
            answer = await service.health.GetLiveness(health_pb2.GetLivenessRequest(), timeout=0.5)
            assert answer.ok
            probes += 1
        assert (await creating).status == "completed"
        assert probes > 5, "the probes waited for the step"


@in_module_loop
@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"text": "x" * 20_001}, "input"),
        ({"target": "nonsense"}, "target"),
        ({"metadata": {"k": "x" * 32_768}}, "metadata"),
        ({"overrides": {"k": "x" * 65_536}}, "overrides"),
        ({"spec": {"k": "x" * 262_144}}, "spec"),
        ({"spec_path": "x" * 4_097}, "spec_path"),
        ({"text": "a\0b"}, "input"),
    ],
)
async def test_a_field_out_of_its_bounds_is_named(common, fields, wrong) -> None:
    fields = {"spec": function_spec("note"), **fields}
    text = fields.pop("text", "hi")
    code, error = await failure(common.runs.CreateRun(create(text, **fields)))
    assert (code, error["error"], error["http"]) == (
        Code.INVALID_ARGUMENT,
        "validation_error",
        422,
    )
    assert [item["field"] for item in error["fields"]] == [wrong]


async def test_an_input_at_the_limit_is_taken(service) -> None:
    result = await service.runs.CreateRun(create("x" * 20_000, spec=function_spec("note")))
    assert result.status == "completed"


async def test_a_create_without_spec_is_refused(service) -> None:
    code, error = await failure(service.runs.CreateRun(create()))
    assert (code, error["error"], error["http"]) == (
        Code.INVALID_ARGUMENT,
        "invalid_request",
        400,
    )


@pytest.mark.parametrize("path", ["../x.yaml", "/etc/passwd", "~/x.yaml", "a/../../x", "link.yaml"])
async def test_a_spec_path_that_leaves_the_root_is_refused(service, tmp_path, path) -> None:
    (tmp_path / "link.yaml").symlink_to("/etc/passwd")
    _code, error = await failure(service.runs.CreateRun(create(spec_path=path)))
    assert (error["error"], error["http"]) == ("spec_path_confined", 422)


async def test_a_spec_file_that_is_missing_is_named(service) -> None:
    _code, error = await failure(service.runs.CreateRun(create(spec_path="no.yaml")))
    assert (error["error"], error["http"]) == ("invalid_request", 400)
    assert "no.yaml" in error["message"]


async def test_a_spec_with_a_missing_reference_tells_where(service) -> None:
    spec = function_spec("note")
    spec["workflow"]["steps"][0]["ref"] = "nothing"
    _code, error = await failure(service.runs.CreateRun(create(spec=spec)))
    assert (error["error"], error["http"]) == ("spec_invalid", 400)
    first = error["diagnostics"][0]
    assert (first["code"], first["path"]) == ("E_STEP_FUNCTION_REF", "workflow.steps[0].ref")


async def test_code_outside_the_allowed_modules_is_never_imported(service) -> None:
    spec = function_spec("note")
    spec["components"]["functions"]["note"]["implementation"] = "antigravity.geohash"
    _code, error = await failure(service.runs.CreateRun(create(spec=spec)))
    assert [item["code"] for item in error["diagnostics"]] == ["E_IMPORT_NOT_ALLOWED"]
    import sys

    assert "antigravity" not in sys.modules


async def test_five_hundred_findings_fit_into_one_answer(service) -> None:
    spec = function_spec("note")
    spec["workflow"]["steps"] = [
        {"id": f"s{number}", "kind": "function", "ref": f"missing{number}"} for number in range(500)
    ]
    code, error = await failure(service.runs.CreateRun(create(spec=spec)))
    assert code is Code.INVALID_ARGUMENT
    assert error["truncated"] is True
    assert error["diagnostics_total"] >= 500
    assert 0 < len(error["diagnostics"]) < 100


async def test_unknown_runs_are_not_found_by_every_method(service) -> None:
    for call in (
        get(service, "run_nope"),
        service.runs.CancelRun(run_pb2.CancelRunRequest(run_id="run_nope")),
        trace_of(service, "run_nope"),
        checkpoints_of(service, "run_nope"),
        service.runs.GetRunRecovery(run_pb2.GetRunRecoveryRequest(run_id="run_nope")),
        service.tasks.GetHumanTask(human_task_pb2.GetHumanTaskRequest(continuation_id="cont_x")),
    ):
        code, error = await failure(call)
        assert (code, error["error"], error["http"]) == (Code.NOT_FOUND, "not_found", 404)


@in_module_loop
@pytest.mark.parametrize("run_id", ["", "x" * 5000, "a\nb"])
async def test_what_is_no_id_is_refused(common, run_id) -> None:
    _code, error = await failure(get(common, run_id))
    assert error["error"] == "validation_error"


@in_module_loop
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", 0),
        ("limit", 1001),
        ("offset", -1),
        ("offset", 10_001),
        ("sort_by", "nonsense"),
        ("sort_order", "up"),
        ("status", "sleeping"),
    ],
)
async def test_a_page_out_of_its_bounds_is_refused(common, field, value) -> None:
    _code, error = await failure(common.runs.ListRuns(run_pb2.ListRunsRequest(**{field: value})))
    assert (error["error"], error["fields"][0]["field"]) == ("validation_error", field)


async def test_runs_are_listed_by_status_and_its_aliases(service) -> None:
    await service.runs.CreateRun(create(spec=function_spec("note")))
    await service.runs.CreateRun(create(spec=human_spec()))
    for word, count in (("paused", 1), ("blocked", 1), ("succeeded", 1), ("failed", 0)):
        page = await service.runs.ListRuns(run_pb2.ListRunsRequest(status=word))
        assert (page.count, page.total) == (count, count)
    both = await service.runs.ListRuns(run_pb2.ListRunsRequest(limit=1))
    assert (both.count, both.total, both.runs[0].status) == (1, 2, "blocked")


async def test_undecodable_bytes_are_an_invalid_request(service) -> None:
    raw = service.channel.unary_unary("/kneo.v1.RunService/GetRun")
    code, error = await failure(raw(b"\xff\xff\xff"))
    assert (code, error["error"]) == (Code.INVALID_ARGUMENT, "invalid_request")


async def test_a_struct_of_forty_levels_is_an_invalid_request(service) -> None:
    nested = {}
    for _ in range(40):
        nested = {"a": nested}
    code, error = await failure(service.runs.CreateRun(create(spec=nested)))
    assert (code, error["error"]) == (Code.INVALID_ARGUMENT, "invalid_request")


async def test_an_oversized_message_is_refused_clearly(service) -> None:
    code, error = await failure(service.runs.CreateRun(create("x" * 1_100_000)))
    assert (code, error["error"], error["http"]) == (
        Code.RESOURCE_EXHAUSTED,
        "payload_too_large",
        413,
    )


async def test_an_unexpected_error_tells_nothing(service, monkeypatch, caplog) -> None:
    async def explode(*_):
        raise RuntimeError("secret inside")

    monkeypatch.setattr(type(service.platform.store), "load_run", explode)
    code, error = await failure(get(service, "run_x"))
    assert (code, error["error"]) == (Code.INTERNAL, "internal_error")
    assert "secret" not in str(error)
    assert any(
        "secret inside" in (record.exc_text or str(record.exc_info)) for record in caplog.records
    )
