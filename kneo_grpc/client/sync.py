"""The blocking client."""

import itertools
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from kneo_grpc.client import methods
from kneo_grpc.client.documents import document_object, document_text
from kneo_grpc.client.errors import ServiceError
from kneo_grpc.client.http import HttpTransport
from kneo_grpc.client.methods import Json, Method
from kneo_grpc.client.retry import RETRIES, new_idempotency_key, pause_seconds
from kneo_grpc.client.target import Target, parse_target, require_header_text


class Transport(Protocol):
    """Sends one call once."""

    def call(self, method: Method, fields: Mapping[str, Any], *, key: str | None) -> Json:
        """Return the answer. Raises ServiceError."""

    def close(self) -> None:
        """Let go of what is open."""


class Client:
    """Calls the service and blocks until it answers.

    target: `http://…` and `https://…` speak JSON; `grpc://…`, `grpcs://…`, `unix:/path` and
    `host:port` speak gRPC. The answers are the same.
    tls_ca: PEM of the authority to trust; None trusts the system's.
    timeout: seconds for one attempt. A call that finds the service out of reach or overloaded, or
    that is told when to come again, is sent again twice; calls that create, continue, resume or
    cancel a run or put a policy carry the same idempotency key each time.
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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        require_header_text(api_key)
        self._transport = _transport(
            parse_target(target), api_key=api_key, tls_ca=tls_ca, timeout=timeout
        )
        self._new_key = new_key
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel, if there is one."""
        self._transport.close()

    def create_run(self, body: Json, *, idempotency_key: str | None = None) -> Json:
        """Run a spec. body: as POST /v1/runs takes it. Returns the run's result."""
        return self._call(methods.CREATE_RUN, body, idempotency_key)

    def run_spec(self, body: Json, *, idempotency_key: str | None = None) -> Json:
        """Run a spec, under the idempotency scope of POST /v1/specs/run."""
        return self._call(methods.RUN_SPEC, body, idempotency_key)

    def get_run(self, run_id: str) -> Json:
        """Return a run."""
        return self._call(methods.GET_RUN, {"run_id": run_id})

    def list_runs(self, query: Json | None = None) -> Json:
        """Return a page: `runs` and the page's facts. query: filters, limit, offset, sort_…"""
        return self._call(methods.LIST_RUNS, query or {})

    def cancel_run(self, run_id: str, *, idempotency_key: str | None = None) -> Json:
        """End a run; return it."""
        return self._call(methods.CANCEL_RUN, {"run_id": run_id}, idempotency_key)

    def trace(self, run_id: str, query: Json | None = None) -> Json:
        """Return a page of `events`. query: event_type, limit, offset, sort_…"""
        return self._call(methods.GET_RUN_TRACE, {**(query or {}), "run_id": run_id})

    def checkpoints(self, run_id: str, query: Json | None = None) -> Json:
        """Return a page of `checkpoints`. query: type, limit, offset, sort_…"""
        return self._call(methods.LIST_CHECKPOINTS, {**(query or {}), "run_id": run_id})

    def recovery(self, run_id: str) -> Json:
        """Return what is left to do in a run."""
        return self._call(methods.GET_RUN_RECOVERY, {"run_id": run_id})

    def continue_run(self, run_id: str, *, idempotency_key: str | None = None) -> Json:
        """Let a failed run go on with the step that failed. Returns as create_run does."""
        return self._call(methods.CONTINUE_RUN, {"run_id": run_id}, idempotency_key)

    def fork_run(
        self, run_id: str, body: Json | None = None, *, idempotency_key: str | None = None
    ) -> Json:
        """Start a new run where a run stood. body: checkpoint_sequence, input, async_mode.

        Returns as create_run does.
        """
        fields = {**(body or {}), "run_id": run_id}
        return self._call(methods.FORK_RUN, fields, idempotency_key)

    def replay(self, run_id: str) -> Json:
        """Return a run's history: `timeline` and what a continuation would start from."""
        return self._call(methods.GET_RUN_REPLAY, {"run_id": run_id})

    def checkpoint_diff(self, run_id: str, query: Json | None = None) -> Json:
        """Return what changed between two checkpoints. query: from_sequence, to_sequence; the last
        two when left out.
        """
        return self._call(methods.DIFF_CHECKPOINTS, {**(query or {}), "run_id": run_id})

    def list_queue(self, query: Json | None = None) -> Json:
        """Return `jobs`: the runs that wait or are executed, the longest due first.

        query: limit, offset, sort_…
        """
        return self._call(methods.LIST_QUEUE, query or {})

    def list_dead_letters(self, query: Json | None = None) -> Json:
        """Return `jobs`: the runs that no worker could carry. query: limit, offset, sort_…"""
        return self._call(methods.LIST_DEAD_LETTERS, query or {})

    def requeue_run(self, run_id: str) -> Json:
        """Put a failed run back into the queue; return it."""
        return self._call(methods.REQUEUE_RUN, {"run_id": run_id})

    def prune_timed_out_runs(self) -> Json:
        """End the runs whose deadline has passed; return `counts`."""
        return self._call(methods.PRUNE_TIMED_OUT_RUNS, {})

    def prune_expired_human_tasks(self) -> Json:
        """Do what human tasks say for the time after their deadline; return `counts`."""
        return self._call(methods.PRUNE_EXPIRED_HUMAN_TASKS, {})

    def prune_retention(self) -> Json:
        """Remove what is older than the service's settings allow; return `counts`."""
        return self._call(methods.PRUNE_RETENTION, {})

    def list_audit_events(self, query: Json | None = None) -> Json:
        """Return a page of the audit trail as `events`. query: event_type, run_id, continuation_id,
        actor, created_after, created_before, limit, offset, sort_order, page_token.
        """
        return self._call(methods.LIST_AUDIT_EVENTS, query or {})

    def verify_audit(self, query: Json | None = None) -> Json:
        """Check a part of the audit trail; return `valid`, `breaks` and, where more is left,
        `next_page_token`. query: limit, page_token.
        """
        return self._call(methods.VERIFY_AUDIT, query or {})

    def openapi(self) -> Json:
        """Return the OpenAPI document of the HTTP interface."""
        return document_object(self._call(methods.GET_OPENAPI, {}))

    def metrics(self) -> str:
        """Return the service's counters in the text format of Prometheus."""
        return document_text(self._call(methods.GET_METRICS, {}))

    def list_human_tasks(self, query: Json | None = None) -> Json:
        """Return a page of `tasks`. query: run_id, workflow_kind, limit, offset, sort_…"""
        return self._call(methods.LIST_HUMAN_TASKS, query or {})

    def get_human_task(self, continuation_id: str) -> Json:
        """Return a task with its question."""
        return self._call(methods.GET_HUMAN_TASK, {"continuation_id": continuation_id})

    def resume_human_task(
        self, continuation_id: str, body: Json, *, idempotency_key: str | None = None
    ) -> Json:
        """Decide a task. body: request_id, decision, and what the decision needs."""
        fields = {**body, "continuation_id": continuation_id}
        return self._call(methods.RESUME_HUMAN_TASK, fields, idempotency_key)

    def validate_spec(self, body: Json) -> Json:
        """Check a spec; return `valid` and `diagnostics`.

        body: spec, spec_path or bundle; environment, overlays, overrides.
        """
        return self._call(methods.VALIDATE_SPEC, body)

    def compile_spec(self, body: Json) -> Json:
        """Return `ok`, `diagnostics` and `summary`. body: as for validate_spec, and strict: False
        answers where a spec has errors instead of refusing it.
        """
        return self._call(methods.COMPILE_SPEC, body)

    def explain_spec(self, body: Json) -> Json:
        """Return the `summary` of what is in a spec. body: as for validate_spec."""
        return self._call(methods.EXPLAIN_SPEC, body)

    def graph_spec(self, body: Json) -> Json:
        """Return `nodes`, `edges`, `subgraphs`. body: as for validate_spec, and format: `mermaid`
        or `dot` adds the drawing as `text`.
        """
        return self._call(methods.GRAPH_SPEC, body)

    def policy_report(self, body: Json) -> Json:
        """Return `valid` and the `report` on a spec. body: as for validate_spec."""
        return self._call(methods.GET_POLICY_REPORT, body)

    def list_skills(self, query: Json | None = None) -> Json:
        """Return a page of `skills` that lie on the server. query: limit, offset, sort_…"""
        return self._call(methods.LIST_SKILLS, query or {})

    def run_graph(self, run_id: str) -> Json:
        """Return `nodes`, `edges`, `current` and `visited` of a run."""
        return self._call(methods.GET_RUN_GRAPH, {"run_id": run_id})

    def run_policy_report(self, run_id: str) -> Json:
        """Return `valid` and the `report` on what a run executes."""
        return self._call(methods.GET_RUN_POLICY_REPORT, {"run_id": run_id})

    def list_environment_policies(self) -> Json:
        """Return all `policies` by environment."""
        return self._call(methods.LIST_ENVIRONMENT_POLICIES, {})

    def get_environment_policy(self, environment: str) -> Json:
        """Return the `policy` of an environment, if it has one."""
        return self._call(methods.GET_ENVIRONMENT_POLICY, {"environment": environment})

    def put_environment_policy(
        self, environment: str, body: Json, *, idempotency_key: str | None = None
    ) -> Json:
        """Replace the policy of an environment; return `policy` and `previous_policy`. body: the
        policy's fields; what is left out has its default.
        """
        fields = {"environment": environment, "policy": body}
        return self._call(methods.PUT_ENVIRONMENT_POLICY, fields, idempotency_key)

    def preview_environment_policy(self, environment: str, body: Json) -> Json:
        """Return what a policy would change. body: as for put_environment_policy."""
        fields = {"environment": environment, "policy": body}
        return self._call(methods.PREVIEW_ENVIRONMENT_POLICY, fields)

    def list_credentials(self, query: Json | None = None) -> Json:
        """Return the `inventory` of secrets: which are there, not what they are.

        query: providers, extras, include_service_tokens
        """
        return self._call(methods.LIST_CREDENTIALS, query or {})

    def health(self) -> Json:
        """Return the answer of a service that is up."""
        return self._call(methods.GET_HEALTH, {})

    def live(self) -> Json:
        """Return the answer of a process that need not be restarted."""
        return self._call(methods.GET_LIVENESS, {})

    def ready(self) -> Json:
        """Return the checks; raises ServiceError `not_ready` with details["metadata"]."""
        return self._call(methods.GET_READINESS, {})

    def _call(self, method: Method, fields: Mapping[str, Any], key: str | None = None) -> Json:
        if method.keyed:
            key = key or self._new_key()
        for attempt in itertools.count(1):
            try:
                return self._transport.call(method, fields, key=key)
            except ServiceError as error:
                if attempt > RETRIES or not error.retriable:
                    raise
                self._sleep(pause_seconds(attempt, error.retry_after))
        raise AssertionError("the loop above ends by return or raise")


def _transport(
    target: Target, *, api_key: str | None, tls_ca: bytes | None, timeout: float
) -> Transport:
    if target.scheme in ("http", "https"):
        return HttpTransport(target, api_key=api_key, tls_ca=tls_ca, timeout=timeout)
    # grpc takes a fifth of a second to load, which JSON callers need not pay.
    from kneo_grpc.client.rpc import GrpcTransport

    return GrpcTransport(target, api_key=api_key, tls_ca=tls_ca, timeout=timeout)
