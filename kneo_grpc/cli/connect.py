"""Opens the place where a command's work is done: this machine, or a service."""

import functools
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from kneo_grpc.cli.backend import Backend, Json
from kneo_grpc.cli.session import Session
from kneo_grpc.cli.workspace import Workspace
from kneo_grpc.client.errors import ServiceError
from kneo_grpc.client.retry import new_idempotency_key
from kneo_grpc.client.sync import Client
from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.integrations.variables import environment as variables

_CLIENT_TIMEOUT = 120.0
_QUESTION_TIMEOUT = 5.0


class Service:
    """A service behind the blocking client: a command does one thing at a time."""

    def __init__(self, client: Client, asking: Callable[[], Client]) -> None:
        """asking: opens a client for a short question under the same idempotency key."""
        self._client = client
        self._asking = asking
        self._creating: Callable[[Client, Json], Json] | None = None
        self._continued: str | None = None
        self._forking: str | None = None

    async def create_run(self, body: Json) -> Json:
        """Run a spec."""
        return self._start(Client.create_run, body)

    async def run_spec(self, body: Json) -> Json:
        """Run a spec."""
        return self._start(Client.run_spec, body)

    async def interrupted(self) -> str | None:
        """Ask for the run that the idempotency key of a create or a fork stands for."""
        if self._creating is None and self._forking is None:
            return self._continued
        try:
            with self._asking() as client:
                # Calls that make no run, but tell whose the key is: a create that names no spec,
                # and a fork at a checkpoint that no run has.
                if self._forking is not None:
                    client.fork_run(self._forking, {"checkpoint_sequence": 2**31 - 1})
                elif self._creating is not None:
                    self._creating(client, {"input": ""})
        except ServiceError as error:
            # Other errors name the run that was to be forked.
            of_key = error.reason.startswith("idempotency_key_")
            found = error.details.get("run_id") if of_key else None
            return found if isinstance(found, str) else None
        return None

    async def beyond_workers(self, run_id: str) -> Json:
        """Return none: a service that may not import a module does not take the run."""
        return {"modules": []}

    async def get_run(self, run_id: str) -> Json:
        """Return a run."""
        return self._client.get_run(run_id)

    async def list_runs(self, query: Json) -> Json:
        """Return a page of runs."""
        return self._client.list_runs(query)

    async def cancel_run(self, run_id: str) -> Json:
        """End a run."""
        return self._client.cancel_run(run_id)

    async def trace(self, run_id: str, query: Json) -> Json:
        """Return a page of events."""
        return self._client.trace(run_id, query)

    async def checkpoints(self, run_id: str, query: Json) -> Json:
        """Return a page of checkpoints."""
        return self._client.checkpoints(run_id, query)

    async def recovery(self, run_id: str) -> Json:
        """Return what is left to do."""
        return self._client.recovery(run_id)

    async def continue_run(self, run_id: str) -> Json:
        """Let a failed run go on."""
        self._continued = run_id
        return self._client.continue_run(run_id)

    async def fork_run(self, run_id: str, body: Json) -> Json:
        """Start a new run where a run stood."""
        self._forking = run_id
        return self._client.fork_run(run_id, body)

    async def replay(self, run_id: str) -> Json:
        """Return a run's history."""
        return self._client.replay(run_id)

    async def checkpoint_diff(self, run_id: str, query: Json) -> Json:
        """Return what changed."""
        return self._client.checkpoint_diff(run_id, query)

    async def list_queue(self, query: Json) -> Json:
        """Return what waits."""
        return self._client.list_queue(query)

    async def list_dead_letters(self, query: Json) -> Json:
        """Return the dead letters."""
        return self._client.list_dead_letters(query)

    async def requeue_run(self, run_id: str) -> Json:
        """Put a run back into the queue."""
        return self._client.requeue_run(run_id)

    async def prune_timed_out_runs(self) -> Json:
        """End runs past their deadline."""
        return self._client.prune_timed_out_runs()

    async def prune_expired_human_tasks(self) -> Json:
        """Settle human tasks past their deadline."""
        return self._client.prune_expired_human_tasks()

    async def prune_retention(self) -> Json:
        """Remove what is too old."""
        return self._client.prune_retention()

    async def list_audit_events(self, query: Json) -> Json:
        """Return a page of the audit trail."""
        return self._client.list_audit_events(query)

    async def verify_audit(self, query: Json) -> Json:
        """Check a part of the audit trail."""
        return self._client.verify_audit(query)

    async def openapi(self) -> Json:
        """Return the OpenAPI document."""
        return self._client.openapi()

    async def metrics(self) -> str:
        """Return the counters."""
        return self._client.metrics()

    async def list_human_tasks(self, query: Json) -> Json:
        """Return a page of tasks."""
        return self._client.list_human_tasks(query)

    async def get_human_task(self, continuation_id: str) -> Json:
        """Return a task."""
        return self._client.get_human_task(continuation_id)

    async def resume_human_task(self, continuation_id: str, body: Json) -> Json:
        """Decide a task."""
        return self._client.resume_human_task(continuation_id, body)

    async def validate_spec(self, body: Json) -> Json:
        """Check a spec."""
        return self._client.validate_spec(body)

    async def compile_spec(self, body: Json) -> Json:
        """Compile a spec."""
        return self._client.compile_spec(body)

    async def explain_spec(self, body: Json) -> Json:
        """Tell what is in a spec."""
        return self._client.explain_spec(body)

    async def graph_spec(self, body: Json) -> Json:
        """Draw a spec."""
        return self._client.graph_spec(body)

    async def policy_report(self, body: Json) -> Json:
        """Report on a spec."""
        return self._client.policy_report(body)

    async def run_graph(self, run_id: str) -> Json:
        """Return what runs after what in a run, and how far it got."""
        return self._client.run_graph(run_id)

    async def run_policy_report(self, run_id: str) -> Json:
        """Return `valid` and the `report` on what a run executes."""
        return self._client.run_policy_report(run_id)

    async def list_skills(self, query: Json) -> Json:
        """Return a page with `skills`."""
        return self._client.list_skills(query)

    async def list_environment_policies(self) -> Json:
        """Return `policies` by environment."""
        return self._client.list_environment_policies()

    async def get_environment_policy(self, environment: str) -> Json:
        """Return the `policy` of an environment."""
        return self._client.get_environment_policy(environment)

    async def put_environment_policy(self, environment: str, body: Json) -> Json:
        """Replace a policy; return `policy` and `previous_policy`."""
        return self._client.put_environment_policy(environment, body)

    async def preview_environment_policy(self, environment: str, body: Json) -> Json:
        """Return what a policy would change."""
        return self._client.preview_environment_policy(environment, body)

    async def list_credentials(self, query: Json) -> Json:
        """Return the `inventory` of secrets."""
        return self._client.list_credentials(query)

    async def health(self) -> Json:
        """Return the answer of a service that is up."""
        return self._client.health()

    async def live(self) -> Json:
        """Return the answer of a process that need not be restarted."""
        return self._client.live()

    async def ready(self) -> Json:
        """Return the readiness checks."""
        return self._client.ready()

    def _start(self, start: Callable[[Client, Json], Json], body: Json) -> Json:
        self._creating = start
        return start(self._client, body)


@asynccontextmanager
async def open_backend(session: Session) -> AsyncIterator[Backend]:
    """Open what the options choose. Raises InvalidInput on an address that is none."""
    connection = session.connection()
    if connection is None:
        # The whole platform, with its database; work through a service does without.
        from kneo_grpc.app.local import open_local

        options = _local_options(Workspace.open())
        async with open_local(idempotency_key=session.idempotency_key, **options) as platform:
            yield platform
        return
    address, api_key = connection
    # One command makes one call that takes a key.
    key = session.idempotency_key or new_idempotency_key()
    try:
        open_client = functools.partial(
            Client,
            address,
            api_key=api_key,
            tls_ca=session.tls_ca.read_bytes() if session.tls_ca else None,
            new_key=lambda: key,
        )
        client = open_client(timeout=_timeout_seconds(session, address))
    except (ValueError, OSError) as error:
        raise InvalidInput(f"cannot use the service {address}: {error}") from None
    # The client blocks, so the event loop's own answer to Ctrl-C would come too late.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with client:
        yield Service(client, functools.partial(open_client, timeout=_QUESTION_TIMEOUT))


def _local_options(workspace: Workspace) -> dict[str, Any]:
    """Return where the project keeps its state, unless the environment says where. Raises
    InvalidInput when that folder is missing and must not be made.
    """
    if workspace.project is None:
        return {}
    # The project's own steps and tools lie in its folder, wherever in it the command is given.
    if str(workspace.folder) not in sys.path:
        sys.path.insert(0, str(workspace.folder))
    options: dict[str, Any] = {"skill_root": workspace.folder}
    if variables().get("KNEO_SERV_STATE_PATH", "").strip():
        return options
    path = workspace.path("state_path")
    if not workspace.project.config.local.create_missing_dirs and not path.parent.is_dir():
        raise InvalidInput(
            f"there is no folder {path.parent}, and local.create_missing_dirs is off"
        )
    return {**options, "state_path": path}


def _timeout_seconds(session: Session, address: str) -> float:
    """Return how long a call may take: the project knows it of its own service."""
    service = _CLIENT_TIMEOUT
    if session.profile is None and not session.service_url:
        project = Workspace.open().project
        if project is not None and project.config.service.default_url == address:
            service = project.config.service.timeout_seconds
    return service
