"""More of the requests whose answers the golden files show: pages, policies, credentials."""

from typing import Any

from tests.gateway.support_cases import SMOKE, case, create, failed, paused, resumed
from tests.gateway.support_golden import Request, Stage, get, post
from tests.service import function_spec

POLICY = "/v1/policies/environment"
REVIEW = {"require_human_review": True, "blocked_diagnostic_codes": ["W_TOOL_SHELL_ALLOWED"]}


def put(environment: str, body: Any, **headers: str) -> Request:
    request = post(f"{POLICY}/{environment}", body, **headers)
    return Request(method="PUT", path=request.path, headers=request.headers, body=request.body)


async def three_runs(stage: Stage) -> None:
    # Tokens are sealed with a key of the test's.
    stage.platform.page_tokens.use(b"golden")
    for number in range(3):
        spec = function_spec("note")
        await stage.done(create(spec=spec, session_id=f"s-{number % 2}", environment="prod"))


@case("RunService.ListRuns.page")
async def _(stage: Stage) -> Request:
    await three_runs(stage)
    return get("/v1/runs?limit=1&sort_by=created_at&sort_order=asc")


@case("RunService.ListRuns.next_page")
async def _(stage: Stage) -> Request:
    await three_runs(stage)
    query = "limit=1&sort_by=created_at&sort_order=asc"
    first = await stage.done(get(f"/v1/runs?{query}"))
    return get(f"/v1/runs?{query}&page_token={first['next_page_token']}")


@case("AuditService.ListAuditEvents.page")
async def _(stage: Stage) -> Request:
    await three_runs(stage)
    return get("/v1/audit-events?limit=1")


@case("AuditService.ListAuditEvents.next_page")
async def _(stage: Stage) -> Request:
    await three_runs(stage)
    first = await stage.done(get("/v1/audit-events?limit=1"))
    return get(f"/v1/audit-events?limit=1&page_token={first['next_page_token']}")


@case("RunService.ListRuns.filtered")
async def _(stage: Stage) -> Request:
    await three_runs(stage)
    await failed(stage)
    query = "session_id=s-0&has_error=false&created_after=2020-01-01T00:00:00Z&q=HI"
    return get(f"/v1/runs?{query}&environment=prod&workflow_kind=sequential")


@case("error.invalid_page_token")
async def _(stage: Stage) -> Request:
    await three_runs(stage)
    first = await stage.done(get("/v1/runs?limit=1"))
    return get(f"/v1/runs?limit=1&status=failed&page_token={first['next_page_token']}")


@case("error.invalid_timestamp")
async def _(stage: Stage) -> Request:
    return get("/v1/runs?created_before=yesterday")


@case("RunService.GetRunGraph")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await paused(stage))['run_id']}/graph")


@case("RunService.GetRunGraph.ended")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await resumed(stage))['run_id']}/graph")


@case("RunService.GetRunPolicyReport")
async def _(stage: Stage) -> Request:
    return get(f"/v1/runs/{(await paused(stage))['run_id']}/policy-report")


@case("PolicyService.PutEnvironmentPolicy")
async def _(stage: Stage) -> Request:
    return put("prod", REVIEW)


@case("PolicyService.PutEnvironmentPolicy.replaced")
async def _(stage: Stage) -> Request:
    await stage.done(put("prod", REVIEW))
    return put("prod", {"fail_on_warnings": True, "enabled": False}, idempotency_key="k")


@case("PolicyService.PutEnvironmentPolicy.replay")
async def _(stage: Stage) -> Request:
    await stage.done(put("prod", REVIEW, idempotency_key="k"))
    return put("prod", REVIEW, idempotency_key="k")


@case("PolicyService.GetEnvironmentPolicy")
async def _(stage: Stage) -> Request:
    await stage.done(put("prod", REVIEW))
    return get(f"{POLICY}/prod")


@case("PolicyService.GetEnvironmentPolicy.none")
async def _(stage: Stage) -> Request:
    return get(f"{POLICY}/prod")


@case("PolicyService.ListEnvironmentPolicies")
async def _(stage: Stage) -> Request:
    await stage.done(put("prod", REVIEW))
    await stage.done(put("dev", {}))
    return get(POLICY)


@case("PolicyService.PreviewEnvironmentPolicy")
async def _(stage: Stage) -> Request:
    await stage.done(put("prod", {"require_human_review": False}))
    await three_runs(stage)
    await stage.done(post("/v1/runs", {**SMOKE, "environment": "prod"}))
    return post(f"{POLICY}/prod/preview", REVIEW)


@case("error.environment_policy_blocked.stored")
async def _(stage: Stage) -> Request:
    await stage.done(put("prod", REVIEW))
    return create(spec=function_spec("note"), environment="prod")


@case("error.validation_error.policy")
async def _(stage: Stage) -> Request:
    return put("prod", {"blocked_diagnostic_codes": ["W_A", ""]})


@case("error.validation_error.unknown_field")
async def _(stage: Stage) -> Request:
    return put("prod", {"require_human_reviews": True})


@case("CredentialService.ListCredentials")
async def _(stage: Stage) -> Request:
    stage.platform.credentials._is_set = lambda name: name == "OPENAI_API_KEY"
    query = "providers=openai&providers=google&extras=CRM_KEY"
    return get(f"/v1/security/credentials?{query}&include_service_tokens=true")


@case("CredentialService.ListCredentials.without_service_tokens")
async def _(stage: Stage) -> Request:
    stage.platform.credentials._is_set = lambda name: False
    return get("/v1/security/credentials?providers=openai&include_service_tokens=false")
