"""The audit trail as callers see it."""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from kneo_grpc._gen.kneo.v1 import audit_pb2, human_task_pb2, maintenance_pb2, run_pb2, spec_pb2
from kneo_grpc.api.keys import read_keys
from kneo_grpc.app.local import open_local
from kneo_grpc.app.logs import JsonFormatter
from kneo_grpc.app.settings import Settings
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.platform.denials import Denial, Denials
from kneo_grpc.platform.retention import Retention, RetentionSettings
from kneo_grpc.platform.sealer import Sealer, SealerSettings
from kneo_grpc.ports.upkeep import Kept
from tests.api.conftest import in_module_loop
from tests.fakes import CountingIds, FakeClock
from tests.service import create, data, failure, function_spec, human_spec, open_service
from tests.waiting import until

SECRET = "sk-not-a-key-of-anybody"
FLOOD = 1_000


def key(role: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {role}-key"),)


async def events(service: Any, role: str = "admin", **query: Any) -> list[dict[str, Any]]:
    """The trail, the oldest first."""
    request = ParseDict({"sort_order": "asc", **query}, audit_pb2.ListAuditEventsRequest())
    answer = await service.audit.ListAuditEvents(request, metadata=key(role))
    return list(data(answer)["events"])


async def verification(service: Any) -> dict[str, Any]:
    request = audit_pb2.VerifyAuditRequest()
    return data(await service.audit.VerifyAudit(request, metadata=key("viewer")))


def spec_request(name: str, **fields: Any) -> Any:
    return ParseDict({"spec": function_spec("note"), **fields}, getattr(spec_pb2, name)())


async def test_each_act_leaves_an_event_with_its_actor(guarded) -> None:
    by = {role: key(role) for role in ("operator", "service", "reviewer", "admin")}
    done = await guarded.runs.CreateRun(
        create(spec=function_spec("note"), environment="dev"), metadata=by["operator"]
    )
    ran = await guarded.specs.RunSpec(create(spec=human_spec()), metadata=by["service"])
    broken = await guarded.runs.CreateRun(
        create(spec=function_spec("broken")), metadata=by["operator"]
    )
    resume = human_task_pb2.ResumeHumanTaskRequest(
        continuation_id=ran.continuation_id,
        request_id=ran.metadata["pending_human_request"]["request_id"],
        decision="edited",
        content=SECRET,
    )
    await guarded.tasks.ResumeHumanTask(resume, metadata=by["reviewer"])
    again = run_pb2.ContinueRunRequest(run_id=broken.run_id)
    await guarded.runs.ContinueRun(again, metadata=by["operator"])
    waits = await guarded.runs.CreateRun(create(spec=human_spec()), metadata=by["admin"])
    for run_id in (waits.run_id, done.run_id):
        await guarded.runs.CancelRun(
            run_pb2.CancelRunRequest(run_id=run_id), metadata=by["operator"]
        )
    for name in ("Validate", "Compile", "Explain", "Graph"):
        request = spec_request(f"{name}SpecRequest", environment="dev")
        await getattr(guarded.specs, f"{name}Spec")(request, metadata=by["operator"])
    report = spec_request("GetPolicyReportRequest")
    await guarded.specs.GetPolicyReport(report, metadata=by["admin"])
    found = await events(guarded)
    told = [(event["event_type"], event.get("actor"), event.get("run_id")) for event in found]
    assert told == [
        ("run.created", "operator", done.run_id),
        ("spec.run", "service", ran.run_id),
        ("run.created", "operator", broken.run_id),
        ("human.decision", "reviewer", ran.run_id),
        ("run.continued", "operator", broken.run_id),
        ("run.created", "admin", waits.run_id),
        ("run.cancelled", "operator", waits.run_id),
        ("run.cancelled", "operator", done.run_id),
        ("spec.validated", "operator", None),
        ("spec.compiled", "operator", None),
        ("spec.explained", "operator", None),
        ("spec.graph", "operator", None),
        ("spec.policy_reported", "admin", None),
    ]
    about = {"inline_spec": True, "environment": "dev", "overlays": [], "spec_path": None}
    facts = [event["metadata"] for event in found]
    assert facts[0] == {
        "async_mode": False,
        "target": "workflow",
        "spec_path": None,
        "inline_spec": True,
        "environment": "dev",
        "metadata": {},
        "status": "running",
    }
    assert (facts[3]["decision"], facts[3]["has_content"]) == ("edited", True)
    assert SECRET not in json.dumps(found)
    assert facts[6] == {"status_before": "blocked"}
    assert facts[7] == {"status_before": "completed", "changed": False}
    assert facts[8] == {**about, "valid": True}
    assert facts[11] == {**about, "workflow_kind": "sequential"}


async def test_a_call_that_fails_leaves_no_event(service) -> None:
    for request in (
        spec_request("CompileSpecRequest", spec=function_spec("nowhere")),
        spec_request("CompileSpecRequest", spec={"version": "v9"}),
    ):
        await failure(service.specs.CompileSpec(request))
    await failure(service.runs.CreateRun(create(spec={"version": "v1"})))
    assert await events(service) == []


async def test_events_are_sealed_within_two_seconds(service) -> None:
    await service.runs.CreateRun(create(spec=function_spec("note")))
    clock = asyncio.get_running_loop()
    written = clock.time()

    async def sealed() -> bool:
        return "number" in (await events(service))[0]

    await until(sealed)
    assert clock.time() - written < 4  # 2 s, and a slow machine
    (event,) = await events(service)
    found = await verification(service)
    assert (found["valid"], found["head_number"], event["number"]) == (True, "1", "1")
    assert found["head_digest"] == event["digest"]


@in_module_loop
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 10_001}, "offset"),
        ({"sort_by": "actor"}, "sort_by"),
        ({"sort_order": "up"}, "sort_order"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_before": "2030-13-01"}, "created_before"),
        ({"event_type": "a\0b"}, "event_type"),
    ],
)
async def test_a_wrong_query_is_refused(common, query, field) -> None:
    request = ParseDict(query, audit_pb2.ListAuditEventsRequest())
    _, error = await failure(common.audit.ListAuditEvents(request))
    assert error["http"] == 422
    if field.startswith("created_"):
        assert (error["error"], error["param"]) == ("invalid_timestamp", field)
    else:
        assert error["error"] == "validation_error"
        assert [fault["field"] for fault in error["fields"]] == [field]


NOBODY_S = [
    "",
    "x",
    "n",
    "n-1",
    "n1.5",
    "t",
    "t1e3.a",
    "n" + "9" * 30,
    "t0.a\0b",
    "t0." + "a" * 300,
]


@in_module_loop
@pytest.mark.parametrize("token", NOBODY_S)
async def test_a_page_token_of_nobody_is_refused(common, token) -> None:
    request = audit_pb2.VerifyAuditRequest(page_token=token)
    _, error = await failure(common.audit.VerifyAudit(request))
    assert (error["error"], error["http"]) == ("invalid_page_token", 422)
    assert [fault["field"] for fault in error["fields"]] == ["page_token"]


async def test_a_verification_tells_which_parts_count_the_events(service) -> None:
    for _ in range(3):
        await service.runs.CreateRun(create(spec=function_spec("note")))
    sealer = service.platform.sealer

    async def all_sealed() -> bool:
        await sealer.run_once()
        return (await verification(service))["head_number"] == "3"

    await until(all_sealed)
    parts = [data(await service.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(limit=2)))]
    while "next_page_token" in parts[-1]:
        token = parts[-1]["next_page_token"]
        request = audit_pb2.VerifyAuditRequest(limit=2, page_token=token)
        parts.append(data(await service.audit.VerifyAudit(request)))
    told = [(part["phase"], part["checked"]) for part in parts]
    assert told == [("chain", 2), ("chain", 1), ("records", 2), ("records", 1)]


async def test_the_times_of_a_list_may_name_an_offset(service) -> None:
    await service.runs.CreateRun(create(spec=function_spec("note")))
    (event,) = await events(service)
    instant = event["created_at"].removesuffix("Z")
    assert len(await events(service, created_after="2000-01-01")) == 1
    assert len(await events(service, created_before="2000-01-01T00:00:00+02:00")) == 0
    assert len(await events(service, created_after=instant)) == 0
    assert len(await events(service, created_before=instant)) == 0


@pytest.fixture
def quiet(settings: Settings) -> Settings:
    keys = read_keys("viewer:viewer-key:viewer", "")
    return replace(settings, request_logs=False, keys=keys)


async def test_a_flood_of_denied_calls_leaves_few_events_and_tells_all_of_them(
    quiet, code, tmp_path
) -> None:
    async for guarded in open_service(quiet, tmp_path):
        await flood(guarded)
    stored = b"".join(path.read_bytes() for path in stored_files(quiet))
    assert SECRET.encode() not in stored


def stored_files(settings: Settings) -> list[Path]:
    return list(settings.state_path.parent.iterdir())


async def flood(guarded: Any) -> None:
    create_run = guarded.channel.unary_unary("/kneo.v1.RunService/CreateRun")
    list_runs = guarded.channel.unary_unary("/kneo.v1.RunService/ListRuns")
    room = asyncio.Semaphore(200)

    async def denied(number: int) -> None:
        async with room:
            call, header = (create_run, key("viewer")[0]) if number % 2 else (list_runs, None)
            header = header or ("x-kneo-api-key", f"{SECRET}-{number}")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(b"", metadata=(header,))

    await asyncio.gather(*(denied(number) for number in range(FLOOD)))
    await guarded.platform.denials.run_once()
    found = await events(guarded, "viewer", event_type="call.denied")
    assert 2 <= len(found) <= 20  # one of each kind in each ten seconds
    assert sum(event["metadata"]["count"] for event in found) == FLOOD
    facts = {
        (event.get("actor"), event["metadata"]["method"], event["metadata"]["reason"])
        for event in found
    }
    assert facts == {
        ("viewer", "RunService/CreateRun", "forbidden"),
        (None, "RunService/ListRuns", "unauthorized"),
    }
    scopes = {event["metadata"].get("required_scope") for event in found}
    assert scopes == {"runs:write", None}


class Trail:
    """A trail that fails when it is told to."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.down = False

    async def append_audit(self, records: Any) -> None:
        if self.down:
            raise StoreUnavailable("no database")
        self.records += records


async def test_denials_wait_for_the_store_and_beyond_a_bound_they_are_counted_only() -> None:
    trail = Trail()
    denials = Denials(trail, FakeClock(), CountingIds(), kinds_max=3)
    for number in range(5):
        denials.note(Denial(principal=f"p{number}", method="m", reason="forbidden"), "10.0.0.1")
    trail.down = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await denials.run_once()
        denials.note(Denial(principal="p0", method="m", reason="forbidden"), "10.0.0.2")
    trail.down = False
    report = await denials.run_once()
    assert (report.records, report.calls) == (4, 7)
    told = [(r.actor, r.metadata["count"], r.metadata.get("dropped")) for r in trail.records]
    assert told == [("p0", 3, None), ("p1", 1, None), ("p2", 1, None), (None, 2, True)]
    assert trail.records[0].metadata["client_ip"] == "10.0.0.2"
    assert (await denials.run_once()).records == 0


async def test_what_denials_are_left_is_written_at_the_end(settings, code, tmp_path) -> None:
    async for opened in open_service(settings, tmp_path):
        denial = Denial(principal=None, method="m", reason="unauthorized")
        opened.platform.denials.note(denial, None)
    async for opened in open_service(settings, tmp_path):
        (event,) = await events(opened)
        assert (event["event_type"], event["number"]) == ("call.denied", "1")


async def test_retention_leaves_an_event_and_a_chain_that_holds(settings, code, tmp_path) -> None:
    ages = RetentionSettings(ages={Kept.RUNS: timedelta(0)})
    async for opened in open_service(replace(settings, retention=ages), tmp_path):
        await opened.runs.CreateRun(create(spec=function_spec("note")))
        await opened.maintenance.PruneRetention(maintenance_pb2.PruneRetentionRequest())
        (event,) = await events(opened)
        assert (event["event_type"], event["metadata"]) == ("retention.pruned", {"runs": 1})
        found = await verification(opened)
        assert (found["valid"], found["pruned"]) == (True, 1)


async def test_each_sealed_event_is_exported_and_none_is_left_out(
    service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="kneo_grpc.audit")
    for _ in range(3):
        await service.runs.CreateRun(create(spec=function_spec("note")))
    sealer = service.platform.sealer

    async def all_sealed() -> bool:
        await sealer.run_once()
        return (await verification(service))["head_number"] == "3"

    await until(all_sealed)
    assert [r for r in caplog.records if r.name == "kneo_grpc.audit"] == []
    holder = service.platform.legs.lease.owner
    exporting = Sealer(service.platform.store, holder, SealerSettings(export=True, batch=2))
    assert [(await exporting.run_once()).exported for _ in range(3)] == [2, 1, 0]
    lines = [
        json.loads(JsonFormatter().format(record))
        for record in caplog.records
        if record.name == "kneo_grpc.audit"
    ]
    found = await events(service)
    assert [line["audit"]["digest"] for line in lines] == [event["digest"] for event in found]
    assert [line["audit"]["number"] for line in lines] == [1, 2, 3]
    assert lines[0]["audit"]["run_id"] == found[0]["run_id"]
    assert (lines[0]["message"], lines[0]["level"]) == ("audit event", "info")


async def test_what_no_log_keeps_is_not_taken_for_exported(
    service, caplog: pytest.LogCaptureFixture
) -> None:
    await service.runs.CreateRun(create(spec=function_spec("note")))
    store, holder = service.platform.store, service.platform.legs.lease.owner
    exporting = Sealer(store, holder, SealerSettings(export=True))
    caplog.set_level(logging.WARNING, logger="kneo_grpc.audit")

    async def sealed() -> bool:
        await exporting.run_once()
        return (await verification(service))["head_number"] == "1"

    await until(sealed)
    assert (await exporting.run_once()).exported == 0
    caplog.set_level(logging.INFO, logger="kneo_grpc.audit")
    assert (await exporting.run_once()).exported == 1


async def test_a_command_leaves_the_export_to_a_service(
    settings: Settings, code: object, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    """Its standard output is the answer, and it may end before the lines of a batch are written."""
    caplog.set_level(logging.INFO, logger="kneo_grpc.audit")
    monkeypatch.setenv("KNEO_SERV_AUDIT_EXPORT_ENABLED", "true")
    async with open_local(settings.state_path) as platform:
        await platform.create_run({"input": "hi", "spec": function_spec("note")})

        async def sealed() -> bool:
            return int((await platform.verify_audit({}))["head_number"]) == 1

        await until(sealed)
        await platform.create_run({"input": "hi", "spec": function_spec("note")})

        async def sealed_again() -> bool:
            return int((await platform.verify_audit({}))["head_number"]) == 2

        await until(sealed_again)
    assert [record for record in caplog.records if record.name == "kneo_grpc.audit"] == []


async def test_a_retention_that_fails_midway_leaves_an_event_of_what_it_removed(
    service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the store takes it again."""
    for _ in range(2):
        await service.runs.CreateRun(create(spec=function_spec("note")))
    platform, calls = service.platform, []
    prune = platform.store.prune

    async def down(*_: Any) -> None:
        raise StoreUnavailable("no database")

    async def once(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return await (prune(*arguments, **options) if len(calls) == 1 else down())

    ages = {Kept.RUNS: timedelta(0), Kept.AUDIT: timedelta(days=9)}
    chosen = RetentionSettings(ages=ages, batch=1)
    retention = Retention(platform.store, platform.sealer, platform.audit, platform.clock, chosen)
    with monkeypatch.context() as patch:
        patch.setattr(platform.store, "prune", once)
        patch.setattr(platform.store, "append_audit", down)
        with pytest.raises(StoreUnavailable):
            await retention.run_once()
    await retention.run_once()
    found = await events(service, event_type="retention.pruned")
    assert [event["metadata"] for event in found] == [{"runs": 1}, {"runs": 1, "audit": 0}]
