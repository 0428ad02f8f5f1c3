"""The platform for programs without an event loop."""

import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from kneo_grpc.app.embedding.aio import AsyncPlatform
from kneo_grpc.app.embedding.building import AnyStore
from kneo_grpc.app.embedding.loop import LoopThread
from kneo_grpc.app.embedding.own_code import TakesCode
from kneo_grpc.app.embedding.requests import (
    AuditQuery,
    CheckpointQuery,
    CompileOptions,
    ForkOptions,
    GraphOptions,
    HumanTaskQuery,
    Json,
    Paging,
    RunOptions,
    RunQuery,
    Spec,
    SpecOptions,
    TraceQuery,
)
from kneo_grpc.app.embedding.serving import Served, Where
from kneo_grpc.ports.code import RegisteredTool
from kneo_grpc.ports.models import Models


class Platform(TakesCode):
    """The whole platform in this process, in a thread of its own. `with` opens and closes it.

    The arguments and methods are those of AsyncPlatform; each method blocks until it is done. Any
    thread may call them, but for those of async tools and functions.
    """

    def __init__(
        self,
        *,
        store: AnyStore = None,
        tools: Iterable[Callable[..., Any] | RegisteredTool] = (),
        functions: Mapping[str, Callable[..., Any]] | None = None,
        models: Models | None = None,
        worker: bool = True,
        spec_root: str | Path | None = None,
        import_allow: Iterable[str] | None = None,
        example_tools: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._platform = AsyncPlatform(
            store=store,
            tools=tools,
            functions=functions,
            models=models,
            worker=worker,
            spec_root=spec_root,
            import_allow=import_allow,
            example_tools=example_tools,
            variables=variables,
        )
        self._code = self._platform._code
        self._loop = LoopThread(self._platform)
        self._interrupted = threading.Event()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect, migrate, start the worker. Once only. Raises StartRefused, Conflict."""
        self._loop.start()

    def close(self) -> None:
        """Stop serving, let runs under way end or pause, disconnect. Again: nothing."""
        self._interrupted.set()
        self._loop.stop()

    def run_from_spec(self, spec: Spec, input_text: str, **options: Unpack[RunOptions]) -> Json:
        """Run a spec; return the result when the run ended or waits for a person.

        A run that fails is a result, not an error: see its `status` and `error`. Ctrl-C ends this
        call, and not the run. options: see RunOptions.
        """
        return self._loop.call(self._platform.run_from_spec, spec, input_text, **options)

    def start_run_from_spec(
        self, spec: Spec, input_text: str, **options: Unpack[RunOptions]
    ) -> Json:
        """Leave a run to a worker; return at once, with its `run_id` and the status `queued`."""
        return self._loop.call(self._platform.start_run_from_spec, spec, input_text, **options)

    def wait_for_run(self, run_id: str, *, timeout_seconds: float | None = None) -> Json:
        """Return a run when it ended or waits for a person, or as it is when the time is over."""
        return self._loop.call(self._platform.wait_for_run, run_id, timeout_seconds=timeout_seconds)

    def get_run(self, run_id: str) -> Json:
        """Return a run."""
        return self._loop.call(self._platform.get_run, run_id)

    def list_runs(self, **query: Unpack[RunQuery]) -> Json:
        """Return a page: `runs` and the page's facts."""
        return self._loop.call(self._platform.list_runs, **query)

    def cancel_run(self, run_id: str) -> Json:
        """End a run; return it."""
        return self._loop.call(self._platform.cancel_run, run_id)

    def continue_run(self, run_id: str, *, idempotency_key: str | None = None) -> Json:
        """Let a failed run go on with the step that failed. Returns as run_from_spec does."""
        return self._loop.call(self._platform.continue_run, run_id, idempotency_key=idempotency_key)

    def fork_run(self, run_id: str, **options: Unpack[ForkOptions]) -> Json:
        """Start a new run where a run stood. Returns as run_from_spec; options: see ForkOptions."""
        return self._loop.call(self._platform.fork_run, run_id, **options)

    def trace(self, run_id: str, **query: Unpack[TraceQuery]) -> Json:
        """Return a page of a run's `events`."""
        return self._loop.call(self._platform.trace, run_id, **query)

    def checkpoints(self, run_id: str, **query: Unpack[CheckpointQuery]) -> Json:
        """Return a page of a run's `checkpoints`."""
        return self._loop.call(self._platform.checkpoints, run_id, **query)

    def checkpoint_diff(
        self, run_id: str, *, from_sequence: int | None = None, to_sequence: int | None = None
    ) -> Json:
        """Return what changed between two checkpoints, the last two when left out."""
        return self._loop.call(
            self._platform.checkpoint_diff,
            run_id,
            from_sequence=from_sequence,
            to_sequence=to_sequence,
        )

    def recovery(self, run_id: str) -> Json:
        """Return what is left to do in a run."""
        return self._loop.call(self._platform.recovery, run_id)

    def replay(self, run_id: str) -> Json:
        """Return a run's history: `timeline` and what a continuation would start from."""
        return self._loop.call(self._platform.replay, run_id)

    def run_graph(self, run_id: str) -> Json:
        """Return what runs after what in a run, and how far it got."""
        return self._loop.call(self._platform.run_graph, run_id)

    def policy_report_for_run(self, run_id: str) -> Json:
        """Return `valid` and the `report` on what a run executes."""
        return self._loop.call(self._platform.policy_report_for_run, run_id)

    def list_environment_policies(self) -> Json:
        """Return the `policies` that are kept, by environment."""
        return self._loop.call(self._platform.list_environment_policies)

    def get_environment_policy(self, environment: str) -> Json:
        """Return the `policy` that is kept for an environment, if there is one."""
        return self._loop.call(self._platform.get_environment_policy, environment)

    def put_environment_policy(
        self, environment: str, policy: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Json:
        """Replace the policy that is kept for an environment, fields that are left out by their
        defaults; return `policy` and `previous_policy`.
        """
        return self._loop.call(
            self._platform.put_environment_policy,
            environment,
            policy,
            idempotency_key=idempotency_key,
        )

    def list_human_tasks(self, **query: Unpack[HumanTaskQuery]) -> Json:
        """Return a page of `tasks`."""
        return self._loop.call(self._platform.list_human_tasks, **query)

    def get_human_task(self, continuation_id: str) -> Json:
        """Return a task with its question, `request`."""
        return self._loop.call(self._platform.get_human_task, continuation_id)

    def resume_human_task(
        self,
        continuation_id: str,
        decision: str,
        *,
        request_id: str,
        content: str | None = None,
        selected_option: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """Decide a task: `approved`, `rejected`, `edited` or `provided` with content, `selected`
        with selected_option. request_id: the question that is answered. Returns as run_from_spec.
        """
        return self._loop.call(
            self._platform.resume_human_task,
            continuation_id,
            decision,
            request_id=request_id,
            content=content,
            selected_option=selected_option,
            metadata=metadata,
            idempotency_key=idempotency_key,
        )

    def validate_spec(self, spec: Spec, **options: Unpack[SpecOptions]) -> Json:
        """Check a spec; return `valid` and `diagnostics`."""
        return self._loop.call(self._platform.validate_spec, spec, **options)

    def compile_spec(self, spec: Spec, **options: Unpack[CompileOptions]) -> Json:
        """Check that this process can run a spec; return `ok`, `diagnostics` and `summary`."""
        return self._loop.call(self._platform.compile_spec, spec, **options)

    def explain_spec(self, spec: Spec, **options: Unpack[SpecOptions]) -> Json:
        """Return the `summary` of what is in a spec."""
        return self._loop.call(self._platform.explain_spec, spec, **options)

    def graph_spec(self, spec: Spec, **options: Unpack[GraphOptions]) -> Json:
        """Return `nodes`, `edges` and `subgraphs` of a spec."""
        return self._loop.call(self._platform.graph_spec, spec, **options)

    def policy_report(self, spec: Spec, **options: Unpack[SpecOptions]) -> Json:
        """Return `valid` and the `report` on what a spec's agents may do."""
        return self._loop.call(self._platform.policy_report, spec, **options)

    def list_skills(self, **query: Unpack[Paging]) -> Json:
        """Return a page of the `skills` that lie below the spec root."""
        return self._loop.call(self._platform.list_skills, **query)

    def list_queue(self, *, limit: int = 100) -> Json:
        """Return `jobs`: the runs that wait or are executed, the longest due first."""
        return self._loop.call(self._platform.list_queue, limit=limit)

    def list_dead_letters(self, *, limit: int = 100) -> Json:
        """Return `jobs`: the runs that no worker could carry."""
        return self._loop.call(self._platform.list_dead_letters, limit=limit)

    def requeue_run(self, run_id: str) -> Json:
        """Put a failed run back into the queue; return it."""
        return self._loop.call(self._platform.requeue_run, run_id)

    def list_audit_events(self, **query: Unpack[AuditQuery]) -> Json:
        """Return a page of the audit trail as `events`, the newest first."""
        return self._loop.call(self._platform.list_audit_events, **query)

    def verify_audit(self) -> Json:
        """Check the whole audit trail; return `valid` and the `breaks`."""
        return self._loop.call(self._platform.verify_audit)

    def prune_timed_out_runs(self) -> Json:
        """End the runs whose deadline has passed; return `counts`. The platform does so itself
        every second.
        """
        return self._loop.call(self._platform.prune_timed_out_runs)

    def prune_expired_human_tasks(self) -> Json:
        """Do what human tasks say for the time after their deadline; return `counts`. The platform
        does so itself every second.
        """
        return self._loop.call(self._platform.prune_expired_human_tasks)

    def prune_retention(self) -> Json:
        """Remove what is older than the settings allow; return `counts`. A worker does so itself
        every hour.
        """
        return self._loop.call(self._platform.prune_retention)

    def backup(self, destination: str | Path) -> int:
        """Copy the SQLite file, which stays in use; return the copy's bytes. Raises InvalidInput
        for PostgreSQL, which has its own tools.
        """
        return self._loop.call(self._platform.backup, destination)

    def serve(self, **where: Unpack[Where]) -> Served:
        """Serve this platform until it is closed; return where. Once only.

        Keys and limits are those of the settings; beyond loopback there must be keys.
        where: see Where. Raises StartRefused, InvalidInput, Conflict.
        """
        return self._loop.call(self._platform.serve, **where)

    def serve_forever(self, **where: Unpack[Where]) -> None:
        """As serve, and return at SIGTERM or SIGINT; the platform is still open then. In a thread
        other than the main one, which gets no signals, return when the platform is closed.
        """
        self.serve(**where)
        if threading.current_thread() is not threading.main_thread():
            self._interrupted.wait()
            return
        before = {
            number: signal.signal(number, lambda *_: self._interrupted.set())
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            self._interrupted.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
