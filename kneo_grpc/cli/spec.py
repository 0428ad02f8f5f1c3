"""kneo spec: check specs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.session import Session, in_session, told_failures
from kneo_grpc.cli.spec_file import SpecFile

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _spec() -> None:
    """Check specs."""


@app.command("validate")
@in_session
def validate(
    session: Session,
    path: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, help="The spec file (YAML); stdin when left out."
        ),
    ] = None,
) -> None:
    """Check a spec and print every finding. Exits with 1 when one is an error."""
    if path is None and sys.stdin.isatty():
        raise typer.BadParameter("give the path of a spec file, or pipe a spec in")
    spec_file = SpecFile(path)
    with told_failures(spec_file):
        body = spec_file.fields(local=session.local)
        answer = session.ask(lambda backend: backend.validate_spec(body), doing="Checking")
    findings = answer.get("diagnostics") or []
    errors = sum(item.get("severity") == "error" for item in findings)
    if session.as_json:
        show.as_json(answer)
    else:
        show.diagnostics(findings, spec_file)
        if answer.get("valid"):
            show.line(f"{spec_file} is valid.")
        else:
            show.fail_line(f"{spec_file} has {_counted(errors, 'error')} (spec_invalid)")
    if not answer.get("valid"):
        raise typer.Exit(1)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
