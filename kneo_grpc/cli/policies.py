"""kneo policies: what must hold for specs that run in an environment."""

import functools
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.session import Session, in_keyed_session, in_session, with_options

app = typer.Typer(
    help="See, put and preview what must hold for specs in an environment.", no_args_is_help=True
)

_Environment = Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="Its name, such as prod.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """The options that say what a policy demands; each field is one of them."""

    enabled: Annotated[
        bool, typer.Option("--enabled/--disabled", help="Whether any of this holds.")
    ] = True
    fail_on_warnings: Annotated[
        bool, typer.Option("--fail-on-warnings", help="Refuse specs with warnings.")
    ] = False
    block_code: Annotated[
        list[str] | None,
        typer.Option(
            "--block-code", metavar="CODE", help="Refuse specs with this finding; repeatable."
        ),
    ] = None
    require_human_review: Annotated[
        bool, typer.Option("--require-human-review", help="A person decides in the root workflow.")
    ] = False
    require_tool_permissions: Annotated[
        bool,
        typer.Option("--require-tool-permissions", help="Agents say what their tools may touch."),
    ] = False
    deny_unrestricted_tools: Annotated[
        bool,
        typer.Option("--deny-unrestricted-tools", help="No shell, file writing or any-host tools."),
    ] = False
    require_guardrails: Annotated[
        bool, typer.Option("--require-guardrails", help="Every agent has a guardrail.")
    ] = False
    require_signed_bundle: Annotated[
        bool, typer.Option("--require-signed-bundle", help="Nothing runs but a signed bundle.")
    ] = False

    def body(self) -> show.Json:
        """Return the policy as the service takes it."""
        told = asdict(self)
        codes = told.pop("block_code")
        return {**told, "blocked_diagnostic_codes": codes or []}


_with_demands = functools.partial(with_options, kind=Demands, name="demands")


@app.command("list")
@in_session
def list_policies(session: Session) -> None:
    """List the policies of all environments that have one."""
    answer = session.ask(lambda backend: backend.list_environment_policies())
    if session.as_json:
        show.as_json(answer)
        return
    policies = answer.get("policies") or {}
    if policies:
        rows = [(name, _demands(policy)) for name, policy in sorted(policies.items())]
        show.table(("environment", "demands"), rows)
    else:
        show.line("No policies.")


@app.command("get")
@in_session
def get_policy(session: Session, environment: _Environment) -> None:
    """Show the policy of an environment."""
    answer = session.ask(lambda backend: backend.get_environment_policy(environment))
    if session.as_json:
        show.as_json(answer)
    elif answer.get("policy"):
        show.facts({**answer["policy"], "put": answer.get("updated_at")})
    else:
        show.line(f"{environment} has no policy.")


@app.command("put")
@in_keyed_session
@_with_demands
def put_policy(session: Session, environment: _Environment, demands: Demands) -> None:
    """Replace the policy of an environment: what is left out is not demanded any more."""
    body = demands.body()
    answer = session.ask(lambda backend: backend.put_environment_policy(environment, body))
    if session.as_json:
        show.as_json(answer)
        return
    show.line(f"{environment} demands: {_demands(answer.get('policy') or {})}.")
    if answer.get("previous_policy"):
        show.line(f"Before: {_demands(answer['previous_policy'])}.")


@app.command("preview")
@in_session
@_with_demands
def preview_policy(session: Session, environment: _Environment, demands: Demands) -> None:
    """Tell which of an environment's newest runs a policy would refuse; nothing is stored."""
    body = demands.body()
    answer = session.ask(
        lambda backend: backend.preview_environment_policy(environment, body), doing="Judging runs"
    )
    if session.as_json:
        show.as_json(answer)
        return
    rows = [
        (name, show.text(change.get("from")), show.text(change.get("to")))
        for name, change in sorted((answer.get("diff") or {}).items())
    ]
    if rows:
        show.table(("field", "now", "then"), rows)
    else:
        show.line("Nothing changes.")
    refused, fresh = answer.get("affected_run_ids") or [], answer.get("newly_blocking") or []
    show.line(
        f"Of {answer.get('runs_evaluated')} runs {len(refused)} would be refused, "
        f"{len(fresh)} of them newly."
    )
    for run_id in fresh:
        show.line(f"  {run_id}")


def _demands(policy: show.Json) -> str:
    if policy.get("enabled") is False:
        return "nothing (disabled)"
    codes = policy.get("blocked_diagnostic_codes") or []
    words = [name for name, value in policy.items() if value is True and name != "enabled"]
    return ", ".join([*words, *codes]) or "nothing"
