"""The client for programs with an event loop; it speaks gRPC."""

import itertools
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from kneo_grpc.client import methods
from kneo_grpc.client.documents import document_object, document_text
from kneo_grpc.client.errors import ServiceError
from kneo_grpc.client.methods import Json, Method
from kneo_grpc.client.retry import RETRIES, async_sleep, new_idempotency_key, pause_seconds
from kneo_grpc.client.target import parse_target, require_header_text


class AsyncClient:
    """Calls the service over gRPC; construct it where an event loop runs.

    target: as for Client; `http://…` and `https://…` name the same listener, which speaks gRPC
    too, and must have no path.
    tls_ca: PEM of the authority to trust; None trusts grpc's built-in roots.
    timeout: seconds for one attempt; retries are those of Client.
    Every method raises ServiceError; the constructor raises ValueError on a bad target or key.
    """

    def __init__(
        self,
        target: str,
        *,
        api_key: str | None = None,
        tls_ca: bytes | None = None,
        timeout: float = 120,
        new_key: Callable[[], str] = new_idempotency_key,
        sleep: Callable[[float], Awaitable[None]] = async_sleep,
    ) -> None:
        # grpc takes a fifth of a second to load, which JSON callers of this package need not pay.
        from kneo_grpc.client.rpc import AsyncGrpcTransport

        require_header_text(api_key)
        where = parse_target(target)
        if where.prefix:
            raise ValueError(f"gRPC has no path: leave {where.prefix} out")
        self._transport = AsyncGrpcTransport(where, api_key=api_key, tls_ca=tls_ca, timeout=timeout)
        self._new_key = new_key
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._transport.close()

    async def create_run(self, body: Json, *, idempotency_key: str | None = None) -> Json:
        """Run a spec. body: as POST /v1/runs takes it. Returns the run's result."""
        return await self._call(methods.CREATE_RUN, body, idempotency_key)

    async def run_spec(self, body: Json, *, idempotency_key: str | None = None) -> Json:
        """Run a spec, under the idempotency scope of POST /v1/specs/run."""
        return await self._call(methods.RUN_SPEC, body, idempotency_key)

    async def get_run(self, run_id: str) -> Json:
        """Return a run."""
        return await self._call(methods.GET_RUN, {"run_id": run_id})

    async def list_runs(self, query: Json | None = None) -> Json:
        """Return a page: `runs` and the page's facts. query: filters, limit, offset, sort_…"""
        return await self._call(methods.LIST_RUNS, query or {})

    async def cancel_run(self, run_id: str, *, idempotency_key: str | None = None) -> Json:
        """End a run; return it."""
        return await self._call(methods.CANCEL_RUN, {"run_id": run_id}, idempotency_key)

    async def trace(self, run_id: str, query: Json | None = None) -> Json:
        """Return a page of `events`. query: event_type, limit, offset, sort_…"""
        return await self._call(methods.GET_RUN_TRACE, {**(query or {}), "run_id": run_id})

    async def checkpoints(self, run_id: str, query: Json | None = None) -> Json:
        """Return a page of `checkpoints`. query: type, limit, offset, sort_…"""
        return await self._call(methods.LIST_CHECKPOINTS, {**(query or {}), "run_id": run_id})

    async def recovery(self, run_id: str) -> Json:
        """Return what is left to do in a run."""
        return await self._call(methods.GET_RUN_RECOVERY, {"run_id": run_id})

    async def continue_run(self, run_id: str, *, idempotency_key: str | None = None) -> Json:
        """Let a failed run go on with the step that failed. Returns as create_run does."""
        return await self._call(methods.CONTINUE_RUN, {"run_id": run_id}, idempotency_key)

    async def fork_run(
        self, run_id: str, body: Json | None = None, *, idempotency_key: str | None = None
    ) -> Json:
        """Start a new run where a run stood. body: checkpoint_sequence, input, async_mode.

        Returns as create_run does.
        """
        fields = {**(body or {}), "run_id": run_id}
        return await self._call(methods.FORK_RUN, fields, idempotency_key)

    async def replay(self, run_id: str) -> Json:
        """Return a run's history: `timeline` and what a continuation would start from."""
        return await self._call(methods.GET_RUN_REPLAY, {"run_id": run_id})

    async def checkpoint_diff(self, run_id: str, query: Json | None = None) -> Json:
        """Return what changed between two checkpoints. query: from_sequence, to_sequence; the last
        two when left out.
        """
        return await self._call(methods.DIFF_CHECKPOINTS, {**(query or {}), "run_id": run_id})

    async def list_queue(self, query: Json | None = None) -> Json:
        """Return `jobs`: the runs that wait or are executed, the longest due first.

        query: limit, offset, sort_…
        """
        return await self._call(methods.LIST_QUEUE, query or {})

    async def list_dead_letters(self, query: Json | None = None) -> Json:
        """Return `jobs`: the runs that no worker could carry. query: limit, offset, sort_…"""
        return await self._call(methods.LIST_DEAD_LETTERS, query or {})

    async def requeue_run(self, run_id: str) -> Json:
        """Put a failed run back into the queue; return it."""
        return await self._call(methods.REQUEUE_RUN, {"run_id": run_id})

    async def prune_timed_out_runs(self) -> Json:
        """End the runs whose deadline has passed; return `counts`."""
        return await self._call(methods.PRUNE_TIMED_OUT_RUNS, {})

    async def prune_expired_human_tasks(self) -> Json:
        """Do what human tasks say for the time after their deadline; return `counts`."""
        return await self._call(methods.PRUNE_EXPIRED_HUMAN_TASKS, {})

    async def prune_retention(self) -> Json:
        """Remove what is older than the service's settings allow; return `counts`."""
        return await self._call(methods.PRUNE_RETENTION, {})

    async def list_audit_events(self, query: Json | None = None) -> Json:
        """Return a page of the audit trail as `events`. query: event_type, run_id, continuation_id,
        actor, created_after, created_before, limit, offset, sort_order, page_token.
        """
        return await self._call(methods.LIST_AUDIT_EVENTS, query or {})

    async def verify_audit(self, query: Json | None = None) -> Json:
        """Check a part of the audit trail; return `valid`, `breaks` and, where more is left,
        `next_page_token`. query: limit, page_token.
        """
        return await self._call(methods.VERIFY_AUDIT, query or {})

    async def openapi(self) -> Json:
        """Return the OpenAPI document of the HTTP interface."""
        return document_object(await self._call(methods.GET_OPENAPI, {}))

    async def metrics(self) -> str:
        """Return the service's counters in the text format of Prometheus."""
        return document_text(await self._call(methods.GET_METRICS, {}))

    async def list_human_tasks(self, query: Json | None = None) -> Json:
        """Return a page of `tasks`. query: run_id, workflow_kind, limit, offset, sort_…"""
        return await self._call(methods.LIST_HUMAN_TASKS, query or {})

    async def get_human_task(self, continuation_id: str) -> Json:
        """Return a task with its question."""
        return await self._call(methods.GET_HUMAN_TASK, {"continuation_id": continuation_id})

    async def resume_human_task(
        self, continuation_id: str, body: Json, *, idempotency_key: str | None = None
    ) -> Json:
        """Decide a task. body: request_id, decision, and what the decision needs."""
        fields = {**body, "continuation_id": continuation_id}
        return await self._call(methods.RESUME_HUMAN_TASK, fields, idempotency_key)

    async def validate_spec(self, body: Json) -> Json:
        """Check a spec; return `valid` and `diagnostics`.

        body: spec, spec_path or bundle; environment, overlays, overrides.
        """
        return await self._call(methods.VALIDATE_SPEC, body)

    async def compile_spec(self, body: Json) -> Json:
        """Return `ok`, `diagnostics` and `summary`. body: as for validate_spec, and strict: False
        answers where a spec has errors instead of refusing it.
        """
        return await self._call(methods.COMPILE_SPEC, body)

    async def explain_spec(self, body: Json) -> Json:
        """Return the `summary` of what is in a spec. body: as for validate_spec."""
        return await self._call(methods.EXPLAIN_SPEC, body)

    async def graph_spec(self, body: Json) -> Json:
        """Return `nodes`, `edges`, `subgraphs`. body: as for validate_spec, and format: `mermaid`
        or `dot` adds the drawing as `text`.
        """
        return await self._call(methods.GRAPH_SPEC, body)

    async def policy_report(self, body: Json) -> Json:
        """Return `valid` and the `report` on a spec. body: as for validate_spec."""
        return await self._call(methods.GET_POLICY_REPORT, body)

    async def list_skills(self, query: Json | None = None) -> Json:
        """Return a page of `skills` that lie on the server. query: limit, offset, sort_…"""
        return await self._call(methods.LIST_SKILLS, query or {})

    async def run_graph(self, run_id: str) -> Json:
        """Return `nodes`, `edges`, `current` and `visited` of a run."""
        return await self._call(methods.GET_RUN_GRAPH, {"run_id": run_id})

    async def run_policy_report(self, run_id: str) -> Json:
        """Return `valid` and the `report` on what a run executes."""
        return await self._call(methods.GET_RUN_POLICY_REPORT, {"run_id": run_id})

    async def list_environment_policies(self) -> Json:
        """Return all `policies` by environment."""
        return await self._call(methods.LIST_ENVIRONMENT_POLICIES, {})

    async def get_environment_policy(self, environment: str) -> Json:
        """Return the `policy` of an environment, if it has one."""
        return await self._call(methods.GET_ENVIRONMENT_POLICY, {"environment": environment})

    async def put_environment_policy(
        self, environment: str, body: Json, *, idempotency_key: str | None = None
    ) -> Json:
        """Replace the policy of an environment; return `policy` and `previous_policy`. body: the
        policy's fields; what is left out has its default.
        """
        fields = {"environment": environment, "policy": body}
        return await self._call(methods.PUT_ENVIRONMENT_POLICY, fields, idempotency_key)

    async def preview_environment_policy(self, environment: str, body: Json) -> Json:
        """Return what a policy would change. body: as for put_environment_policy."""
        return await self._call(
            methods.PREVIEW_ENVIRONMENT_POLICY, {"environment": environment, "policy": body}
        )

    async def list_credentials(self, query: Json | None = None) -> Json:
        """Return the `inventory` of secrets: which are there, not what they are.

        query: providers, extras, include_service_tokens
        """
        return await self._call(methods.LIST_CREDENTIALS, query or {})

    async def health(self) -> Json:
        """Return the answer of a service that is up."""
        return await self._call(methods.GET_HEALTH, {})

    async def live(self) -> Json:
        """Return the answer of a process that need not be restarted."""
        return await self._call(methods.GET_LIVENESS, {})

    async def ready(self) -> Json:
        """Return the checks; raises ServiceError `not_ready` with details["metadata"]."""
        return await self._call(methods.GET_READINESS, {})

    async def _call(
        self, method: Method, fields: Mapping[str, Any], key: str | None = None
    ) -> Json:
        if method.keyed:
            key = key or self._new_key()
        for attempt in itertools.count(1):
            try:
                return await self._transport.call(method, fields, key=key)
            except ServiceError as error:
                if attempt > RETRIES or not error.retriable:
                    raise
                await self._sleep(pause_seconds(attempt, error.retry_after))
        raise AssertionError("the loop above ends by return or raise")
