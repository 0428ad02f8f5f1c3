import asyncio
import contextlib
import sqlite3
import time
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2, maintenance_pb2, queue_pb2, run_pb2
from kneo_grpc.app import loops
from kneo_grpc.platform import timers
from kneo_grpc.platform.retention import RetentionSettings
from kneo_grpc.ports.upkeep import Kept
from tests.api.conftest import in_module_loop
from tests.fakes import ShiftedClock
from tests.service import create, data, failure, function_spec, human_spec, open_service

Code = grpc.StatusCode


async def get(service, run_id):
    return await service.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id))


async def until_status(service, run_id, *statuses, seconds=15.0):
    deadline = time.monotonic() + seconds
    while (run := await get(service, run_id)).status not in statuses:
        assert time.monotonic() < deadline, f"the run is still {run.status}"
        await asyncio.sleep(0.02)
    return run


def checkpoints_of(service, run_id):
    return service.runs.ListCheckpoints(run_pb2.ListCheckpointsRequest(run_id=run_id))


@pytest.fixture
async def idle(settings, code, tmp_path):
    """A service whose API leaves every run to workers that do not exist."""
    async for opened in open_service(settings, tmp_path, works=False, executes=False):
        yield opened


async def test_a_queued_run_is_executed_by_the_worker(service) -> None:
    call = service.runs.CreateRun(create(spec=function_spec("note"), async_mode=True))
    result = await call
    assert (result.status, result.output_text) == ("queued", "")
    assert dict(await call.initial_metadata())["x-kneo-http-status"] == "202"
    run = await until_status(service, result.run_id, "completed")
    assert (run.output_text, run.attempt) == ("hi.", 1)
    kinds = [c.type for c in (await checkpoints_of(service, run.run_id)).checkpoints]
    assert kinds == ["run_started", "step_completed", "run_completed"]


async def test_many_queued_runs_are_all_executed_once(service, code) -> None:
    calls = [
        service.runs.CreateRun(create(spec=function_spec("note"), async_mode=True))
        for _ in range(100)
    ]
    results = await asyncio.gather(*calls)
    for result in results:
        await until_status(service, result.run_id, "completed")
    keys = [key for _, key, _ in code.CALLS]
    assert len(keys) == len(set(keys)) == 100


async def test_a_queued_run_can_be_seen_and_cancelled(idle) -> None:
    result = await idle.runs.CreateRun(create(spec=function_spec("note"), async_mode=True))
    listed = await idle.queue.ListQueue(queue_pb2.ListQueueRequest())
    assert [(job.run_id, job.state, job.claims) for job in listed.jobs] == [
        (result.run_id, "ready", 0)
    ]
    page = await idle.runs.ListRuns(run_pb2.ListRunsRequest(status="queued"))
    assert page.total == 1
    view = await idle.runs.GetRunRecovery(run_pb2.GetRunRecoveryRequest(run_id=result.run_id))
    assert (view.replay_context.can_continue, view.replay_context.resume_input) == (False, "hi")
    cancelled = await idle.runs.CancelRun(run_pb2.CancelRunRequest(run_id=result.run_id))
    assert cancelled.status == "cancelled"
    assert not (await idle.queue.ListQueue(queue_pb2.ListQueueRequest())).jobs


async def test_an_api_without_worker_waits_for_one(settings, code, tmp_path) -> None:
    async for opened in open_service(settings, tmp_path, works=True, executes=False):
        result = await opened.runs.CreateRun(create(spec=function_spec("note")))
        assert (result.status, result.output_text) == ("completed", "hi.")


async def test_a_queue_that_is_full_refuses(settings, code, tmp_path) -> None:
    full = replace(settings, queue_depth_max=2)
    async for opened in open_service(full, tmp_path, works=False, executes=False):
        for _ in range(2):
            await opened.runs.CreateRun(create(spec=function_spec("note"), async_mode=True))
        code_, error = await failure(
            opened.runs.CreateRun(create(spec=function_spec("note"), async_mode=True))
        )
        assert (code_, error["error"], error["http"]) == (Code.UNAVAILABLE, "queue_full", 503)
        assert (error["queue_depth"], error["limit"]) == (2, 2)


async def test_calls_that_come_at_once_do_not_exceed_what_a_process_executes(
    settings, code, tmp_path, monkeypatch
) -> None:
    """None of them has landed when the others are looked at."""
    async for opened in open_service(replace(settings, runs_max=2), tmp_path):
        landing, commit = asyncio.Event(), opened.platform.store.commit

        async def held(changes, landing=landing, commit=commit):
            await landing.wait()
            return await commit(changes)

        monkeypatch.setattr(opened.platform.store, "commit", held)
        spec = function_spec("gated")
        calls = [asyncio.ensure_future(opened.runs.CreateRun(create(spec=spec))) for _ in range(8)]
        async with asyncio.timeout(10):
            while sum(call.done() for call in calls) < 6:  # noqa: ASYNC110 # gRPC tells no event
                await asyncio.sleep(0.01)
        landing.set()
        code.GATE.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert len(refused) == 6
        assert {error.code() for error in refused} == {Code.UNAVAILABLE}


async def test_a_restart_goes_on_after_the_last_committed_step(settings, code, tmp_path) -> None:
    """The first process is dropped while step two runs, as a crash would drop it."""
    spec = function_spec("note", "gated", "number")
    async for first in open_service(settings, tmp_path):
        result = await first.runs.CreateRun(create(spec=spec, async_mode=True))
        deadline = time.monotonic() + 10
        while not (await get(first, result.run_id)).visited_steps:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    assert [path for path, _, _ in code.CALLS] == ["note#1"]
    code.GATE.set()
    async for second in open_service(settings, tmp_path):
        run = await until_status(second, result.run_id, "completed")
        assert (run.output_text, run.attempt) == ("42", 2)
        kinds = [c.type for c in (await checkpoints_of(second, run.run_id)).checkpoints]
        assert kinds == ["run_started", *["step_completed"] * 3, "run_completed"]
    assert [path for path, _, _ in code.CALLS] == ["note#1"]


async def test_a_failed_run_is_continued_and_repeats_no_step(service, code) -> None:
    spec = function_spec("note", "broken", "number")
    failed = await service.runs.CreateRun(create(spec=spec))
    assert failed.status == "failed"
    code.broken.__code__ = (lambda text: text + "!").__code__
    call = service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=failed.run_id))
    result = await call
    assert (result.status, result.output_text) == ("completed", "42")
    assert not result.HasField("error")
    assert [path for path, _, _ in code.CALLS] == ["note#1"]
    kinds = [c.type for c in (await checkpoints_of(service, failed.run_id)).checkpoints]
    assert kinds == [
        "run_started",
        "step_completed",
        "step_failed",
        "run_failed",
        "replay_context",
        "step_completed",
        "step_completed",
        "run_completed",
    ]
    code_, error = await failure(
        service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=failed.run_id))
    )
    assert (code_, error["error"], error["status"]) == (
        Code.FAILED_PRECONDITION,
        "run_state_conflict",
        "completed",
    )


@pytest.mark.parametrize("how", ["continued", "put back"])
async def test_a_run_that_goes_on_has_its_deadline_again(service, settings, code, how) -> None:
    spec = function_spec("flaky", "gated")
    failed = await service.runs.CreateRun(create(spec=spec, timeout_seconds=3600))
    before = await get(service, failed.run_id)
    assert (before.status, jobs_of(settings, "deadline")) == ("failed", 0)
    if how == "continued":
        call = service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=failed.run_id))
    else:
        call = service.queue.RequeueRun(queue_pb2.RequeueRunRequest(run_id=failed.run_id))
    running = await until_status(service, failed.run_id, "running")
    assert running.deadline_at == before.deadline_at
    due_now(settings)
    await until_status(service, failed.run_id, "timed_out")
    await call


async def test_a_deadline_that_passed_before_a_run_goes_on_holds_no_more(
    service, settings, code
) -> None:
    failed = await service.runs.CreateRun(create(spec=function_spec("flaky"), timeout_seconds=60))
    with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
        connection.execute("update runs set deadline_at = created_at")
        connection.commit()
    request = run_pb2.ContinueRunRequest(run_id=failed.run_id)
    assert (await service.runs.ContinueRun(request)).status == "completed"
    run = await get(service, failed.run_id)
    assert not run.HasField("deadline_at")


async def test_of_many_continues_one_is_taken(service, code) -> None:
    failed = await service.runs.CreateRun(create(spec=function_spec("broken")))
    calls = [
        service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=failed.run_id))
        for _ in range(16)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    kinds = [c.type for c in (await checkpoints_of(service, failed.run_id)).checkpoints]
    taken = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert kinds.count("replay_context") == len(taken) >= 1


async def test_a_deadline_ends_a_run_that_waits(service) -> None:
    paused = await service.runs.CreateRun(create(spec=human_spec(), timeout_seconds=1))
    run = await until_status(service, paused.run_id, "timed_out")
    assert run.error.type == "run_timed_out"
    listed = await service.tasks.ListHumanTasks(human_task_pb2.ListHumanTasksRequest())
    assert not listed.tasks


async def test_a_deadline_interrupts_a_step(service) -> None:
    started = time.monotonic()
    result = await service.runs.CreateRun(create(spec=function_spec("waits"), timeout_seconds=1))
    assert result.status == "timed_out"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("on_timeout", "status", "output"),
    [("fail", "expired", ""), ("continue", "completed", "Final answer: hi")],
)
async def test_a_question_that_nobody_answers(service, on_timeout, status, output) -> None:
    spec = human_spec(timeout_seconds=1, on_timeout=on_timeout)
    paused = await service.runs.CreateRun(create(spec=spec))
    run = await until_status(service, paused.run_id, status)
    assert run.output_text == output
    if status == "expired":
        assert run.error.type == "human_task_expired"


async def test_a_decision_that_comes_just_before_the_expiry_holds(
    service, settings, code, monkeypatch
) -> None:
    """The timer has read the task as pending when the decision lands."""
    spec = human_spec(timeout_seconds=60, on_timeout="fail")
    spec["workflow"]["steps"][1] = {"id": "gated", "kind": "function", "ref": "gated"}
    spec["components"]["functions"] = {"gated": {"implementation": "kneo_test_code.gated"}}
    asked = await service.runs.CreateRun(create(spec=spec))
    read, calls = service.platform.store.load_human_task, []

    async def decided_after(continuation_id):
        task = await read(continuation_id)
        if not calls:
            request = human_task_pb2.ResumeHumanTaskRequest(
                continuation_id=task.id, request_id=task.request.id, decision="approved"
            )
            calls.append(service.tasks.ResumeHumanTask(request))
            await until_status(service, asked.run_id, "running")
        return task

    monkeypatch.setattr(service.platform.store, "load_human_task", decided_after)
    due_now(settings)
    async with asyncio.timeout(15):
        while jobs_of(settings, "human_expiry"):  # noqa: ASYNC110 # the timers look each second
            await asyncio.sleep(0.02)
    assert calls
    assert (await get(service, asked.run_id)).status == "running"
    code.GATE.set()
    assert (await calls[0]).status == "completed"


async def test_a_prune_goes_on_beyond_a_batch_that_had_nothing_left_to_do(
    settings, code, tmp_path, monkeypatch
) -> None:
    """The deadline of a task that was decided is the first to fall due."""
    monkeypatch.setattr(timers, "BATCH", 1)
    monkeypatch.setattr(loops, "TIMERS", timedelta(hours=1))
    async for opened in open_service(settings, tmp_path):
        spec = human_spec(timeout_seconds=60)
        spec["workflow"]["steps"].insert(1, {"id": "again", "kind": "human", "ref": "boss"})
        asked = await opened.runs.CreateRun(create(spec=spec))
        await opened.tasks.ResumeHumanTask(
            human_task_pb2.ResumeHumanTaskRequest(
                continuation_id=asked.continuation_id,
                request_id=data(asked)["metadata"]["pending_human_request"]["request_id"],
                decision="approved",
            )
        )
        assert jobs_of(settings, "human_expiry") == 2
        with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
            first = "subject = '" + asked.continuation_id + "'"
            connection.execute(f"update jobs set due_at = case when {first} then 0 else 1 end")
            connection.commit()
        request = maintenance_pb2.PruneExpiredHumanTasksRequest()
        answer = await opened.maintenance.PruneExpiredHumanTasks(request)
        assert answer.counts["expired"] == 1
        assert jobs_of(settings, "human_expiry") == 0


async def test_an_escalated_question_waits_on_and_can_be_answered_late(service) -> None:
    spec = human_spec(timeout_seconds=1, on_timeout="escalate")
    paused = await service.runs.CreateRun(create(spec=spec))
    name = human_task_pb2.GetHumanTaskRequest(continuation_id=paused.continuation_id)
    deadline = time.monotonic() + 10
    while True:
        task = data(await service.tasks.GetHumanTask(name))
        if "escalated_at" in task["request"]["metadata"]:
            break
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert task["request"]["metadata"]["original_expires_at"] == pytest.approx(task["expires_at"])
    answered = await service.tasks.ResumeHumanTask(
        human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=paused.continuation_id,
            request_id=task["request"]["id"],
            decision="approved",
        )
    )
    assert answered.status == "completed"


async def test_the_timeline_and_the_difference(service) -> None:
    done = await service.runs.CreateRun(create(spec=function_spec("note", "number")))
    replay = await service.runs.GetRunReplay(run_pb2.GetRunReplayRequest(run_id=done.run_id))
    assert [item.sequence for item in replay.timeline] == [1, 2, 3, 4]
    assert [item.status for item in replay.timeline][-1] == "completed"
    diff = await service.runs.DiffCheckpoints(run_pb2.DiffCheckpointsRequest(run_id=done.run_id))
    assert (diff.from_checkpoint.sequence, diff.to_checkpoint.sequence) == (3, 4)
    assert diff.change_count == len(diff.added) + len(diff.removed) + len(diff.changed) > 0
    changed = {item["path"] for item in data(diff)["changed"]}
    assert "state.status" in changed
    for numbers, reason in (
        ({"from_sequence": 9}, "not_found"),
        ({"from_sequence": 2, "to_sequence": 2}, "invalid_request"),
        ({"to_sequence": 0}, "validation_error"),
    ):
        _, error = await failure(
            service.runs.DiffCheckpoints(
                run_pb2.DiffCheckpointsRequest(run_id=done.run_id, **numbers)
            )
        )
        assert error["error"] == reason


async def test_retention_removes_ended_runs_only(settings, code, tmp_path) -> None:
    ages = RetentionSettings(ages={Kept.RUNS: timedelta(0)}, batch=1)
    async for opened in open_service(replace(settings, retention=ages), tmp_path):
        done = await opened.runs.CreateRun(create(spec=function_spec("note")))
        waits = await opened.runs.CreateRun(create(spec=human_spec()))
        answer = await opened.maintenance.PruneRetention(maintenance_pb2.PruneRetentionRequest())
        assert dict(answer.counts) == {"runs": 1}
        _, error = await failure(get(opened, done.run_id))
        assert error["error"] == "not_found"
        assert (await get(opened, waits.run_id)).status == "blocked"


@in_module_loop
@pytest.mark.parametrize("seconds", [0, -1, 31_536_001])
async def test_a_timeout_out_of_its_bounds_is_refused(common, seconds) -> None:
    _, error = await failure(
        common.runs.CreateRun(create(spec=function_spec("note"), timeout_seconds=seconds))
    )
    assert error["fields"][0]["field"] == "timeout_seconds"


def jobs_of(settings, kind: str) -> int:
    with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
        ((count,),) = connection.execute("select count(*) from jobs where kind = ?", (kind,))
    return count


def due_now(settings) -> None:
    """Let the time pass for which jobs wait."""
    with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
        connection.execute("update jobs set due_at = 0")
        connection.commit()


async def waiting_job(service):
    """Wait until the one run has gone back to the queue; return its job."""
    async with asyncio.timeout(10):
        while True:
            jobs = (await service.queue.ListQueue(queue_pb2.ListQueueRequest())).jobs
            if jobs and jobs[0].state == "later":
                return jobs[0]
            await asyncio.sleep(0.01)


async def test_a_long_pause_before_a_retry_holds_no_lease(settings, code, tmp_path) -> None:
    patient = replace(settings, retry_backoff=timedelta(hours=1))
    spec = function_spec("note", "flaky", flaky={"on_error": "retry", "max_retries": 1})
    key = (("idempotency-key", "k"),)
    async for opened in open_service(patient, tmp_path):
        call = opened.runs.CreateRun(create(spec=spec), metadata=key)
        job = await waiting_job(opened)
        assert (job.state, job.claims) == ("later", 0)
        assert not job.HasField("lease_owner")
        assert opened.platform.legs.count == 0
        _, error = await failure(opened.runs.CreateRun(create(spec=spec), metadata=key))
        assert error["error"] == "idempotency_key_in_progress"
        due_now(patient)
        answer = await call
        assert (answer.run_id, answer.status) == (job.run_id, "completed")
        again = await opened.runs.CreateRun(create(spec=spec), metadata=key)
        assert (again.run_id, again.output_text) == (job.run_id, "hi.!")
        run = await until_status(opened, job.run_id, "completed")
        assert (run.output_text, run.attempt) == ("hi.!", 2)
    assert (len(code.CALLS), code.TRIED) == (1, [1, 3])


async def test_a_call_whose_run_waits_for_a_retry_is_answered_when_the_process_stops(
    settings, code, tmp_path
) -> None:
    patient = replace(settings, retry_backoff=timedelta(hours=1))
    spec = function_spec("flaky", flaky={"on_error": "retry", "max_retries": 1})
    async for opened in open_service(patient, tmp_path):
        call = opened.runs.CreateRun(create(spec=spec))
        job = await waiting_job(opened)
        await opened.platform.drain()
        answer = await asyncio.wait_for(call, 10)
        assert (answer.run_id, answer.status) == (job.run_id, "queued")


async def test_a_process_that_stops_gives_its_leases_back(settings, code, tmp_path) -> None:
    async for first in open_service(settings, tmp_path):
        result = await first.runs.CreateRun(create(spec=function_spec("gated"), async_mode=True))
        await until_status(first, result.run_id, "running")
    with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
        (row,) = connection.execute("select lease_owner, claims from jobs").fetchall()
    assert row == (None, 0)


async def test_without_a_worker_a_decision_leaves_the_run_to_one(settings, code, tmp_path) -> None:
    async for opened in open_service(settings, tmp_path):
        blocked = await opened.runs.CreateRun(create(spec=human_spec()))
    quick = replace(settings, sync_wait=timedelta(milliseconds=50))
    async for idle in open_service(quick, tmp_path, works=False, executes=False):
        answer = await idle.tasks.ResumeHumanTask(
            human_task_pb2.ResumeHumanTaskRequest(
                continuation_id=blocked.continuation_id,
                request_id=data(blocked)["metadata"]["pending_human_request"]["request_id"],
                decision="approved",
            )
        )
        assert answer.status == "queued"
        assert idle.platform.legs.count == 0
    async for opened in open_service(settings, tmp_path):
        assert (await until_status(opened, blocked.run_id, "completed")).attempt == 3


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_process_whose_clock_is_off_hurries_and_delays_nothing(
    settings, code, tmp_path, hours: int
) -> None:
    clock = ShiftedClock(timedelta(hours=hours))
    quick = replace(settings, idle_poll=timedelta(milliseconds=50))
    async for opened in open_service(quick, tmp_path, clock=clock):
        call = create(spec=function_spec("note"), async_mode=True, timeout_seconds=60)
        result = await opened.runs.CreateRun(call)
        assert (await until_status(opened, result.run_id, "completed", seconds=5)).attempt == 1
        waits = await opened.runs.CreateRun(create(spec=human_spec(), timeout_seconds=60))
        late = await opened.runs.CreateRun(create(spec=human_spec(), timeout_seconds=1))
        await until_status(opened, late.run_id, "timed_out", seconds=5)
        assert (await get(opened, waits.run_id)).status == "blocked"


def mark_suspect(settings, run_id: str, claims: int) -> None:
    with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
        connection.execute("update jobs set claims = ? where run_id = ?", (claims, run_id))
        connection.commit()


async def test_a_suspect_is_executed_alone_and_does_not_starve_under_load(
    settings, code, tmp_path
) -> None:
    """The worker lets what it has end, takes nothing new meanwhile, and goes on afterwards."""
    note = function_spec("note")
    busy = replace(settings, idle_poll=timedelta(milliseconds=50))
    async for idle in open_service(busy, tmp_path, works=False, executes=False):
        suspect = await idle.runs.CreateRun(create("suspect", spec=note, async_mode=True))
        mark_suspect(busy, suspect.run_id, 3)
    async for opened in open_service(busy, tmp_path, executes=False):
        load = asyncio.create_task(keep_busy(opened, note))
        run = await until_status(opened, suspect.run_id, "completed", seconds=20)
        load.cancel()
        assert (run.attempt, run.output_text) == (1, "suspect.")


async def keep_busy(service, spec) -> None:
    async def call() -> None:
        while True:
            await service.runs.CreateRun(create(spec=spec))

    await asyncio.gather(*(call() for _ in range(6)))


@pytest.mark.parametrize("why", ["claims", "code"])
async def test_a_run_that_others_have_taken_over_is_not_dead_lettered(
    idle, monkeypatch, why
) -> None:
    """This process stood still between its claim and what follows from it."""
    platform = idle.platform
    task = asyncio.ensure_future(idle.runs.CreateRun(create(spec=function_spec("note"))))
    claim_runs, lease = platform.queue.claim_runs, platform.legs.lease
    claims = ()
    async with asyncio.timeout(10):
        while not claims:
            claims = await claim_runs(
                "late", lease.lease_for, limit=1, suspects_from=9, suspects=False
            )
    with contextlib.closing(sqlite3.connect(platform.settings.state_path)) as connection:
        connection.execute("update runs set attempt = attempt + 1")  # as another's claim does
        connection.commit()
    stale = replace(claims[0], claims=99 if why == "claims" else 1)

    async def late(*_, suspects, **__):
        return () if suspects else (stale,)

    monkeypatch.setattr(platform.queue, "claim_runs", late)
    if why == "code":
        monkeypatch.setattr(platform.specs, "missing_code", lambda plan: {"f": "not here"})
        patient = replace(platform.worker._settings, code_patience=timedelta(0))
        monkeypatch.setattr(platform.worker, "_settings", patient)
    assert (await platform.worker.run_once()).dead == 0
    assert (await get(idle, stale.run.id)).status == "running"
    task.cancel()


async def test_a_run_that_did_not_fail_is_not_put_back_and_told_what_becomes_of_it(service) -> None:
    done = await service.runs.CreateRun(create(spec=human_spec()))
    request = queue_pb2.RequeueRunRequest(run_id=done.run_id)
    _, error = await failure(service.queue.RequeueRun(request))
    assert error["error"] == "run_state_conflict"
    assert error["message"] == (
        f"only a failed run can be put back; {done.run_id} is blocked: "
        "it goes on when its human task is decided"
    )


async def test_a_failed_run_names_the_step_that_failed(service) -> None:
    result = data(await service.runs.CreateRun(create(spec=function_spec("note", "broken"))))
    assert result["error"]["step_id"] == "broken"
    run = data(await service.runs.GetRun(run_pb2.GetRunRequest(run_id=result["run_id"])))
    assert run["error"] == result["error"]
