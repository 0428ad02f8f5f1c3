"""The requests whose answers the golden files show, each with what has to happen before."""

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.platform.retention import RetentionSettings
from kneo_grpc.ports.upkeep import Kept
from tests.gateway.support_golden import Case, Request, Stage, get, post
from tests.service import function_spec, human_spec

SMOKE = {"input": "hi", "spec_path": "examples/smoke_human_workflow.yaml"}
THREE_STEPS = {"input": "hi", "spec_path": "examples/three_steps.yaml"}

CASES: dict[str, Case] = {}
Make = Callable[[Stage], Awaitable[Request]]


def case(name: str, *, guarded: bool = False, **settings: Any) -> Callable[[Make], Make]:
    """Register a case under its file's name: `Service.Rpc…` or `error.reason…`."""

    def register(make: Make) -> Make:
        assert name not in CASES
        CASES[name] = Case(make=make, settings=settings, guarded=guarded)
        return make

    return register


def create(**fields: Any) -> Request:
    return post("/v1/runs", {"input": "hi", **fields})


def decide(paused: Any, decision: str = "approved", *, key: str = "", **fields: Any) -> Request:
    request = paused["metadata"]["pending_human_request"]["request_id"]
    body = {"request_id": request, "decision": decision, **fields}
    headers = {"idempotency_key": key} if key else {}
    return post(f"/v1/human-tasks/{paused['continuation_id']}/resume", body, **headers)


def gated_after_a_person() -> dict[str, Any]:
    spec = human_spec()
    spec["workflow"]["steps"][1] = {"id": "gated", "kind": "function", "ref": "gated"}
    spec["components"]["functions"] = function_spec("gated")["components"]["functions"]
    return spec


async def paused(stage: Stage) -> Any:
    return await stage.done(post("/v1/runs", SMOKE))


async def resumed(stage: Stage) -> Any:
    blocked = await paused(stage)
    return await stage.done(decide(blocked))


async def failed(stage: Stage) -> Any:
    return await stage.done(create(spec=function_spec("note", "broken", "number")))


# Runs


@case("RunService.CreateRun")
async def _(stage: Stage) -> Request:
    return post(
        "/v1/runs",
        {**THREE_STEPS, "environment": "dev", "session_id": "s-1", "metadata": {"ticket": 7}},
    )


@case("RunService.CreateRun.blocked")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", SMOKE)


@case("RunService.CreateRun.failed")
async def _(stage: Stage) -> Request:
    return create(spec=function_spec("note", "broken"))


@case("RunService.CreateRun.running", sync_wait=timedelta(milliseconds=1))
async def _(stage: Stage) -> Request:
    return create(spec=function_spec("gated"))


@case("RunService.CreateRun.agent")
async def _(stage: Stage) -> Request:
    body = {"input": "search the sea", "spec_path": "examples/research_agent.yaml"}
    return post("/v1/runs", {**body, "target": "agent"})


@case("RunService.CreateRun.replayed")
async def _(stage: Stage) -> Request:
    request = post("/v1/runs", THREE_STEPS, idempotency_key="key-1")
    await stage.done(request)
    return request


@case("RunService.GetRun")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await resumed(stage))['run_id']}")


@case("RunService.GetRun.blocked")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await paused(stage))['run_id']}")


@case("RunService.GetRun.failed")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await failed(stage))['run_id']}")


@case("RunService.ListRuns")
async def _(stage: Stage) -> Request:
    await resumed(stage)
    await paused(stage)
    return get("/v1/runs?limit=1&offset=1&sort_by=created_at&sort_order=asc")


@case("RunService.ListRuns.empty")
async def _(stage: Stage) -> Request:
    return get("/v1/runs?status=paused")


@case("RunService.CancelRun")
async def _(stage: Stage) -> Request:
    return post(f"/v1/runs/{(await paused(stage))['run_id']}/cancel")


@case("RunService.GetRunTrace")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await resumed(stage))['run_id']}/trace")


@case("RunService.GetRunTrace.tools")
async def _(stage: Stage) -> Request:
    body = {"input": "search the sea", "spec_path": "examples/research_agent.yaml"}
    run = await stage.done(post("/v1/runs", body))
    return get(f"/v1/runs/{run['run_id']}/trace")


@case("RunService.ListCheckpoints")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await resumed(stage))['run_id']}/checkpoints")


@case("RunService.GetRunRecovery")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await failed(stage))['run_id']}/recovery")


@case("RunService.GetRunRecovery.blocked")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await paused(stage))['run_id']}/recovery")


@case("RunService.CreateRun.queued")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", {**THREE_STEPS, "async_mode": True, "timeout_seconds": 60})


@case("RunService.ContinueRun")
async def _(stage: Stage) -> Request:
    return post(f"/v1/runs/{(await failed(stage))['run_id']}/continue")


@case("RunService.ForkRun")
async def _(stage: Stage) -> Request:
    run = await stage.done(create(spec=function_spec("note", "number")))
    return post(f"/v1/runs/{run['run_id']}/fork")


@case("RunService.ForkRun.blocked")
async def _(stage: Stage) -> Request:
    return post(f"/v1/runs/{(await paused(stage))['run_id']}/fork", {"input": "other"})


@case("RunService.ForkRun.queued")
async def _(stage: Stage) -> Request:
    run = await failed(stage)
    body = {"async_mode": True, "checkpoint_sequence": 1}
    return post(f"/v1/runs/{run['run_id']}/fork", body)


@case("RunService.GetRun.forked")
async def _(stage: Stage) -> Request:
    source = await stage.done(create(spec=function_spec("note", "number")))
    run = await stage.done(post(f"/v1/runs/{source['run_id']}/fork"))
    return get(f"/v1/runs/{run['run_id']}")


@case("RunService.GetRunReplay")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await resumed(stage))['run_id']}/replay")


@case("RunService.DiffCheckpoints")
async def _(stage: Stage) -> Request:
    run = (await resumed(stage))["run_id"]
    return get(f"/v1/runs/{run}/checkpoints/diff?from_sequence=1&to_sequence=3")


# Queue and maintenance


def long_due(stage: Stage) -> None:
    """Jobs are due by the database's clock, which is not the test's: since 2020 now."""
    with contextlib.closing(sqlite3.connect(stage.platform.settings.state_path)) as connection:
        connection.execute("update jobs set due_at = 1577836800000000")
        connection.commit()


@case("QueueService.ListQueue")
async def _(stage: Stage) -> Request:
    await stage.done(create(spec=function_spec("note"), async_mode=True))
    long_due(stage)
    return get("/v1/queue")


@case("QueueService.ListDeadLetters")
async def _(stage: Stage) -> Request:
    await stage.done(create(spec=function_spec("note"), async_mode=True))
    for number in range(5):
        owner, at_once = f"lost_{number}", timedelta(0)
        claims = await stage.platform.queue.claim_runs(
            owner, at_once, limit=1, suspects_from=9, suspects=False
        )
        assert len(claims) == 1
    assert (await stage.platform.worker.run_once()).dead == 1
    long_due(stage)
    return get("/v1/queue/dead")


@case("QueueService.RequeueRun")
async def _(stage: Stage) -> Request:
    return post(f"/v1/queue/{(await failed(stage))['run_id']}/requeue")


@case("MaintenanceService.PruneTimedOutRuns")
async def _(stage: Stage) -> Request:
    await stage.done(create(spec=function_spec("note"), async_mode=True, timeout_seconds=1))
    long_due(stage)
    return post("/v1/maintenance/prune-timed-out-runs")


@case("MaintenanceService.PruneExpiredHumanTasks")
async def _(stage: Stage) -> Request:
    await stage.done(create(spec=human_spec(timeout_seconds=1)))
    long_due(stage)
    return post("/v1/maintenance/prune-expired-human-tasks")


@case(
    "MaintenanceService.PruneRetention",
    retention=RetentionSettings(ages={Kept.RUNS: timedelta(seconds=1)}),
)
async def _(stage: Stage) -> Request:
    await failed(stage)
    stage.clock.advance(timedelta(minutes=1))
    return post("/v1/maintenance/prune-retention")


# Audit


async def audited(stage: Stage) -> Any:
    """A create, a decision, and a sealer's look between them and a second create."""
    run = await resumed(stage)
    await stage.platform.sealer.run_once()
    await stage.done(post("/v1/runs", THREE_STEPS))
    return run


@case("AuditService.ListAuditEvents")
async def _(stage: Stage) -> Request:
    await audited(stage)
    return get("/v1/audit-events?limit=3")


@case("AuditService.ListAuditEvents.filtered")
async def _(stage: Stage) -> Request:
    run = await audited(stage)
    return get(f"/v1/audit-events?event_type=human.decision&run_id={run['run_id']}&sort_order=asc")


@case("AuditService.VerifyAudit")
async def _(stage: Stage) -> Request:
    await audited(stage)
    return get("/v1/audit-events/verify?limit=2")


@case("AuditService.VerifyAudit.broken")
async def _(stage: Stage) -> Request:
    await audited(stage)
    with contextlib.closing(sqlite3.connect(stage.platform.settings.state_path)) as connection:
        connection.execute("update audit_events set actor = 'eve'")
        connection.execute("delete from audit_seals where number = 1")
        connection.commit()
    return get("/v1/audit-events/verify")


# Human tasks


@case("HumanTaskService.ListHumanTasks")
async def _(stage: Stage) -> Request:
    run = await paused(stage)
    await paused(stage)
    return get(f"/v1/human-tasks?run_id={run['run_id']}")


@case("HumanTaskService.GetHumanTask")
async def _(stage: Stage) -> Request:
    return get(f"/v1/human-tasks/{(await paused(stage))['continuation_id']}")


@case("HumanTaskService.GetHumanTask.decided")
async def _(stage: Stage) -> Request:
    blocked = await paused(stage)
    await stage.done(decide(blocked))
    return get(f"/v1/human-tasks/{blocked['continuation_id']}")


@case("HumanTaskService.ResumeHumanTask")
async def _(stage: Stage) -> Request:
    return decide(await paused(stage))


@case("HumanTaskService.ResumeHumanTask.selected")
async def _(stage: Stage) -> Request:
    spec = human_spec(request_type="selection", options=["red", "blue"], default_option="red")
    blocked = await stage.done(create(spec=spec))
    return decide(blocked, "selected", selected_option="blue", metadata={"mood": "good"})


# Specs


@case("SpecService.ValidateSpec")
async def _(stage: Stage) -> Request:
    return post("/v1/specs/validate", {"spec_path": "examples/research_agent.yaml"})


@case("SpecService.ValidateSpec.findings")
async def _(stage: Stage) -> Request:
    spec = function_spec("note")
    spec["workflow"]["steps"][0]["ref"] = "nothing"
    return post("/v1/specs/validate", {"spec": spec})


@case("SpecService.CompileSpec")
async def _(stage: Stage) -> Request:
    return post("/v1/specs/compile", {"spec_path": "examples/research_agent.yaml"})


@case("SpecService.CompileSpec.not_strict")
async def _(stage: Stage) -> Request:
    spec = function_spec("note")
    spec["components"]["functions"]["note"]["implementation"] = "nowhere.at_all"
    return post("/v1/specs/compile", {"spec": spec, "strict": False})


@case("SpecService.ExplainSpec")
async def _(stage: Stage) -> Request:
    return post("/v1/specs/explain", {"spec_path": "examples/smoke_human_workflow.yaml"})


@case("SpecService.GraphSpec")
async def _(stage: Stage) -> Request:
    return post("/v1/specs/graph", {"spec_path": "examples/research_agent.yaml"})


@case("SpecService.GraphSpec.mermaid")
async def _(stage: Stage) -> Request:
    body = {"spec_path": "examples/smoke_human_workflow.yaml", "format": "mermaid"}
    return post("/v1/specs/graph", body)


@case("SpecService.GetPolicyReport")
async def _(stage: Stage) -> Request:
    return post("/v1/specs/policy-report", {"spec_path": "examples/research_agent.yaml"})


@case("SpecService.GetPolicyReport.no_spec")
async def _(stage: Stage) -> Request:
    return post("/v1/specs/policy-report", {"spec": {"version": "v1"}})


@case("SpecService.ListSkills")
async def _(stage: Stage) -> Request:
    for name in ("tone", "maths"):
        folder = stage.platform.settings.spec_root / "skills" / name
        folder.mkdir(parents=True)
        text = f"---\nname: {name}\ndescription: How we do {name}.\n---\nBe brief.\n"
        (folder / "SKILL.md").write_text(text)
    return get("/v1/skills")


@case("SpecService.RunSpec")
async def _(stage: Stage) -> Request:
    return post("/v1/specs/run", SMOKE)


# Health


@case("HealthService.GetHealth")
async def _(stage: Stage) -> Request:
    return get("/v1/healthz")


@case("HealthService.GetLiveness")
async def _(stage: Stage) -> Request:
    return get("/v1/livez")


@case("HealthService.GetReadiness")
async def _(stage: Stage) -> Request:
    return get("/v1/readyz")


@case("HealthService.GetReadiness.stranger", guarded=True)
async def _(stage: Stage) -> Request:
    return get("/v1/readyz")


# What the service tells of itself


@case("MetaService.GetMetrics")
async def _(stage: Stage) -> Request:
    blocked = await paused(stage)
    await stage.done(decide(blocked))
    await stage.done(create(spec=function_spec("note"), async_mode=True))
    await failed(stage)
    return get("/v1/metrics")


# Errors before anything is done


@case("error.unauthorized", guarded=True)
async def _(stage: Stage) -> Request:
    return get("/v1/runs", authorization="Bearer wrong")


@case("error.forbidden", guarded=True)
async def _(stage: Stage) -> Request:
    return post("/v1/runs", THREE_STEPS, authorization="Bearer viewer-key")


@case("error.validation_error")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", {"target": "nonsense", "spec_path": "x.yaml"})


@case("error.validation_error.query")
async def _(stage: Stage) -> Request:
    return get("/v1/runs?limit=0&sort_order=up")


@case("error.unknown_query_parameters")
async def _(stage: Stage) -> Request:
    return get("/v1/runs?colour=red")


@case("error.invalid_request")
async def _(stage: Stage) -> Request:
    return create()


@case("error.invalid_request.malformed_json")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", '{"input": hi}')


@case("error.invalid_request.cut_off")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", '{"input": "hi"')


@case("error.invalid_request.wrong_type")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", {"input": {"text": "hi"}})


@case("error.invalid_request.wrong_query_type")
async def _(stage: Stage) -> Request:
    return get("/v1/runs?limit=many")


@case("error.invalid_request.missing_file")
async def _(stage: Stage) -> Request:
    return create(spec_path="nothing.yaml")


@case("error.invalid_request.too_deep")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", '{"input": "hi", "spec": ' + '{"a": ' * 40 + "{}" + "}" * 41)


@case("error.spec_invalid")
async def _(stage: Stage) -> Request:
    spec = function_spec("note")
    spec["workflow"]["steps"].append({"id": "more", "kind": "function", "ref": "nothing"})
    return create(spec=spec)


@case("error.spec_invalid.compile")
async def _(stage: Stage) -> Request:
    spec = function_spec("note")
    spec["workflow"]["steps"].append({"id": "more", "kind": "function", "ref": "nothing"})
    return post("/v1/specs/compile", {"spec": spec})


def configure(stage: Stage, text: str) -> None:
    folder = stage.platform.settings.spec_root / ".kneo"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"project: {{name: shop}}\n{text}")


@case("error.project_config_invalid")
async def _(stage: Stage) -> Request:
    configure(stage, "specs: {default: a.yaml}\n")
    return post("/v1/specs/explain", {"spec": function_spec("note")})


@case("error.environment_policy_blocked")
async def _(stage: Stage) -> Request:
    policy = "{policy_enforcement: {require_human_review: true}}"
    configure(stage, f"environments: {{prod: {policy}}}\n")
    return post("/v1/specs/compile", {"spec": function_spec("note"), "environment": "prod"})


@case("error.environment_unknown")
async def _(stage: Stage) -> Request:
    configure(stage, "environments: {prod: {}}\n")
    return post("/v1/runs", {"input": "x", "spec": function_spec("note"), "environment": "prdo"})


@case("error.validation_error.spec_view")
async def _(stage: Stage) -> Request:
    body = {"spec": function_spec("note"), "format": "png", "overlays": ["a.yaml", ""]}
    return post("/v1/specs/graph", body)


@case("error.spec_path_confined")
async def _(stage: Stage) -> Request:
    return create(spec_path="../secrets.yaml")


@case("error.payload_too_large")
async def _(stage: Stage) -> Request:
    return replace(post("/v1/runs", THREE_STEPS), padding=1_048_576)


@case("error.payload_too_large.message", body_bytes_max=20)
async def _(stage: Stage) -> Request:
    return post("/v1/runs", THREE_STEPS)


@case("error.unsupported_media_type")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", THREE_STEPS, content_type="text/plain")


@case("error.not_found")
async def _(stage: Stage) -> Request:
    return get("/v1/runs/run_nope")


@case("error.not_found.human_task")
async def _(stage: Stage) -> Request:
    return get("/v1/human-tasks/cont_nope")


@case("error.not_found.route")
async def _(stage: Stage) -> Request:
    return get("/v1/nothing")


@case("error.headers_too_large")
async def _(stage: Stage) -> Request:
    return replace(get("/v1/runs"), header_padding=70_000)


@case("error.resource_exhausted")
async def _(stage: Stage) -> Request:
    often = get("/v1/runs", authorization="Bearer often")
    statuses = [(await stage.send(often)).status_code for _ in range(3)]
    assert statuses == [200, 200, 200]
    return often


@case("error.validation_error.unknown_body_field")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", {**THREE_STEPS, "colour": "red", "skills": {"remove": []}})


@case("error.invalid_request.doubled_field")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", '{"input": "hi", "input": "ho"}')


@case("error.method_not_allowed")
async def _(stage: Stage) -> Request:
    return Request(method="DELETE", path="/v1/runs")


# Errors of the present state


@case("error.run_state_conflict.fork")
async def _(stage: Stage) -> Request:
    run = await stage.done(create(spec=function_spec("note")))
    return post(f"/v1/runs/{run['run_id']}/fork", {"checkpoint_sequence": 3})


@case("error.run_state_conflict")
async def _(stage: Stage) -> Request:
    blocked = await paused(stage)
    await stage.done(decide(blocked))
    return decide(blocked)


@case("error.resource_locked")
async def _(stage: Stage) -> Request:
    blocked = await stage.done(create(spec=gated_after_a_person()))
    await stage.start_gated(decide(blocked))
    return decide(blocked)


@case("error.human_task_expired")
async def _(stage: Stage) -> Request:
    spec = human_spec(timeout_seconds=60, on_timeout="fail")
    blocked = await stage.done(create(spec=spec))
    stage.clock.advance(timedelta(seconds=60))
    return decide(blocked)


@case("error.validation_error.decision")
async def _(stage: Stage) -> Request:
    blocked = await paused(stage)
    return post(
        f"/v1/human-tasks/{blocked['continuation_id']}/resume",
        {"request_id": "req_other", "decision": "edited"},
    )


@case("error.idempotency_key_conflict")
async def _(stage: Stage) -> Request:
    await stage.done(post("/v1/runs", THREE_STEPS, idempotency_key="key-1"))
    return post("/v1/runs", {**THREE_STEPS, "input": "other"}, idempotency_key="key-1")


@case("error.idempotency_key_in_progress")
async def _(stage: Stage) -> Request:
    request = post(
        "/v1/runs", {"input": "hi", "spec": function_spec("gated")}, idempotency_key="key-1"
    )
    await stage.start_gated(request)
    return request


@case("error.invalid_idempotency_key")
async def _(stage: Stage) -> Request:
    return post("/v1/runs", THREE_STEPS, idempotency_key="k" * 257)


@case("error.queue_full", runs_max=1)
async def _(stage: Stage) -> Request:
    await stage.start_gated(create(spec=function_spec("gated")))
    return post("/v1/runs", THREE_STEPS)


@case("error.not_ready")
async def _(stage: Stage) -> Request:
    stage.platform.health.drain()
    return get("/v1/readyz")


@case("error.not_ready.stranger", guarded=True)
async def _(stage: Stage) -> Request:
    stage.platform.health.drain()
    return get("/v1/readyz")


@case("error.store_unavailable")
async def _(stage: Stage) -> Request:
    stage.break_store(StoreUnavailable("the database does not answer"))
    return get("/v1/runs/run_x")


@case("error.internal_error")
async def _(stage: Stage) -> Request:
    stage.break_store(RuntimeError("a secret"))
    return get("/v1/runs/run_x")


@case("error.unavailable")
async def _(stage: Stage) -> Request:
    await stage.server.stop(timedelta(0))
    return get("/v1/runs/run_x")
