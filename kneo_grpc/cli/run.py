"""kneo run and kneo spec run: execute a spec, and what any command prints about a run's outcome."""

import shlex
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeAlias

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.backend import Backend
from kneo_grpc.cli.session import Session, in_keyed_session, told_failures
from kneo_grpc.cli.spec_file import SpecFile
from kneo_grpc.cli.spec_options import Environment, Overlays, SpecPath, chosen
from kneo_grpc.domain.errors import Forbidden, KneoError, SpecInvalid

_WITHOUT_RESULT = ("failed", "cancelled", "expired", "timed_out")


_Input: TypeAlias = Annotated[str, typer.Option("--input", "-i", help="The run's input text.")]
_Target: TypeAlias = Annotated[
    Literal["workflow", "agent"], typer.Option(help="What of the spec to execute.")
]
_AddSkills: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Skill to give to all agents.")
]
_DisableSkills: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Skill to take from all agents.")
]
_SessionId: TypeAlias = Annotated[
    str | None, typer.Option(metavar="ID", help="Groups runs of one conversation.")
]
_Queued: TypeAlias = Annotated[
    bool, typer.Option("--async", help="Leave the run to a worker; do not wait for it.")
]
_Timeout: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, max=31_536_000, metavar="N", help="End the run N seconds from now."),
]


@in_keyed_session
def run(
    session: Session,
    input_text: _Input,
    path: SpecPath = None,
    target: _Target = "workflow",
    env: Environment = None,
    overlay: Overlays = None,
    add_skill: _AddSkills = None,
    disable_skill: _DisableSkills = None,
    session_id: _SessionId = None,
    queued: _Queued = False,
    timeout_seconds: _Timeout = None,
) -> None:
    """Run a spec, or a signed bundle, and print its output.

    Exits with 0 when the run completed, is queued, waits for a person or goes on in the service;
    with 1 when it ended otherwise; with 130 after Ctrl-C, and then tells the run's id.
    """
    spec_file = chosen(path, overlay, env, agent_alone=target == "agent")
    skills = _skills(add_skill, disable_skill)
    asked = _asked(input_text, target, skills, session_id, queued, timeout_seconds)
    _start(session, spec_file, asked, lambda backend, body: backend.create_run(body))


@in_keyed_session
def run_spec(
    session: Session,
    input_text: _Input,
    path: SpecPath = None,
    target: _Target = "workflow",
    env: Environment = None,
    overlay: Overlays = None,
    add_skill: _AddSkills = None,
    disable_skill: _DisableSkills = None,
    session_id: _SessionId = None,
    queued: _Queued = False,
    timeout_seconds: _Timeout = None,
) -> None:
    """Run a spec as `kneo run` does, and have the audit trail say `spec.run`.

    Its idempotency keys are others than those of `kneo run`. Exits as `kneo run` does.
    """
    spec_file = chosen(path, overlay, env, agent_alone=target == "agent")
    skills = _skills(add_skill, disable_skill)
    asked = _asked(input_text, target, skills, session_id, queued, timeout_seconds)
    _start(session, spec_file, asked, lambda backend, body: backend.run_spec(body))


def _asked(
    input_text: str,
    target: str,
    skills: show.Json | None,
    session_id: str | None,
    queued: bool,
    timeout_seconds: int | None,
) -> show.Json:
    """Return a call's fields beside the spec's, None where they are left out."""
    return {
        "input": input_text,
        "target": target,
        "skills": skills,
        "session_id": session_id,
        "async_mode": True if queued else None,
        "timeout_seconds": timeout_seconds,
    }


def _start(
    session: Session,
    spec_file: SpecFile,
    asked: show.Json,
    call: Callable[[Backend, show.Json], Awaitable[show.Json]],
) -> None:
    """Start a run and print what came of it. asked: as _asked gives it."""
    with told_failures(spec_file):
        spec = spec_file.fields(local=session.local)
        spec_file.require_policy()
        body = {**spec, **{name: value for name, value in asked.items() if value is not None}}

        async def create(backend: Backend) -> show.Json:
            if spec_file.validate_on_run:
                await _check(backend, spec, spec_file)
            created = await call(backend, body)
            if body.get("async_mode"):
                warn_of_workers(await backend.beyond_workers(created["run_id"]))
            return created

        result = session.ask(create, doing=f"Running {spec_file}")
    print_result(session, result)


def _skills(add: list[str] | None, disable: list[str] | None) -> show.Json | None:
    return {"add": add or [], "disable": disable or []} if add or disable else None


async def _check(backend: Backend, spec: show.Json, spec_file: SpecFile) -> None:
    """Show what is odd about a spec before it runs. Raises SpecInvalid when it cannot run."""
    try:
        answer = await backend.validate_spec(spec)
    except KneoError as error:
        if error.reason != Forbidden.reason:
            raise
        # Who may start runs need not be one who may check specs; the run checks it anyway.
        return
    findings = answer.get("diagnostics") or []
    if not answer.get("valid"):
        errors = sum(item.get("severity") == "error" for item in findings)
        text = f"{spec_file} has {errors} error{'s' if errors != 1 else ''}"
        raise SpecInvalid(text, diagnostics=findings)
    show.diagnostics(findings, spec_file, err=True)


def warn_of_workers(found: show.Json) -> None:
    """Tell that no worker may take the run: they are stricter than this command."""
    if found["modules"]:
        show.line(
            f"warning: a worker imports {', '.join(found['modules'])} only when told so; start it "
            f"with: KNEO_SERV_IMPORT_ALLOW={found['import_allow']} kneo worker",
            err=True,
        )


def print_result(session: Session, result: show.Json) -> None:
    """Print what a call did to a run: its output on stdout, or what to do next if it waits.

    result: the answer of a create, continue or resume, or the run after a requeue.

    Exits with 1 when the run ended without completing.
    """
    status, run_id = result.get("status"), result.get("run_id")
    if session.as_json:
        show.as_json(result)
    elif status == "blocked":
        _print_questions(session, result)
    elif status == "completed":
        show.line(result.get("output_text") or "")
        show.line(f"{run_id} completed", err=True)
    elif status in _WITHOUT_RESULT:
        error = result.get("error") or {}
        place = f" at the step {error['step_id']}" if error.get("step_id") else ""
        show.fail_line(
            f"{run_id} {status}{place}: {error.get('message') or 'no reason given'} "
            f"({error.get('type') or status})"
        )
    else:
        if status == "queued" and session.local:
            show.line(f"{run_id} is queued. A worker executes it; start one here with:")
            show.line("  kneo worker")
            show.line("See what became of it with:")
        else:
            show.line(f"{run_id} is {status}. See what became of it with:")
        show.line(f"  kneo runs get {run_id}{session.hint_options}")
    if status in _WITHOUT_RESULT:
        raise typer.Exit(1)


def _print_questions(session: Session, result: show.Json) -> None:
    metadata = result.get("metadata") or {}
    request = metadata.get("pending_human_request") or metadata.get("request") or {}
    show.line(f"{result.get('run_id')} waits for a person.")
    if request.get("prompt"):
        show.line(f"  {request['prompt']}")
    waiting = result.get("continuation_ids") or [result.get("continuation_id")]
    show.line("Resume it with:")
    answer = _answer_option(request)
    show.line(f"  kneo human resume {waiting[0]} {answer}{session.hint_options}")
    if len(waiting) > 1:
        # The result holds the first question only, and an answer belongs to its own.
        more = "One more is asked" if len(waiting) == 2 else f"{len(waiting) - 1} more are asked"
        show.line(f"{more}. See all questions with:")
        show.line(f"  kneo runs show {result.get('run_id')} --once{session.hint_options}")


def _answer_option(request: show.Json) -> str:
    options = request.get("options") or []
    if request.get("type") == "selection" and options:
        return f"--select {shlex.quote(str(request.get('default_option') or options[0]))}"
    return "--provide TEXT" if request.get("type") == "freeform" else "--approve"
