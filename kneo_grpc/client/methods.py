"""The calls of the client: which rpc and which HTTP route carries each.

Path parameters are taken from the call's fields; the rest is the query of a GET or the body of a
POST.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One call. keyed: it is sent with an idempotency key, so that a retry does nothing twice: what
    creates, continues, resumes or cancels a run, and what puts a policy.

    body: the one field that is the body of its HTTP request; None for all that the path leaves.
    document: the answer is a document of its own, given as `content_type` and `data` (base64).
    """

    service: str
    rpc: str
    verb: str
    path: str
    keyed: bool = False
    body: str | None = None
    document: bool = False


def _runs(rpc: str, verb: str, path: str, *, keyed: bool = False) -> Method:
    return Method(service="RunService", rpc=rpc, verb=verb, path=path, keyed=keyed)


def _maintenance(rpc: str, name: str) -> Method:
    path = f"/v1/maintenance/{name}"
    return Method(service="MaintenanceService", rpc=rpc, verb="POST", path=path)


def _policies(rpc: str, verb: str, rest: str, *, keyed: bool = False) -> Method:
    path = f"/v1/policies/environment{rest}"
    body = None if verb == "GET" else "policy"
    return Method(service="PolicyService", rpc=rpc, verb=verb, path=path, keyed=keyed, body=body)


def _specs(rpc: str, name: str) -> Method:
    return Method(service="SpecService", rpc=rpc, verb="POST", path=f"/v1/specs/{name}")


CREATE_RUN = _runs("CreateRun", "POST", "/v1/runs", keyed=True)
GET_RUN = _runs("GetRun", "GET", "/v1/runs/{run_id}")
LIST_RUNS = _runs("ListRuns", "GET", "/v1/runs")
CANCEL_RUN = _runs("CancelRun", "POST", "/v1/runs/{run_id}/cancel", keyed=True)
GET_RUN_TRACE = _runs("GetRunTrace", "GET", "/v1/runs/{run_id}/trace")
LIST_CHECKPOINTS = _runs("ListCheckpoints", "GET", "/v1/runs/{run_id}/checkpoints")
GET_RUN_RECOVERY = _runs("GetRunRecovery", "GET", "/v1/runs/{run_id}/recovery")
CONTINUE_RUN = _runs("ContinueRun", "POST", "/v1/runs/{run_id}/continue", keyed=True)
FORK_RUN = _runs("ForkRun", "POST", "/v1/runs/{run_id}/fork", keyed=True)
GET_RUN_REPLAY = _runs("GetRunReplay", "GET", "/v1/runs/{run_id}/replay")
DIFF_CHECKPOINTS = _runs("DiffCheckpoints", "GET", "/v1/runs/{run_id}/checkpoints/diff")
GET_RUN_GRAPH = _runs("GetRunGraph", "GET", "/v1/runs/{run_id}/graph")
GET_RUN_POLICY_REPORT = _runs("GetRunPolicyReport", "GET", "/v1/runs/{run_id}/policy-report")
LIST_QUEUE = Method(service="QueueService", rpc="ListQueue", verb="GET", path="/v1/queue")
LIST_DEAD_LETTERS = Method(
    service="QueueService", rpc="ListDeadLetters", verb="GET", path="/v1/queue/dead"
)
REQUEUE_RUN = Method(
    service="QueueService", rpc="RequeueRun", verb="POST", path="/v1/queue/{run_id}/requeue"
)
PRUNE_TIMED_OUT_RUNS = _maintenance("PruneTimedOutRuns", "prune-timed-out-runs")
PRUNE_EXPIRED_HUMAN_TASKS = _maintenance("PruneExpiredHumanTasks", "prune-expired-human-tasks")
PRUNE_RETENTION = _maintenance("PruneRetention", "prune-retention")
LIST_AUDIT_EVENTS = Method(
    service="AuditService", rpc="ListAuditEvents", verb="GET", path="/v1/audit-events"
)
VERIFY_AUDIT = Method(
    service="AuditService", rpc="VerifyAudit", verb="GET", path="/v1/audit-events/verify"
)
LIST_HUMAN_TASKS = Method(
    service="HumanTaskService", rpc="ListHumanTasks", verb="GET", path="/v1/human-tasks"
)
GET_HUMAN_TASK = Method(
    service="HumanTaskService",
    rpc="GetHumanTask",
    verb="GET",
    path="/v1/human-tasks/{continuation_id}",
)
RESUME_HUMAN_TASK = Method(
    service="HumanTaskService",
    rpc="ResumeHumanTask",
    verb="POST",
    path="/v1/human-tasks/{continuation_id}/resume",
    keyed=True,
)
VALIDATE_SPEC = _specs("ValidateSpec", "validate")
COMPILE_SPEC = _specs("CompileSpec", "compile")
EXPLAIN_SPEC = _specs("ExplainSpec", "explain")
GRAPH_SPEC = _specs("GraphSpec", "graph")
GET_POLICY_REPORT = _specs("GetPolicyReport", "policy-report")
LIST_SKILLS = Method(service="SpecService", rpc="ListSkills", verb="GET", path="/v1/skills")
RUN_SPEC = Method(
    service="SpecService", rpc="RunSpec", verb="POST", path="/v1/specs/run", keyed=True
)
LIST_ENVIRONMENT_POLICIES = _policies("ListEnvironmentPolicies", "GET", "")
GET_ENVIRONMENT_POLICY = _policies("GetEnvironmentPolicy", "GET", "/{environment}")
PUT_ENVIRONMENT_POLICY = _policies("PutEnvironmentPolicy", "PUT", "/{environment}", keyed=True)
PREVIEW_ENVIRONMENT_POLICY = _policies("PreviewEnvironmentPolicy", "POST", "/{environment}/preview")
LIST_CREDENTIALS = Method(
    service="CredentialService",
    rpc="ListCredentials",
    verb="GET",
    path="/v1/security/credentials",
)
GET_HEALTH = Method(service="HealthService", rpc="GetHealth", verb="GET", path="/v1/healthz")
GET_LIVENESS = Method(service="HealthService", rpc="GetLiveness", verb="GET", path="/v1/livez")
GET_READINESS = Method(service="HealthService", rpc="GetReadiness", verb="GET", path="/v1/readyz")
GET_OPENAPI = Method(
    service="MetaService", rpc="GetOpenApi", verb="GET", path="/v1/openapi.json", document=True
)
GET_METRICS = Method(
    service="MetaService", rpc="GetMetrics", verb="GET", path="/v1/metrics", document=True
)

ALL = (
    CREATE_RUN,
    GET_RUN,
    LIST_RUNS,
    CANCEL_RUN,
    GET_RUN_TRACE,
    LIST_CHECKPOINTS,
    GET_RUN_RECOVERY,
    CONTINUE_RUN,
    FORK_RUN,
    GET_RUN_REPLAY,
    DIFF_CHECKPOINTS,
    GET_RUN_GRAPH,
    GET_RUN_POLICY_REPORT,
    LIST_QUEUE,
    LIST_DEAD_LETTERS,
    REQUEUE_RUN,
    PRUNE_TIMED_OUT_RUNS,
    PRUNE_EXPIRED_HUMAN_TASKS,
    PRUNE_RETENTION,
    LIST_AUDIT_EVENTS,
    VERIFY_AUDIT,
    LIST_HUMAN_TASKS,
    GET_HUMAN_TASK,
    RESUME_HUMAN_TASK,
    VALIDATE_SPEC,
    COMPILE_SPEC,
    EXPLAIN_SPEC,
    GRAPH_SPEC,
    GET_POLICY_REPORT,
    LIST_SKILLS,
    RUN_SPEC,
    LIST_ENVIRONMENT_POLICIES,
    GET_ENVIRONMENT_POLICY,
    PUT_ENVIRONMENT_POLICY,
    PREVIEW_ENVIRONMENT_POLICY,
    LIST_CREDENTIALS,
    GET_HEALTH,
    GET_LIVENESS,
    GET_READINESS,
    GET_OPENAPI,
    GET_METRICS,
)
