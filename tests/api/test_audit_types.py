"""Every type of event that the contract names is written, with the facts that it names."""

import contextlib
import sqlite3
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from kneo_grpc._gen.kneo.v1 import (
    audit_pb2,
    credential_pb2,
    human_task_pb2,
    policy_pb2,
    run_pb2,
    spec_pb2,
)
from kneo_grpc.app import loops
from tests.service import Service, create, data, function_spec, human_spec, open_service
from tests.waiting import until

CALLER_S = {"ticket": "T-1", "labels": ["a", 2]}
ABOUT_SPEC = {"spec_path", "inline_spec", "environment"}
ABOUT_DEADLINE = {"timeout_seconds", "expired_at", "expires_at", "on_timeout"}
CREATED = {"target", *ABOUT_SPEC, "metadata", "status", "async_mode"}
# By event type: of what it tells beside its facts (run, task, actor), and the facts.
DEMANDED: dict[str, tuple[str, set[str]]] = {
    "run.created": ("run actor", CREATED),
    "spec.run": ("run task actor", CREATED),
    "run.cancelled": ("run actor", set()),
    "run.continued": ("run actor", {"status"}),
    "run.timed_out": (
        "run",
        {"timeout_seconds", "deadline_at", "timed_out_at", "status_at_timeout"},
    ),
    "run.dead_lettered": ("run", {"attempts", "limit"}),
    "spec.validated": ("actor", {*ABOUT_SPEC, "overlays", "valid"}),
    "spec.compiled": ("actor", {*ABOUT_SPEC, "overlays", "valid"}),
    "spec.policy_reported": ("actor", {*ABOUT_SPEC, "overlays", "valid"}),
    "spec.explained": ("actor", {"spec_path", "inline_spec"}),
    "spec.graph": ("actor", {"spec_path", "inline_spec", "workflow_kind"}),
    "human.decision": (
        "run task actor",
        {"request_id", "decision", "has_content", "selected_option", "status"},
    ),
    "human.expired": ("run task", ABOUT_DEADLINE),
    "human.continued": ("run task", ABOUT_DEADLINE),
    "human.escalated": ("run task", {*ABOUT_DEADLINE, "assignee"}),
    "human.continue_failed": ("run task", {"error_type", "error_message", "on_timeout"}),
    "credential.inventory_accessed": (
        "actor",
        {
            "providers_requested",
            "extras_requested",
            "include_service_references",
            "provider_count",
            "extra_count",
            "service_reference_count",
            "providers_present",
            "extras_present",
            "service_references_present",
        },
    ),
    "policy.changed": (
        "actor",
        {"surface", "environment", "current", "changed_fields"},
    ),
}


async def events(service: Service, **query: Any) -> list[dict[str, Any]]:
    """The trail, the oldest first."""
    request = ParseDict({"sort_order": "asc", **query}, audit_pb2.ListAuditEventsRequest())
    return list(data(await service.audit.ListAuditEvents(request))["events"])


async def all_there(service: Service) -> bool:
    """Tell whether there is an event of each type."""
    return DEMANDED.keys() <= {event["event_type"] for event in await events(service)}


async def asks(service: Service, description: str, **human: Any) -> Any:
    """A run that waits for a person."""
    spec = human_spec(**{"timeout_seconds": 3600, "description": description, **human})
    paused = await service.runs.CreateRun(create(spec=spec))
    assert paused.status == "blocked"
    return paused


async def act(service: Service) -> None:
    """Every act that a caller can do."""
    await service.runs.CreateRun(create(spec=function_spec("note"), metadata=CALLER_S))
    asked = await service.specs.RunSpec(create(spec=human_spec(), metadata=CALLER_S))
    decision = human_task_pb2.ResumeHumanTaskRequest(
        continuation_id=asked.continuation_id,
        request_id=asked.metadata["pending_human_request"]["request_id"],
        decision="approved",
    )
    await service.tasks.ResumeHumanTask(decision)
    failed = await service.runs.CreateRun(create(spec=function_spec("broken")))
    await service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=failed.run_id))
    await service.runs.CancelRun(run_pb2.CancelRunRequest(run_id=failed.run_id))
    for name in ("Validate", "Compile", "Explain", "Graph"):
        kind = getattr(spec_pb2, f"{name}SpecRequest")
        await getattr(service.specs, f"{name}Spec")(ParseDict({"spec": human_spec()}, kind()))
    report = ParseDict({"spec": human_spec()}, spec_pb2.GetPolicyReportRequest())
    await service.specs.GetPolicyReport(report)
    await service.credentials.ListCredentials(credential_pb2.ListCredentialsRequest())
    put = {"environment": "other", "policy": {"require_guardrails": True}}
    await service.policies.PutEnvironmentPolicy(
        ParseDict(put, policy_pb2.PutEnvironmentPolicyRequest())
    )


def let_time_pass(path: Path, *, lost: str, unreadable: str) -> None:
    """Make every deadline due, and say that one run's workers were lost; make the plan of another
    one unreadable.
    """
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("update jobs set due_at = 0")
        connection.execute("update jobs set claims = 99 where run_id = ?", (lost,))
        named = "select plan_digest from runs where id = ?"
        connection.execute(
            f"update plans set content = x'7b7d' where digest = ({named})", (unreadable,)
        )
        connection.commit()


async def test_every_event_type_of_the_contract_is_written(settings, code, tmp_path) -> None:
    async for opened in open_service(settings, tmp_path, works=False):
        await act(opened)
        spec = function_spec("note", "number")
        lost = await opened.runs.CreateRun(create(spec=spec, async_mode=True))
        spec = human_spec(description="deadline")
        await opened.runs.CreateRun(create(spec=spec, timeout_seconds=3600))
        await asks(opened, "expires", on_timeout="fail")
        await asks(opened, "goes on", on_timeout="continue")
        await asks(opened, "moves up", on_timeout="escalate", assignee="boss@example.com")
        stuck = await asks(opened, "cannot go on", on_timeout="continue")
    let_time_pass(settings.state_path, lost=lost.run_id, unreadable=stuck.run_id)
    async for opened in open_service(settings, tmp_path):
        await until(partial(all_there, opened))
        # Of each type the first one.
        found = {event["event_type"]: event for event in reversed(await events(opened))}
    for name, (tells, facts) in DEMANDED.items():
        event = found[name]
        told = {"run": "run_id", "task": "continuation_id", "actor": "actor"}
        assert {word for word in told if event.get(told[word])} == set(tells.split()), name
        assert facts <= event["metadata"].keys(), name
    failure = found["human.continue_failed"]
    assert failure["continuation_id"] == stuck.continuation_id
    assert failure["metadata"]["error_type"] == "ValueError"
    assert "plan format" in failure["metadata"]["error_message"]


async def test_a_caller_s_metadata_is_in_the_record_of_a_create(service) -> None:
    await service.runs.CreateRun(create(spec=function_spec("note"), metadata=CALLER_S))
    await service.specs.RunSpec(create(spec=human_spec()))
    created, ran = await events(service)
    assert created["metadata"]["metadata"] == CALLER_S
    assert created["metadata"]["status"] == "running"
    assert (ran["metadata"]["metadata"], ran["metadata"]["status"]) == ({}, "blocked")


async def test_a_report_on_a_run_is_an_event_that_names_the_run(service) -> None:
    done = await service.runs.CreateRun(create(spec=function_spec("note")))
    await service.runs.GetRunPolicyReport(run_pb2.GetRunPolicyReportRequest(run_id=done.run_id))
    (event,) = await events(service, event_type="spec.policy_reported")
    assert (event["run_id"], event["actor"]) == (done.run_id, "anonymous")
    assert event["metadata"] == {"valid": True, "source": "run"}


async def test_that_a_run_cannot_go_on_is_written_once_and_tried_again(
    settings, code, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(loops, "TIMERS", timedelta(hours=1))
    async for opened in open_service(settings, tmp_path, works=False):
        stuck = await asks(opened, "cannot go on", on_timeout="continue")
    with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
        ((digest, content),) = connection.execute("select digest, content from plans").fetchall()
    let_time_pass(settings.state_path, lost="", unreadable=stuck.run_id)
    failed = "human.continue_failed"
    async for opened in open_service(settings, tmp_path, works=False):
        for _ in range(3):
            await opened.platform.timers.run_once()
            with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
                connection.execute("update jobs set lease_owner = null, lease_expires_at = null")
                connection.commit()
        assert len(await events(opened, event_type=failed)) == 1
        with contextlib.closing(sqlite3.connect(settings.state_path)) as connection:
            connection.execute("update plans set content = ? where digest = ?", (content, digest))
            connection.commit()
        assert (await opened.platform.timers.run_once()).continued == 1
        assert len(await events(opened, event_type="human.continued")) == 1
