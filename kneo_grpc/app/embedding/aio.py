"""The platform for programs with an event loop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from kneo_grpc.app.embedding.building import AnyStore, describe, opened
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
    checked,
    result_of,
    run_body,
    spec_body,
    under_way,
)
from kneo_grpc.app.embedding.serving import Served, Where, serving
from kneo_grpc.app.local import LocalPlatform
from kneo_grpc.app.wiring import Platform as Inner
from kneo_grpc.client.verification import whole_verification
from kneo_grpc.domain.errors import Conflict
from kneo_grpc.ports.code import RegisteredTool
from kneo_grpc.ports.models import Models

_FIRST_LOOK = timedelta(milliseconds=20)
_LAST_LOOK = timedelta(milliseconds=500)


class AsyncPlatform(TakesCode):
    """The whole platform in this process, on this event loop. `async with` opens and closes it.

    store: a SQLite file, `:memory:` (a temporary file, gone at the end), a `postgresql://…` address
    or a store object; left out, what the settings say.
    tools, functions: users' code, as for register_tool and register_function.
    models: answers for the providers that it names.
    worker: execute runs here; without it others must, such as `kneo worker` on the same database.
    spec_root: the folder that spec paths are confined to. import_allow: modules below which
    `implementation` may point without registration. example_tools: the shipped pretend tools.
    variables: the settings by the names of the environment variables, instead of the environment.

    Answers are the objects of the JSON contract. Every method raises KneoError: its `reason` is the
    contract's error code. The constructor raises InvalidInput and StartRefused.
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
        self._described = describe(
            store=store,
            tools=tools,
            functions=functions or {},
            models=models,
            worker=worker,
            spec_root=spec_root,
            import_allow=import_allow,
            example_tools=example_tools,
            variables=variables,
        )
        self._code = self._described.code
        self._inner: Inner | None = None
        self._stack: contextlib.AsyncExitStack | None = None
        self._over = False
        self._served = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, migrate, start the worker. Once only. Raises StartRefused, Conflict."""
        if self._over or self._stack is not None:
            raise Conflict("the platform was opened before; make a new one")
        self._stack = contextlib.AsyncExitStack()
        try:
            self._inner = await self._stack.enter_async_context(opened(self._described))
        except BaseException:
            self._stack = None
            raise

    async def close(self) -> None:
        """Stop serving, let runs under way end or pause, disconnect. Again: nothing."""
        stack, self._stack, self._over = self._stack, None, True
        try:
            if stack is not None:
                await stack.aclose()
        finally:
            self._inner = None

    async def run_from_spec(
        self, spec: Spec, input_text: str, **options: Unpack[RunOptions]
    ) -> Json:
        """Run a spec; return the result when the run ended or waits for a person.

        A run that fails is a result, not an error: see its `status` and `error`. Cancelling this
        call does not stop the run. options: see RunOptions.
        """
        local, body = self._create(spec, input_text, options)
        return await self._rested(await local.create_run(body))

    async def start_run_from_spec(
        self, spec: Spec, input_text: str, **options: Unpack[RunOptions]
    ) -> Json:
        """Leave a run to a worker; return at once, with its `run_id` and the status `queued`."""
        local, body = self._create(spec, input_text, options)
        return await local.create_run({**body, "async_mode": True})

    async def wait_for_run(self, run_id: str, *, timeout_seconds: float | None = None) -> Json:
        """Return a run when it ended or waits for a person, or as it is when the time is over."""
        run = await self.get_run(run_id)
        pause = _FIRST_LOOK
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while under_way(run):
                    await self._opened().clock.sleep(pause)
                    pause = min(pause * 2, _LAST_LOOK)
                    run = await self.get_run(run_id)
        return run

    async def get_run(self, run_id: str) -> Json:
        """Return a run."""
        return await self._local().get_run(run_id)

    async def list_runs(self, **query: Unpack[RunQuery]) -> Json:
        """Return a page: `runs` and the page's facts."""
        return await self._local().list_runs(checked(query, RunQuery))

    async def cancel_run(self, run_id: str) -> Json:
        """End a run; return it."""
        return await self._local().cancel_run(run_id)

    async def continue_run(self, run_id: str, *, idempotency_key: str | None = None) -> Json:
        """Let a failed run go on with the step that failed. Returns as run_from_spec does."""
        return await self._rested(await self._local(idempotency_key).continue_run(run_id))

    async def fork_run(self, run_id: str, **options: Unpack[ForkOptions]) -> Json:
        """Start a new run where a run stood. Returns as run_from_spec; options: see ForkOptions."""
        body = checked(options, ForkOptions)
        forked = await self._local(body.pop("idempotency_key", None)).fork_run(run_id, body)
        return forked if body.get("async_mode") else await self._rested(forked)

    async def trace(self, run_id: str, **query: Unpack[TraceQuery]) -> Json:
        """Return a page of a run's `events`."""
        return await self._local().trace(run_id, checked(query, TraceQuery))

    async def checkpoints(self, run_id: str, **query: Unpack[CheckpointQuery]) -> Json:
        """Return a page of a run's `checkpoints`."""
        return await self._local().checkpoints(run_id, checked(query, CheckpointQuery))

    async def checkpoint_diff(
        self, run_id: str, *, from_sequence: int | None = None, to_sequence: int | None = None
    ) -> Json:
        """Return what changed between two checkpoints, the last two when left out."""
        query = {"from_sequence": from_sequence, "to_sequence": to_sequence}
        return await self._local().checkpoint_diff(run_id, query)

    async def recovery(self, run_id: str) -> Json:
        """Return what is left to do in a run."""
        return await self._local().recovery(run_id)

    async def replay(self, run_id: str) -> Json:
        """Return a run's history: `timeline` and what a continuation would start from."""
        return await self._local().replay(run_id)

    async def run_graph(self, run_id: str) -> Json:
        """Return what runs after what in a run, and how far it got."""
        return await self._local().run_graph(run_id)

    async def policy_report_for_run(self, run_id: str) -> Json:
        """Return `valid` and the `report` on what a run executes."""
        return await self._local().run_policy_report(run_id)

    async def list_environment_policies(self) -> Json:
        """Return the `policies` that are kept, by environment."""
        return await self._local().list_environment_policies()

    async def get_environment_policy(self, environment: str) -> Json:
        """Return the `policy` that is kept for an environment, if there is one."""
        return await self._local().get_environment_policy(environment)

    async def put_environment_policy(
        self, environment: str, policy: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Json:
        """Replace the policy that is kept for an environment, fields that are left out by their
        defaults; return `policy` and `previous_policy`.
        """
        return await self._local(idempotency_key).put_environment_policy(environment, policy)

    async def list_human_tasks(self, **query: Unpack[HumanTaskQuery]) -> Json:
        """Return a page of `tasks`."""
        return await self._local().list_human_tasks(checked(query, HumanTaskQuery))

    async def get_human_task(self, continuation_id: str) -> Json:
        """Return a task with its question, `request`."""
        return await self._local().get_human_task(continuation_id)

    async def resume_human_task(
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
        body = {
            "decision": decision,
            "request_id": request_id,
            "content": content,
            "selected_option": selected_option,
            "metadata": None if metadata is None else dict(metadata),
        }
        local = self._local(idempotency_key)
        return await self._rested(await local.resume_human_task(continuation_id, body))

    async def validate_spec(self, spec: Spec, **options: Unpack[SpecOptions]) -> Json:
        """Check a spec; return `valid` and `diagnostics`."""
        return await self._local().validate_spec(spec_body(spec, options))

    async def compile_spec(self, spec: Spec, **options: Unpack[CompileOptions]) -> Json:
        """Check that this process can run a spec; return `ok`, `diagnostics` and `summary`."""
        return await self._local().compile_spec(spec_body(spec, options, CompileOptions))

    async def explain_spec(self, spec: Spec, **options: Unpack[SpecOptions]) -> Json:
        """Return the `summary` of what is in a spec."""
        return await self._local().explain_spec(spec_body(spec, options))

    async def graph_spec(self, spec: Spec, **options: Unpack[GraphOptions]) -> Json:
        """Return `nodes`, `edges` and `subgraphs` of a spec."""
        return await self._local().graph_spec(spec_body(spec, options, GraphOptions))

    async def policy_report(self, spec: Spec, **options: Unpack[SpecOptions]) -> Json:
        """Return `valid` and the `report` on what a spec's agents may do."""
        return await self._local().policy_report(spec_body(spec, options))

    async def list_skills(self, **query: Unpack[Paging]) -> Json:
        """Return a page of the `skills` that lie below the spec root."""
        return await self._local().list_skills(checked(query, Paging))

    async def list_queue(self, *, limit: int = 100) -> Json:
        """Return `jobs`: the runs that wait or are executed, the longest due first."""
        return await self._local().list_queue({"limit": limit})

    async def list_dead_letters(self, *, limit: int = 100) -> Json:
        """Return `jobs`: the runs that no worker could carry."""
        return await self._local().list_dead_letters({"limit": limit})

    async def requeue_run(self, run_id: str) -> Json:
        """Put a failed run back into the queue; return it."""
        return await self._local().requeue_run(run_id)

    async def list_audit_events(self, **query: Unpack[AuditQuery]) -> Json:
        """Return a page of the audit trail as `events`, the newest first."""
        return await self._local().list_audit_events(checked(query, AuditQuery))

    async def verify_audit(self) -> Json:
        """Check the whole audit trail; return `valid` and the `breaks`."""
        return await whole_verification(self._local().verify_audit)

    async def prune_timed_out_runs(self) -> Json:
        """End the runs whose deadline has passed; return `counts`. The platform does so itself
        every second.
        """
        return await self._local().prune_timed_out_runs()

    async def prune_expired_human_tasks(self) -> Json:
        """Do what human tasks say for the time after their deadline; return `counts`. The platform
        does so itself every second.
        """
        return await self._local().prune_expired_human_tasks()

    async def prune_retention(self) -> Json:
        """Remove what is older than the settings allow; return `counts`. A worker does so itself
        every hour.
        """
        return await self._local().prune_retention()

    async def backup(self, destination: str | Path) -> int:
        """Copy the SQLite file, which stays in use; return the copy's bytes. Raises InvalidInput
        for PostgreSQL, which has its own tools.
        """
        return await self._opened().store.backup(Path(destination))

    async def serve(self, **where: Unpack[Where]) -> Served:
        """Serve this platform until it is closed; return where. Once only.

        Keys and limits are those of the settings; beyond loopback there must be keys.
        where: see Where. Raises StartRefused, InvalidInput, Conflict.
        """
        platform = self._opened()
        if self._served:
            raise Conflict("the platform is served already")
        assert self._stack is not None, "an open platform has one"
        self._served = True
        try:
            return await self._stack.enter_async_context(serving(platform, where))
        except BaseException:
            self._served = False
            raise

    async def serve_forever(self, **where: Unpack[Where]) -> None:
        """As serve, and return at SIGTERM or SIGINT; the platform is still open then."""
        await self.serve(**where)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            await stop.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _opened(self) -> Inner:
        if self._inner is None:
            what = "closed" if self._over else "not open yet: use it in a with block"
            raise Conflict(f"the platform is {what}")
        return self._inner

    def _local(self, idempotency_key: str | None = None) -> LocalPlatform:
        return LocalPlatform(self._opened(), idempotency_key)

    def _create(
        self, spec: Spec, input_text: str, options: RunOptions
    ) -> tuple[LocalPlatform, Json]:
        key = options.pop("idempotency_key", None)
        return self._local(key), run_body(spec, input_text, options)

    async def _rested(self, answer: Json) -> Json:
        """Return a call's answer once its run rests: a call waits for a while only."""
        if not under_way(answer):
            return answer
        return result_of(await self.wait_for_run(answer["run_id"]))
