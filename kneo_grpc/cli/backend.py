"""What commands ask for; a service and this machine both answer it."""

from typing import Any, Protocol, TypeAlias

Json: TypeAlias = dict[str, Any]


class Backend(Protocol):
    """The calls that commands make. Objects have the shapes of the JSON routes under /v1.

    Every call raises KneoError.
    """

    async def create_run(self, body: Json) -> Json:
        """Run a spec; return once the run ended, waits, or goes on without the caller."""

    async def run_spec(self, body: Json) -> Json:
        """As create_run, audited as `spec.run` and with idempotency keys of its own."""

    async def interrupted(self) -> str | None:
        """Return the id of the run that an interrupted call had started or gone on with, None where
        it is not known that there is one. What this machine executes of it ends.
        """

    async def beyond_workers(self, run_id: str) -> Json:
        """Return `modules`: those of a run's code that workers here must not import; and
        `import_allow`: what KNEO_SERV_IMPORT_ALLOW has to be so that they may.
        """

    async def get_run(self, run_id: str) -> Json:
        """Return a run."""

    async def list_runs(self, query: Json) -> Json:
        """Return a page with `runs`."""

    async def cancel_run(self, run_id: str) -> Json:
        """End a run; return it."""

    async def trace(self, run_id: str, query: Json) -> Json:
        """Return a page with `events`."""

    async def checkpoints(self, run_id: str, query: Json) -> Json:
        """Return a page with `checkpoints`."""

    async def recovery(self, run_id: str) -> Json:
        """Return what is left to do in a run."""

    async def continue_run(self, run_id: str) -> Json:
        """Let a failed run go on; return as create_run does."""

    async def fork_run(self, run_id: str, body: Json) -> Json:
        """Start a new run where a run stood; return as create_run does."""

    async def replay(self, run_id: str) -> Json:
        """Return a run's `timeline`."""

    async def checkpoint_diff(self, run_id: str, query: Json) -> Json:
        """Return what changed between two checkpoints."""

    async def list_queue(self, query: Json) -> Json:
        """Return `jobs`: the runs that wait or are executed."""

    async def list_dead_letters(self, query: Json) -> Json:
        """Return `jobs`: the runs that no worker could carry."""

    async def requeue_run(self, run_id: str) -> Json:
        """Put a failed run back into the queue; return it."""

    async def prune_timed_out_runs(self) -> Json:
        """End runs whose deadline has passed; return `counts`."""

    async def prune_expired_human_tasks(self) -> Json:
        """Settle human tasks whose deadline has passed; return `counts`."""

    async def prune_retention(self) -> Json:
        """Remove what is older than the settings allow; return `counts`."""

    async def list_audit_events(self, query: Json) -> Json:
        """Return a page with `events`."""

    async def verify_audit(self, query: Json) -> Json:
        """Return what is wrong in a part of the audit trail as `breaks`."""

    async def openapi(self) -> Json:
        """Return the OpenAPI document."""

    async def metrics(self) -> str:
        """Return the counters in the text format of Prometheus."""

    async def list_human_tasks(self, query: Json) -> Json:
        """Return a page with `tasks`."""

    async def get_human_task(self, continuation_id: str) -> Json:
        """Return a task with its `request`."""

    async def resume_human_task(self, continuation_id: str, body: Json) -> Json:
        """Decide a task; return as create_run does."""

    async def validate_spec(self, body: Json) -> Json:
        """Return `valid` and `diagnostics`."""

    async def compile_spec(self, body: Json) -> Json:
        """Return `ok`, `diagnostics` and `summary`."""

    async def explain_spec(self, body: Json) -> Json:
        """Return the `summary` of a spec."""

    async def graph_spec(self, body: Json) -> Json:
        """Return `nodes` and `edges`, and the drawing that `format` asks for as `text`."""

    async def policy_report(self, body: Json) -> Json:
        """Return `valid` and the `report`."""

    async def run_graph(self, run_id: str) -> Json:
        """Return what runs after what in a run, and how far it got."""

    async def run_policy_report(self, run_id: str) -> Json:
        """Return `valid` and the `report` on what a run executes."""

    async def list_skills(self, query: Json) -> Json:
        """Return a page with `skills`."""

    async def list_environment_policies(self) -> Json:
        """Return `policies` by environment."""

    async def get_environment_policy(self, environment: str) -> Json:
        """Return the `policy` of an environment."""

    async def put_environment_policy(self, environment: str, body: Json) -> Json:
        """Replace a policy; return `policy` and `previous_policy`."""

    async def preview_environment_policy(self, environment: str, body: Json) -> Json:
        """Return what a policy would change."""

    async def list_credentials(self, query: Json) -> Json:
        """Return the `inventory` of secrets."""

    async def health(self) -> Json:
        """Return the answer of a service that is up."""

    async def live(self) -> Json:
        """Return the answer of a process that need not be restarted."""

    async def ready(self) -> Json:
        """Return the readiness checks."""
