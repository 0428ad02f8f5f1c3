"""The platform in the caller's own process, with the answers of the JSON contract."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from kneo_grpc.api.call import Call, set_call
from kneo_grpc.api.convert.fields import canonical
from kneo_grpc.api.messages import requests
from kneo_grpc.api.redaction import AnswerRedactor
from kneo_grpc.app.loops import duties
from kneo_grpc.app.redaction import build_redactor
from kneo_grpc.app.settings import environment, read_settings
from kneo_grpc.app.wiring import Platform, build_platform
from kneo_grpc.client.documents import document_object, document_text
from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.principal import Principal
from kneo_grpc.integrations.code import CodeRegistry
from kneo_grpc.platform.specs import implementations
from kneo_grpc.ports.code import CodeMissing, CodeNotAllowed

LOCAL = Principal(name="local", roles=frozenset({"admin"}), scopes=frozenset({"*"}))


class LocalPlatform:
    """The service's methods as coroutines from dicts to dicts. Raises KneoError.

    answers: blanks secrets in what is returned; a program that embeds the platform gets all as it
    is.
    """

    def __init__(
        self,
        platform: Platform,
        idempotency_key: str | None = None,
        answers: AnswerRedactor | None = None,
        *,
        workers_import: tuple[str, ...] = ("*",),
    ) -> None:
        self._platform = platform
        self._workers_import = workers_import
        self._servicers = platform.servicers()
        self._idempotency_key = idempotency_key
        self._answers = answers

    async def create_run(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As POST /v1/runs."""
        return await self._call(self._servicers.runs.CreateRun, "CreateRunRequest", body)

    async def run_spec(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As POST /v1/specs/run."""
        return await self._call(self._servicers.specs.RunSpec, "CreateRunRequest", body)

    async def get_run(self, run_id: str) -> dict[str, Any]:
        """As GET /v1/runs/{run_id}."""
        return await self._call(self._servicers.runs.GetRun, "GetRunRequest", {"run_id": run_id})

    async def list_runs(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/runs."""
        return await self._call(self._servicers.runs.ListRuns, "ListRunsRequest", query)

    async def cancel_run(self, run_id: str) -> dict[str, Any]:
        """As POST /v1/runs/{run_id}/cancel."""
        body = {"run_id": run_id}
        return await self._call(self._servicers.runs.CancelRun, "CancelRunRequest", body)

    async def trace(self, run_id: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/runs/{run_id}/trace."""
        body = {**query, "run_id": run_id}
        return await self._call(self._servicers.runs.GetRunTrace, "GetRunTraceRequest", body)

    async def checkpoints(self, run_id: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/runs/{run_id}/checkpoints."""
        body = {**query, "run_id": run_id}
        method = self._servicers.runs.ListCheckpoints
        return await self._call(method, "ListCheckpointsRequest", body)

    async def recovery(self, run_id: str) -> dict[str, Any]:
        """As GET /v1/runs/{run_id}/recovery."""
        body = {"run_id": run_id}
        return await self._call(self._servicers.runs.GetRunRecovery, "GetRunRecoveryRequest", body)

    async def continue_run(self, run_id: str) -> dict[str, Any]:
        """As POST /v1/runs/{run_id}/continue."""
        body = {"run_id": run_id}
        return await self._call(self._servicers.runs.ContinueRun, "ContinueRunRequest", body)

    async def fork_run(self, run_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As POST /v1/runs/{run_id}/fork."""
        body = {**body, "run_id": run_id}
        return await self._call(self._servicers.runs.ForkRun, "ForkRunRequest", body)

    async def replay(self, run_id: str) -> dict[str, Any]:
        """As GET /v1/runs/{run_id}/replay."""
        body = {"run_id": run_id}
        return await self._call(self._servicers.runs.GetRunReplay, "GetRunReplayRequest", body)

    async def checkpoint_diff(self, run_id: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/runs/{run_id}/checkpoints/diff."""
        body = {**query, "run_id": run_id}
        method = self._servicers.runs.DiffCheckpoints
        return await self._call(method, "DiffCheckpointsRequest", body)

    async def list_queue(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/queue."""
        return await self._call(self._servicers.queue.ListQueue, "ListQueueRequest", query)

    async def list_dead_letters(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/queue/dead."""
        method = self._servicers.queue.ListDeadLetters
        return await self._call(method, "ListDeadLettersRequest", query)

    async def requeue_run(self, run_id: str) -> dict[str, Any]:
        """As POST /v1/queue/{run_id}/requeue."""
        body = {"run_id": run_id}
        return await self._call(self._servicers.queue.RequeueRun, "RequeueRunRequest", body)

    async def prune_timed_out_runs(self) -> dict[str, Any]:
        """As POST /v1/maintenance/prune-timed-out-runs."""
        method = self._servicers.maintenance.PruneTimedOutRuns
        return await self._call(method, "PruneTimedOutRunsRequest", {})

    async def prune_expired_human_tasks(self) -> dict[str, Any]:
        """As POST /v1/maintenance/prune-expired-human-tasks."""
        method = self._servicers.maintenance.PruneExpiredHumanTasks
        return await self._call(method, "PruneExpiredHumanTasksRequest", {})

    async def openapi(self) -> dict[str, Any]:
        """As GET /v1/openapi.json."""
        method = self._servicers.meta.GetOpenApi
        return document_object(await self._call(method, "GetOpenApiRequest", {}, public=True))

    async def metrics(self) -> str:
        """As GET /v1/metrics."""
        method = self._servicers.meta.GetMetrics
        return document_text(await self._call(method, "GetMetricsRequest", {}, public=True))

    async def prune_retention(self) -> dict[str, Any]:
        """As POST /v1/maintenance/prune-retention."""
        method = self._servicers.maintenance.PruneRetention
        return await self._call(method, "PruneRetentionRequest", {})

    async def list_audit_events(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/audit-events."""
        method = self._servicers.audit.ListAuditEvents
        return await self._call(method, "ListAuditEventsRequest", query)

    async def verify_audit(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/audit-events/verify."""
        return await self._call(self._servicers.audit.VerifyAudit, "VerifyAuditRequest", query)

    async def list_human_tasks(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/human-tasks."""
        method = self._servicers.human_tasks.ListHumanTasks
        return await self._call(method, "ListHumanTasksRequest", query)

    async def get_human_task(self, continuation_id: str) -> dict[str, Any]:
        """As GET /v1/human-tasks/{continuation_id}."""
        body = {"continuation_id": continuation_id}
        method = self._servicers.human_tasks.GetHumanTask
        return await self._call(method, "GetHumanTaskRequest", body)

    async def resume_human_task(
        self, continuation_id: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As POST /v1/human-tasks/{continuation_id}/resume."""
        method = self._servicers.human_tasks.ResumeHumanTask
        body = {**body, "continuation_id": continuation_id}
        return await self._call(method, "ResumeHumanTaskRequest", body)

    async def validate_spec(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As POST /v1/specs/validate."""
        return await self._call(self._servicers.specs.ValidateSpec, "ValidateSpecRequest", body)

    async def compile_spec(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As POST /v1/specs/compile."""
        return await self._call(self._servicers.specs.CompileSpec, "CompileSpecRequest", body)

    async def explain_spec(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As POST /v1/specs/explain."""
        return await self._call(self._servicers.specs.ExplainSpec, "ExplainSpecRequest", body)

    async def graph_spec(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As POST /v1/specs/graph."""
        return await self._call(self._servicers.specs.GraphSpec, "GraphSpecRequest", body)

    async def policy_report(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As POST /v1/specs/policy-report."""
        method = self._servicers.specs.GetPolicyReport
        return await self._call(method, "GetPolicyReportRequest", body)

    async def list_skills(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/skills."""
        return await self._call(self._servicers.specs.ListSkills, "ListSkillsRequest", query)

    async def interrupted(self) -> str | None:
        """Stop executing what a call has started here, so that it is a worker's at once; return the
        run's id, None where there is none.
        """
        driven = self._platform.legs.driven()
        await self._platform.legs.drain(timedelta(0))
        return next(iter(driven), None)

    async def beyond_workers(self, run_id: str) -> dict[str, Any]:
        """Return `modules`: those of a run's code that a worker with this environment must not
        import; and `import_allow`: what KNEO_SERV_IMPORT_ALLOW has to be so that it may.

        Installed code is offered to every process, so it is not among them.
        """
        plan = await self._platform.specs.plan(
            (await self._platform.runs.get(RunId(run_id))).plan_digest
        )
        code = CodeRegistry(self._workers_import)
        modules = set()
        for implementation in implementations(plan).values():
            try:
                code.function(implementation)
            except CodeNotAllowed:
                modules.add(implementation.rpartition(".")[0])
            except CodeMissing:
                pass  # it was there a moment ago; the worker tells what it misses
        missing = sorted(modules)
        allow = ",".join((*self._workers_import, *missing))
        return {"modules": missing, "import_allow": allow}

    async def run_graph(self, run_id: str) -> dict[str, Any]:
        """As GET /v1/runs/{run_id}/graph."""
        body = {"run_id": run_id}
        return await self._call(self._servicers.runs.GetRunGraph, "GetRunGraphRequest", body)

    async def run_policy_report(self, run_id: str) -> dict[str, Any]:
        """As GET /v1/runs/{run_id}/policy-report."""
        method = self._servicers.runs.GetRunPolicyReport
        return await self._call(method, "GetRunPolicyReportRequest", {"run_id": run_id})

    async def list_environment_policies(self) -> dict[str, Any]:
        """As GET /v1/policies/environment."""
        method = self._servicers.policies.ListEnvironmentPolicies
        return await self._call(method, "ListEnvironmentPoliciesRequest", {})

    async def get_environment_policy(self, environment: str) -> dict[str, Any]:
        """As GET /v1/policies/environment/{environment}."""
        method = self._servicers.policies.GetEnvironmentPolicy
        body = {"environment": environment}
        return await self._call(method, "GetEnvironmentPolicyRequest", body)

    async def put_environment_policy(
        self, environment: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As PUT /v1/policies/environment/{environment}."""
        method = self._servicers.policies.PutEnvironmentPolicy
        body = {"environment": environment, "policy": body}
        return await self._call(method, "PutEnvironmentPolicyRequest", body)

    async def preview_environment_policy(
        self, environment: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As POST /v1/policies/environment/{environment}/preview."""
        method = self._servicers.policies.PreviewEnvironmentPolicy
        body = {"environment": environment, "policy": body}
        return await self._call(method, "PreviewEnvironmentPolicyRequest", body)

    async def list_credentials(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """As GET /v1/security/credentials."""
        method = self._servicers.credentials.ListCredentials
        return await self._call(method, "ListCredentialsRequest", query)

    async def health(self) -> dict[str, Any]:
        """As GET /v1/healthz."""
        return await self._call(self._servicers.health.GetHealth, "GetHealthRequest", {})

    async def live(self) -> dict[str, Any]:
        """As GET /v1/livez."""
        return await self._call(self._servicers.health.GetLiveness, "GetLivenessRequest", {})

    async def ready(self) -> dict[str, Any]:
        """As GET /v1/readyz."""
        return await self._call(self._servicers.health.GetReadiness, "GetReadinessRequest", {})

    async def _call(
        self,
        method: Callable[[Any, Any], Any],
        request_type: str,
        body: Mapping[str, Any],
        *,
        public: bool = False,
    ) -> dict[str, Any]:
        """Call a servicer. public: the answer tells of no request, so nothing is blanked in it."""
        given = {key: value for key, value in body.items() if value is not None}
        try:
            request = ParseDict(given, requests()[request_type]())
        except ParseError as error:
            raise InvalidInput(str(error)) from error
        set_call(Call(principal=LOCAL, request_id="local", idempotency_key=self._idempotency_key))
        answering: Awaitable[Message] = method(request, _Context())
        answer = await answering
        if self._answers is not None and not public:
            answer = self._answers.message(answer)
        data = canonical(
            MessageToDict(
                answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
        )
        assert isinstance(data, dict)
        return data


class _Context:
    """What a servicer needs of a call's context: headers, which go nowhere here."""

    async def send_initial_metadata(self, metadata: object) -> None:
        """Drop them."""


@contextlib.asynccontextmanager
async def open_local(
    state_path: Path | None = None,
    *,
    spec_root: Path | None = None,
    skill_root: Path | None = None,
    idempotency_key: str | None = None,
) -> AsyncIterator[LocalPlatform]:
    """Open the platform on this folder's SQLite file, or on what the environment names.

    spec_root: folder that spec paths are confined to; the file system's root when None, because the
    caller's own files are the caller's to read. skill_root: folder of skills, the current one when
    None. idempotency_key: of the calls that take one. The
    project folder's own modules may be imported.
    """
    settings = read_settings(environment())
    workers_import = settings.import_allow
    settings = replace(
        settings,
        state_path=state_path or settings.state_path,
        spec_root=spec_root or Path(Path.cwd().anchor),
        skill_root=skill_root or Path.cwd(),
        # The command line puts specs together itself, with the project it finds from this folder.
        project_config=None,
        import_allow=("*",),
        # Its standard output is the command's answer; the next service exports.
        audit_export=False,
    )
    platform = build_platform(settings, exclusive=False)
    await platform.start()
    try:
        async with duties(platform, works=False):
            answers = AnswerRedactor(build_redactor(settings))
            yield LocalPlatform(platform, idempotency_key, answers, workers_import=workers_import)
    finally:
        await platform.stop()
