"""kneo spec: check specs; the commands that show, rewrite and run them have files of their own."""

from typing import Any

import typer

from kneo_grpc.cli import bundle, run, show, spec_text, spec_views
from kneo_grpc.cli.session import Session, in_session, told_failures
from kneo_grpc.cli.spec_file import SpecFile
from kneo_grpc.cli.spec_lines import counted
from kneo_grpc.cli.spec_options import Environment, Output, Overlays, SpecPath, chosen
from kneo_grpc.spec.lint import lint as lint_answer

app = typer.Typer(help="Check, show and rewrite specs.", no_args_is_help=True)


@app.command("validate")
@in_session
def validate(
    session: Session,
    path: SpecPath = None,
    env: Environment = None,
    overlay: Overlays = None,
) -> None:
    """Check a spec and print every finding. Exits with 1 when one is an error."""
    spec_file = chosen(path, overlay, env)
    answer = _validated(session, spec_file)
    findings = answer.get("diagnostics") or []
    if session.as_json:
        show.as_json(answer)
    else:
        show.diagnostics(findings, spec_file)
        if answer.get("valid"):
            show.line(f"{spec_file} is valid.")
        else:
            show.fail_line(f"{spec_file} has {_errors(findings)} (spec_invalid)")
    if not answer.get("valid"):
        raise typer.Exit(1)


@app.command("lint")
@in_session
def lint(
    session: Session,
    path: SpecPath = None,
    env: Environment = None,
    overlay: Overlays = None,
) -> None:
    """Check a spec for errors and warnings. Exits with 1 when there is one of either."""
    spec_file = chosen(path, overlay, env)
    answer = lint_answer(_validated(session, spec_file).get("diagnostics") or [])
    if session.as_json:
        show.as_json(answer)
    else:
        show.diagnostics(answer["diagnostics"], spec_file)
        if answer["clean"]:
            show.line(f"{spec_file} is clean.")
        else:
            warnings = counted(answer["warning_count"], "warning")
            show.fail_line(f"{spec_file} has {_errors(answer['diagnostics'])} and {warnings}")
    if not answer["clean"]:
        raise typer.Exit(1)


@app.command("compile")
@in_session
def compile_spec(
    session: Session,
    path: SpecPath = None,
    env: Environment = None,
    overlay: Overlays = None,
    output: Output = None,
) -> None:
    """Check that a spec can run, its code included. Exits with 1 when it cannot.

    --output takes the answer as JSON.
    """
    spec_file = chosen(path, overlay, env)
    with told_failures(spec_file):
        body = {**spec_file.fields(local=session.local), "strict": False}
        answer = session.ask(lambda backend: backend.compile_spec(body), doing="Compiling")
        answer = spec_file.judged(answer, "ok")
        if session.as_json or output is not None:
            show.write(show.json_text(answer), output)
    findings = answer.get("diagnostics") or []
    if not session.as_json:
        show.diagnostics(findings, spec_file)
        if answer.get("ok"):
            show.line(f"{spec_file} compiles: {_parts(answer.get('summary') or {})}.")
        else:
            show.fail_line(f"{spec_file} has {_errors(findings)} (spec_invalid)")
    if not answer.get("ok"):
        raise typer.Exit(1)


app.add_typer(bundle.app, name="bundle")
app.command("run")(run.run_spec)
app.command("resolve")(spec_text.resolve)
app.command("explain")(spec_views.explain)
app.command("graph")(spec_views.graph)
app.command("policy-report")(spec_views.policy_report)
app.command("skills")(spec_views.skills)
app.command("migrate")(spec_text.migrate)
app.command("schema")(spec_text.schema)


def _validated(session: Session, spec_file: SpecFile) -> show.Json:
    with told_failures(spec_file):
        body = spec_file.fields(local=session.local)
        answer = session.ask(lambda backend: backend.validate_spec(body), doing="Checking")
        return spec_file.judged(answer)


def _parts(summary: show.Json) -> str:
    parts = ["a root agent"]
    if summary.get("has_root_workflow"):
        parts.append("a root workflow")
    names = summary.get("component_agents") or []
    if names:
        parts.append(counted(len(names), "component agent"))
    return ", ".join(parts)


def _errors(findings: list[Any]) -> str:
    return counted(sum(item.get("severity") == "error" for item in findings), "error")
