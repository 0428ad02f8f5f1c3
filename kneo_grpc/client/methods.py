"""The calls of the client: which rpc and which HTTP route carries each.

Path parameters are taken from the call's fields; the rest is the query of a GET or the body of a
POST.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One call. keyed: it is sent with an idempotency key, so that a retry does nothing twice."""

    service: str
    rpc: str
    verb: str
    path: str
    keyed: bool = False


def _runs(rpc: str, verb: str, path: str, *, keyed: bool = False) -> Method:
    return Method(service="RunService", rpc=rpc, verb=verb, path=path, keyed=keyed)


CREATE_RUN = _runs("CreateRun", "POST", "/v1/runs", keyed=True)
GET_RUN = _runs("GetRun", "GET", "/v1/runs/{run_id}")
LIST_RUNS = _runs("ListRuns", "GET", "/v1/runs")
CANCEL_RUN = _runs("CancelRun", "POST", "/v1/runs/{run_id}/cancel")
GET_RUN_TRACE = _runs("GetRunTrace", "GET", "/v1/runs/{run_id}/trace")
LIST_CHECKPOINTS = _runs("ListCheckpoints", "GET", "/v1/runs/{run_id}/checkpoints")
GET_RUN_RECOVERY = _runs("GetRunRecovery", "GET", "/v1/runs/{run_id}/recovery")
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
VALIDATE_SPEC = Method(
    service="SpecService", rpc="ValidateSpec", verb="POST", path="/v1/specs/validate"
)
RUN_SPEC = Method(
    service="SpecService", rpc="RunSpec", verb="POST", path="/v1/specs/run", keyed=True
)
GET_HEALTH = Method(service="HealthService", rpc="GetHealth", verb="GET", path="/v1/healthz")
GET_READINESS = Method(service="HealthService", rpc="GetReadiness", verb="GET", path="/v1/readyz")

ALL = (
    CREATE_RUN,
    GET_RUN,
    LIST_RUNS,
    CANCEL_RUN,
    GET_RUN_TRACE,
    LIST_CHECKPOINTS,
    GET_RUN_RECOVERY,
    LIST_HUMAN_TASKS,
    GET_HUMAN_TASK,
    RESUME_HUMAN_TASK,
    VALIDATE_SPEC,
    RUN_SPEC,
    GET_HEALTH,
    GET_READINESS,
)
