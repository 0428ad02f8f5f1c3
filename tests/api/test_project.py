"""A service with a project in its spec root."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest
import yaml
from google.protobuf.json_format import ParseDict

from kneo_grpc._gen.kneo.v1 import health_pb2, run_pb2, spec_pb2
from kneo_grpc.app import loops
from kneo_grpc.spec.bundle import HmacKey, sign_spec
from tests.service import create, data, failure, human_spec, open_service
from tests.waiting import until

Code = grpc.StatusCode
SPEC = {"version": "v1", "agent": {"name": "root"}}
CONFIG = {
    "project": {"name": "shop"},
    "specs": {"overlays": {"dev": ["over/dev.yaml"]}},
    "environments": {
        "prod": {"policy_enforcement": {"require_guardrails": True}},
        "locked": {"policy_enforcement": {"require_signed_bundle": True}},
        "test": {},
        "asked": {"policy_enforcement": {"require_human_review": True}},
    },
}


@pytest.fixture
async def project(settings, code, tmp_path):
    """The service; its project has an overlay for dev."""
    (tmp_path / ".kneo").mkdir()
    (tmp_path / ".kneo" / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "over").mkdir()
    (tmp_path / "over" / "dev.yaml").write_text("agent:\n  nmae: x\n")
    (tmp_path / "fine.yaml").write_text("agent: {description: fine}\n")
    async for opened in open_service(replace(settings, spec_signing_key="secret"), tmp_path):
        yield opened


def signed(**options):
    key = HmacKey(b"secret")
    return sign_spec(SPEC, key, approved_by="me", created_at=datetime.now(UTC), **options)


async def test_a_provider_is_ready_when_the_variable_that_the_project_names_is_set(
    settings, code, tmp_path
) -> None:
    (tmp_path / "kneo_serv.yaml").write_text(
        "project: {name: a}\nsecrets: {provider_env: {openai: SHOP_OPENAI}}\n"
    )
    wanted = {"health_providers": ("openai",), "filled": frozenset({"SHOP_OPENAI"})}
    async for service in open_service(replace(settings, **wanted), tmp_path):
        answer = data(await service.health.GetReadiness(health_pb2.GetReadinessRequest()))
    check = answer["metadata"]["checks"]["providers"]
    assert check["items"]["openai"] == {"name": "openai", "env_var": "SHOP_OPENAI", "ok": True}


async def test_the_policy_of_the_environment_blocks_a_run(project) -> None:
    call = project.runs.CreateRun(create(spec=SPEC, environment="prod"))
    code, error = await failure(call)
    assert (code, error["http"], error["error"]) == (
        Code.PERMISSION_DENIED,
        403,
        "environment_policy_blocked",
    )
    assert error["diagnostics"][0]["code"] == "E_ENV_POLICY_GUARDRAILS"
    assert error["environment"] == "prod"


async def test_an_environment_that_the_project_does_not_have_is_refused(project) -> None:
    call = project.runs.CreateRun(create(spec=SPEC, environment="prdo"))
    code, error = await failure(call)
    assert (code, error["http"], error["error"]) == (
        Code.INVALID_ARGUMENT,
        400,
        "environment_unknown",
    )
    assert error["known"] == ["asked", "dev", "locked", "prod", "test"]
    assert "did you mean `prod`?" in error["message"]


async def test_the_agent_alone_does_not_get_around_a_demanded_person(project) -> None:
    spec = human_spec()
    waits = await project.runs.CreateRun(create(spec=spec, environment="asked"))
    assert data(waits)["status"] == "blocked"
    alone = create(spec=spec, environment="asked", target="agent")
    code, error = await failure(project.runs.CreateRun(alone))
    assert (code, error["error"]) == (Code.PERMISSION_DENIED, "environment_policy_blocked")
    assert error["diagnostics"][0]["code"] == "E_ENV_POLICY_HUMAN_REVIEW"
    assert "the target `agent`" in error["message"]
    elsewhere = await project.runs.CreateRun(create(spec=spec, environment="test", target="agent"))
    assert data(elsewhere)["status"] == "completed"


async def test_only_a_signed_bundle_runs_where_one_is_demanded(project) -> None:
    call = project.runs.CreateRun(create(spec=SPEC, environment="locked"))
    code, error = await failure(call)
    assert (code, error["error"]) == (Code.PERMISSION_DENIED, "environment_policy_blocked")
    bundle = signed(environment="locked")
    for given in (bundle, {"json": json.dumps(bundle)}):
        result = await project.runs.CreateRun(create(bundle=given, environment="locked"))
        assert data(result)["status"] == "completed"


async def test_a_bundle_that_does_not_hold_is_an_invalid_spec(project) -> None:
    bundle = {**signed(), "spec": {**SPEC, "agent": {"name": "other"}}}
    code, error = await failure(project.runs.CreateRun(create(bundle=bundle)))
    assert (code, error["http"], error["error"]) == (Code.INVALID_ARGUMENT, 400, "spec_invalid")
    codes = {item["code"] for item in error["diagnostics"]}
    assert codes == {"E_BUNDLE_DIGEST", "E_BUNDLE_SIGNATURE"}


async def test_a_finding_in_an_overlay_of_the_project_names_it(project) -> None:
    answer = data(
        await project.specs.ValidateSpec(ParseDict({"spec": SPEC}, spec_pb2.ValidateSpecRequest()))
    )
    (fault,) = [item for item in answer["diagnostics"] if item["severity"] == "error"]
    assert (fault["file"], fault["line"], fault["column"]) == ("over/dev.yaml", 2, 3)


@pytest.mark.parametrize("name", ["../x.yaml", "~/x", "/etc/passwd", "/dev/zero"])
async def test_paths_of_overlays_are_confined(project, name) -> None:
    request = create(spec=SPEC, overlays=[name], environment="test")
    code, error = await failure(project.runs.CreateRun(request))
    assert (code, error["http"], error["error"]) == (
        Code.INVALID_ARGUMENT,
        422,
        "spec_path_confined",
    )


async def test_overlays_of_the_call_are_applied(project) -> None:
    request = create(spec=SPEC, overlays=["fine.yaml"], environment="test")
    assert data(await project.runs.CreateRun(request))["status"] == "completed"


async def test_a_worker_keeps_the_retention_that_only_the_project_names(
    settings, code, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(loops, "RETENTION", timedelta(milliseconds=20))
    (tmp_path / ".kneo").mkdir()
    config = {"project": {"name": "shop"}, "retention": {"runs_days": 0}}
    (tmp_path / ".kneo" / "config.yaml").write_text(yaml.safe_dump(config))
    async for opened in open_service(settings, tmp_path):
        await opened.runs.CreateRun(create(spec=SPEC))

        async def gone() -> bool:
            return (await opened.runs.ListRuns(run_pb2.ListRunsRequest())).total == 0  # noqa: B023 # one round

        await until(gone)
