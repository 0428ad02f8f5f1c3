"""Environment policies: kept, audited, previewed, and enforced wherever a spec is judged."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from kneo_grpc._gen.kneo.v1 import credential_pb2, policy_pb2, run_pb2, spec_pb2
from tests.api.conftest import in_module_loop
from tests.service import Service, create, data, failure, function_spec, human_spec, open_service

DEFAULTS = {
    "enabled": True,
    "fail_on_warnings": False,
    "blocked_diagnostic_codes": [],
    "require_human_review": False,
    "require_tool_permissions": False,
    "deny_unrestricted_tools": False,
    "require_guardrails": False,
    "require_signed_bundle": False,
}
REVIEW = {"require_human_review": True}
SPEC = function_spec("note")


def put(service: Service, environment: str = "prod", *, key: str = "", by: str = "", **policy: Any):
    fields = {"environment": environment, "policy": policy}
    request = ParseDict(fields, policy_pb2.PutEnvironmentPolicyRequest())
    headers = [("idempotency-key", key)] if key else []
    headers += [("authorization", f"Bearer {by}")] if by else []
    return service.policies.PutEnvironmentPolicy(request, metadata=headers)


def get(service: Service, environment: str = "prod") -> Any:
    request = policy_pb2.GetEnvironmentPolicyRequest(environment=environment)
    return service.policies.GetEnvironmentPolicy(request)


def preview(service: Service, environment: str = "prod", **policy: Any) -> Any:
    fields = {"environment": environment, "policy": policy}
    request = ParseDict(fields, policy_pb2.PreviewEnvironmentPolicyRequest())
    return service.policies.PreviewEnvironmentPolicy(request)


def audited(service: Service) -> list[dict[str, Any]]:
    path = service.platform.settings.state_path
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "select event_type, actor, metadata from audit_events order by created_at, id"
        ).fetchall()
    return [{"type": kind, "actor": actor, **json.loads(facts)} for kind, actor, facts in rows]


async def test_a_policy_is_put_got_and_listed(service: Service) -> None:
    assert data(await get(service)) == {"environment": "prod"}
    first = data(await put(service, require_human_review=True, blocked_diagnostic_codes=["W_A"]))
    wanted = {**DEFAULTS, **REVIEW, "blocked_diagnostic_codes": ["W_A"]}
    assert first["policy"] == wanted
    assert "previous_policy" not in first
    second = data(await put(service, enabled=False))
    assert (second["policy"], second["previous_policy"]) == ({**DEFAULTS, "enabled": False}, wanted)
    found = data(await get(service))
    assert (found["policy"], found["updated_at"]) == (second["policy"], second["updated_at"])
    await put(service, "dev")
    listed = await service.policies.ListEnvironmentPolicies(
        policy_pb2.ListEnvironmentPoliciesRequest()
    )
    assert data(listed) == {
        "policies": {"prod": second["policy"], "dev": DEFAULTS},
        "count": 2,
    }


async def test_a_put_is_audited_with_what_changed(service: Service) -> None:
    await put(service, require_guardrails=True)
    await put(service, require_guardrails=True, fail_on_warnings=True)
    first, second = audited(service)
    assert (first["type"], first["actor"]) == ("policy.changed", "anonymous")
    assert first["surface"] == "environment_policy_enforcement"
    assert "previous" not in first
    assert first["changed_fields"] == sorted(DEFAULTS)
    assert second["changed_fields"] == ["fail_on_warnings"]
    assert (second["previous"], second["current"]) == (
        {**DEFAULTS, "require_guardrails": True},
        {**DEFAULTS, "require_guardrails": True, "fail_on_warnings": True},
    )


async def test_a_repeated_put_answers_as_the_first_and_does_nothing(service: Service) -> None:
    first = await put(service, key="k", **REVIEW)
    await put(service, fail_on_warnings=True)
    again = put(service, key="k", **REVIEW)
    assert await again == first
    assert ("idempotency-replayed", "true") in tuple(await again.initial_metadata())
    assert (await get(service)).policy.fail_on_warnings
    assert len(audited(service)) == 2
    for other in (put(service, key="k"), put(service, "dev", key="k", **REVIEW)):
        code, error = await failure(other)
        assert (code, error["error"]) == (
            grpc.StatusCode.ALREADY_EXISTS,
            "idempotency_key_conflict",
        )
        assert error["scope"] == "policies:put"


async def test_puts_at_once_land_one_after_the_other(service: Service) -> None:
    answers = await asyncio.gather(
        *(put(service, blocked_diagnostic_codes=[f"W_{n}"]) for n in range(4))
    )
    previous = [
        answer.previous_policy.blocked_diagnostic_codes[0]
        if answer.HasField("previous_policy")
        else None
        for answer in answers
    ]
    # Each one replaced another: no change was overwritten unseen.
    assert len(set(previous)) == 4
    assert len(audited(service)) == 4


@in_module_loop
@pytest.mark.parametrize(
    ("environment", "policy", "field"),
    [
        ("", {}, "environment"),
        ("e" * 129, {}, "environment"),
        ("a\nb", {}, "environment"),
        ("prod", {"blocked_diagnostic_codes": ["W_A"] * 101}, "blocked_diagnostic_codes"),
        ("prod", {"blocked_diagnostic_codes": ["W_A", ""]}, "blocked_diagnostic_codes[1]"),
        ("prod", {"blocked_diagnostic_codes": ["x" * 129]}, "blocked_diagnostic_codes[0]"),
        ("prod", {"blocked_diagnostic_codes": "W_A"}, "blocked_diagnostic_codes"),
        ("prod", {"require_human_reviews": True}, "require_human_reviews"),
        ("prod", {"require_human_review": "yes"}, "require_human_review"),
        ("prod", {"enabled": 1}, "enabled"),
        ("prod", {"enabled": None}, "enabled"),
    ],
)
async def test_a_policy_out_of_bounds_is_refused(
    common: Service, environment: str, policy: dict[str, Any], field: str
) -> None:
    for call in (put(common, environment, **policy), preview(common, environment, **policy)):
        code, error = await failure(call)
        assert (code, error["error"], error["http"]) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "validation_error",
            422,
        )
        assert [fault["field"] for fault in error["fields"]] == [field]
    assert audited(common) == []


async def test_the_bounds_themselves_are_taken(service: Service) -> None:
    codes = [f"{number:0128}" for number in range(100)]
    answer = await put(service, "e" * 128, blocked_diagnostic_codes=codes)
    assert list(answer.policy.blocked_diagnostic_codes) == codes


def judged(service: Service, **fields: Any) -> dict[str, Any]:
    body = {"spec": SPEC, **fields}
    return {
        "create": service.runs.CreateRun(create(**body)),
        "queued": service.runs.CreateRun(create(**body, async_mode=True)),
        "run": service.specs.RunSpec(create(**body)),
        "compile": service.specs.CompileSpec(ParseDict(body, spec_pb2.CompileSpecRequest())),
    }


async def test_a_policy_is_enforced_wherever_a_spec_is_judged(service: Service) -> None:
    for call in judged(service, environment="prod").values():
        await call
    await put(service, **REVIEW)
    for name, call in judged(service, environment="prod").items():
        code, error = await failure(call)
        assert (code, error["error"], error["http"]) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "environment_policy_blocked",
            403,
        ), name
        assert error["environment"] == "prod"
        assert [item["code"] for item in error["diagnostics"]] == ["E_ENV_POLICY_HUMAN_REVIEW"]
    lenient = {"spec": SPEC, "environment": "prod", "strict": False}
    answer = await service.specs.CompileSpec(ParseDict(lenient, spec_pb2.CompileSpecRequest()))
    assert (answer.ok, answer.diagnostics[0].code) == (False, "E_ENV_POLICY_HUMAN_REVIEW")
    checked = {"spec": SPEC, "environment": "prod"}
    found = await service.specs.ValidateSpec(ParseDict(checked, spec_pb2.ValidateSpecRequest()))
    assert not found.valid
    assert (await service.runs.CreateRun(create(spec=SPEC, environment="qa"))).status == "completed"
    asks = await service.runs.CreateRun(create(spec=human_spec(), environment="prod"))
    assert asks.status == "blocked"
    await put(service, enabled=False, **REVIEW)
    for call in judged(service, environment="prod").values():
        await call


async def test_the_default_environment_has_a_policy_too(service: Service) -> None:
    await put(service, "dev", **REVIEW)
    _, error = await failure(service.runs.CreateRun(create(spec=SPEC)))
    assert (error["error"], error["environment"]) == ("environment_policy_blocked", "dev")


async def test_the_project_s_policy_and_the_stored_one_both_hold(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / ".kneo").mkdir()
    (tmp_path / ".kneo" / "config.yaml").write_text(
        "project: {name: p}\n"
        "environments: {prod: {policy_enforcement: {require_guardrails: true}}}\n"
    )

    async def codes(**policy: Any) -> list[str]:
        await put(service, **policy)
        _, error = await failure(service.runs.CreateRun(create(spec=SPEC, environment="prod")))
        return sorted(item["code"] for item in error["diagnostics"])

    async def project_is_seen() -> bool:
        seen = service.platform.specs._sources._seen
        return seen is not None and seen.project is not None

    service.platform.specs._sources.project()
    assert await project_is_seen()
    both = ["E_ENV_POLICY_GUARDRAILS", "E_ENV_POLICY_HUMAN_REVIEW"]
    assert await codes(**REVIEW) == both
    assert await codes(enabled=False, **REVIEW) == both[:1]
    assert await codes() == both[:1]


async def test_another_process_s_policy_holds_within_a_second(
    settings: Any, code: Any, tmp_path: Path, postgres_dsn: str
) -> None:
    shared = replace(settings, database_url=postgres_dsn)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    async for one in open_service(shared, tmp_path / "one"):
        async for two in open_service(shared, tmp_path / "two"):
            await one.runs.CreateRun(create(spec=SPEC, environment="prod"))
            loop = asyncio.get_running_loop()
            await put(two, **REVIEW)
            put_at = loop.time()
            _, error = await failure(two.runs.CreateRun(create(spec=SPEC, environment="prod")))
            assert error["error"] == "environment_policy_blocked"
            while True:
                try:
                    await one.runs.CreateRun(create(spec=SPEC, environment="prod"))
                except grpc.aio.AioRpcError as refused:
                    assert refused.code() is grpc.StatusCode.PERMISSION_DENIED
                    break
                assert loop.time() - put_at < 5
                await asyncio.sleep(0.02)


async def test_creates_ask_for_the_policies_once_a_second(service: Service, monkeypatch) -> None:
    asked = []
    load = service.platform.store.load_policies

    async def noted() -> Any:
        asked.append(1)
        return await load()

    monkeypatch.setattr(service.platform.store, "load_policies", noted)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number in range(20):
        await service.runs.CreateRun(create(str(number), spec=SPEC))
    assert len(asked) <= 1 + (loop.time() - begin)


async def test_a_preview_tells_which_runs_would_be_refused(service: Service) -> None:
    plain = [
        (await service.runs.CreateRun(create(str(n), spec=SPEC, environment="prod"))).run_id
        for n in range(2)
    ]
    await service.runs.CreateRun(create(spec=human_spec(), environment="prod"))
    await service.runs.CreateRun(create(spec=SPEC, environment="dev"))
    found = data(await preview(service, **REVIEW))
    assert found["affected_run_ids"] == found["newly_blocking"] == plain[::-1]
    assert (found["runs_evaluated"], found["runs_unreadable"]) == (3, 0)
    assert found["diff"]["require_human_review"] == {"to": True}
    assert set(found["diff"]) == set(DEFAULTS)
    assert data(await get(service)) == {"environment": "prod"}
    await put(service, **REVIEW)
    found = data(await preview(service, **REVIEW, require_guardrails=True))
    assert found["diff"] == {"require_guardrails": {"from": False, "to": True}}
    assert len(found["affected_run_ids"]) == 3
    assert len(found["newly_blocking"]) == 1
    assert data(await preview(service, enabled=False))["affected_run_ids"] == []


async def test_a_preview_judges_runs_that_named_no_environment_in_the_default_one(
    service: Service,
) -> None:
    """They are refused as soon as the policy stands."""
    run = await service.runs.CreateRun(create(spec=SPEC))
    assert data(await preview(service, "dev", **REVIEW))["newly_blocking"] == [run.run_id]
    assert data(await preview(service, "prod", **REVIEW))["runs_evaluated"] == 0
    await put(service, "dev", **REVIEW)
    _, error = await failure(service.runs.CreateRun(create(spec=SPEC)))
    assert error["error"] == "environment_policy_blocked"


async def test_a_preview_judges_a_spec_once_whatever_else_its_runs_were_given(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        fields = {"session_id": f"s{number}", "metadata": {"n": number}, "timeout_seconds": 60}
        await service.runs.CreateRun(create(spec=SPEC, environment="prod", **fields))
    await service.runs.CreateRun(create(spec=SPEC, environment="prod", target="agent"))
    judge, calls = service.platform.specs.judged, []

    async def counted(source: Any, target: str, policies: Any) -> Any:
        calls.append(target)
        return await judge(source, target, policies)

    monkeypatch.setattr(service.platform.specs, "judged", counted)
    assert (await preview(service, **REVIEW)).runs_evaluated == 4
    assert sorted(calls) == ["agent", "workflow"]


async def test_a_preview_knows_that_the_target_agent_asks_nobody(service: Service) -> None:
    around = create(spec=human_spec(), target="agent", environment="prod")
    run = await service.runs.CreateRun(around)
    assert data(await preview(service, **REVIEW))["newly_blocking"] == [run.run_id]
    await put(service, **REVIEW)
    _, error = await failure(service.runs.CreateRun(around))
    assert error["error"] == "environment_policy_blocked"


async def test_who_is_refused_is_told_the_environment_that_was_asked_for(service: Service) -> None:
    """Two environments have the same policy, and the spec is the same in both."""
    for environment in ("prod", "test"):
        await put(service, environment, **REVIEW)
    for environment in ("prod", "test"):
        asked = create(spec=human_spec(), target="agent", environment=environment)
        _, error = await failure(service.runs.CreateRun(asked))
        assert error["environment"] == environment


async def test_a_preview_passes_over_runs_whose_spec_is_gone(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / "flow.yaml").write_text(json.dumps(SPEC))
    await service.runs.CreateRun(create(spec_path="flow.yaml", environment="prod"))
    (tmp_path / "flow.yaml").unlink()
    found = await preview(service, **REVIEW)
    assert (found.runs_evaluated, found.runs_unreadable) == (0, 1)


def credentials(service: Service, key: str = "", **fields: Any) -> Any:
    request = ParseDict(fields, credential_pb2.ListCredentialsRequest())
    headers = [("authorization", f"Bearer {key}")] if key else []
    return service.credentials.ListCredentials(request, metadata=headers)


async def test_credentials_are_told_by_presence_only(service: Service, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-value")
    monkeypatch.setenv("MY_EXTRA", "another-value")
    monkeypatch.setenv("GOOGLE_API_KEY", "  ")
    answer = data(await credentials(service, extras=["MY_EXTRA", "ABSENT"]))["inventory"]
    assert sorted(answer["providers"]) == [
        "anthropic",
        "google",
        "google-adk",
        "openai",
        "openai-agents",
    ]
    assert answer["providers"]["openai"] == {
        "name": "provider:openai",
        "env_var": "OPENAI_API_KEY",
        "present": True,
        "value": "[REDACTED]",
        "status": "present",
    }
    assert answer["providers"]["google"]["status"] == "missing"
    assert answer["extra"]["ABSENT"] == {
        "name": "extra:ABSENT",
        "env_var": "ABSENT",
        "present": False,
        "status": "missing",
    }
    assert sorted(answer["service_tokens"]) == [
        "KNEO_SERV_ADMIN_API_KEY",
        "KNEO_SERV_API_KEY",
        "KNEO_SERV_API_KEYS",
    ]
    (record,) = audited(service)
    assert (record["type"], record["providers_present"], record["extras_present"]) == (
        "credential.inventory_accessed",
        ["openai", "openai-agents"],
        ["MY_EXTRA"],
    )
    assert "value" not in json.dumps([answer, record]).replace('"value": "[REDACTED]"', "")


async def test_credentials_follow_the_project_s_names(
    service: Service, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("OUR_KEY", "x")
    (tmp_path / ".kneo").mkdir()
    (tmp_path / ".kneo" / "config.yaml").write_text(
        "project: {name: p}\n"
        "secrets: {provider_env: {openai: OUR_KEY}, extra_env: {crm: CRM_KEY}}\n"
    )
    asked = credentials(
        service, providers=["openai", "mine"], extras=["crm"], include_service_tokens=False
    )
    answer = data(await asked)["inventory"]
    assert answer["providers"]["openai"]["env_var"] == "OUR_KEY"
    assert answer["providers"]["mine"]["env_var"] == "MINE_API_KEY"
    assert answer["extra"]["crm"]["env_var"] == "CRM_KEY"
    assert answer["service_tokens"] == {}


@in_module_loop
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"providers": [""]}, "providers[0]"),
        ({"extras": ["A", "x" * 129]}, "extras[1]"),
        ({"extras": ["A=B"]}, "extras[0]"),
        ({"providers": ["p"] * 101}, "providers"),
    ],
)
async def test_names_out_of_bounds_are_refused(
    common: Service, fields: dict[str, Any], field: str
) -> None:
    _, error = await failure(credentials(common, **fields))
    assert [fault["field"] for fault in error["fields"]] == [field]


async def test_roles_do_as_the_matrix_says(guarded: Service) -> None:
    readers, writers = {"admin-key", "operator-key", "service-key"}, {"admin-key", "operator-key"}
    for key in ("admin-key", "operator-key", "reviewer-key", "service-key", "viewer-key"):
        for call, may in (
            (lambda key: credentials(guarded, key), readers),
            (lambda key: put(guarded, by=key), writers),
        ):
            if key in may:
                await call(key)
            else:
                code, error = await failure(call(key))
                assert (code, error["error"]) == (grpc.StatusCode.PERMISSION_DENIED, "forbidden")


async def test_a_run_s_graph_tells_how_far_it_got(service: Service) -> None:
    blocked = await service.runs.CreateRun(create(spec=human_spec()))
    shown = data(await service.runs.GetRunGraph(run_pb2.GetRunGraphRequest(run_id=blocked.run_id)))
    assert (shown["status"], shown["current"], shown["visited"]) == ("blocked", "ask", [])
    assert (shown["start"], shown["workflow_kind"]) == ("ask", "sequential")
    assert [node["id"] for node in shown["nodes"]] == ["ask", "answer"]
    assert [(edge["source"], edge["target"]) for edge in shown["edges"]] == [("ask", "answer")]
    done = await service.runs.CreateRun(create(spec=SPEC))
    shown = data(await service.runs.GetRunGraph(run_pb2.GetRunGraphRequest(run_id=done.run_id)))
    assert (shown["current_nodes"], shown["visited"]) == ([], ["note"])
    agent = await service.runs.CreateRun(create(spec=SPEC, target="agent"))
    shown = data(await service.runs.GetRunGraph(run_pb2.GetRunGraphRequest(run_id=agent.run_id)))
    assert "workflow_name" not in shown
    assert [node["id"] for node in shown["nodes"]] == ["root"]


async def test_a_run_s_report_is_that_of_its_spec(service: Service) -> None:
    for spec in (human_spec(), SPEC):
        run = await service.runs.CreateRun(create(spec=spec))
        asked = run_pb2.GetRunPolicyReportRequest(run_id=run.run_id)
        of_run = data(await service.runs.GetRunPolicyReport(asked))
        body = ParseDict({"spec": spec}, spec_pb2.GetPolicyReportRequest())
        assert of_run == data(await service.specs.GetPolicyReport(body))


async def test_a_view_of_no_run_is_not_found(service: Service) -> None:
    for call in (
        service.runs.GetRunGraph(run_pb2.GetRunGraphRequest(run_id="run_x")),
        service.runs.GetRunPolicyReport(run_pb2.GetRunPolicyReportRequest(run_id="run_x")),
    ):
        assert (await failure(call))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_run_tells_its_deadline(service: Service) -> None:
    made = await service.runs.CreateRun(create(spec=SPEC, timeout_seconds=60))
    run = await service.runs.GetRun(run_pb2.GetRunRequest(run_id=made.run_id))
    left = run.deadline_time.ToDatetime() - run.created_at.ToDatetime()
    assert left == timedelta(seconds=60)
    assert run.deadline_at == pytest.approx(run.deadline_time.ToNanoseconds() / 1e9)
