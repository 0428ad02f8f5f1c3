"""kneo spec explain, graph and policy-report: what is in a spec, for people and programs."""

from typing import Annotated, Literal

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.session import Session, in_session, told_failures
from kneo_grpc.cli.spec_file import SpecFile
from kneo_grpc.cli.spec_lines import explain_lines, graph_lines, report_lines
from kneo_grpc.cli.spec_options import Environment, Output, Overlays, SpecPath, chosen


@in_session
def explain(
    session: Session,
    path: SpecPath = None,
    env: Environment = None,
    overlay: Overlays = None,
    output: Output = None,
) -> None:
    """Tell what is in a spec: agents, workflows, tools and people."""
    spec_file = chosen(path, overlay, env)
    with told_failures(spec_file):
        body = spec_file.fields(local=session.local)
        answer = session.ask(lambda backend: backend.explain_spec(body))
        lines = explain_lines(answer.get("summary") or {})
        show.write(show.json_text(answer) if session.as_json else "\n".join(lines), output)


@in_session
def graph(
    session: Session,
    path: SpecPath = None,
    form: Annotated[
        Literal["text", "mermaid", "dot", "json"],
        typer.Option(
            "--format", help="`mermaid` and `dot` can be drawn; --json is short for json."
        ),
    ] = "text",
    env: Environment = None,
    overlay: Overlays = None,
    output: Output = None,
) -> None:
    """Show what runs after what in a spec."""
    spec_file = chosen(path, overlay, env)
    if session.as_json:
        form = "json"
    with told_failures(spec_file):
        body = spec_file.fields(local=session.local)
        if form in ("mermaid", "dot"):
            body["format"] = form
        answer = session.ask(lambda backend: backend.graph_spec(body))
        if form == "json":
            text = show.json_text(answer)
        else:
            text = "\n".join(graph_lines(answer)) if form == "text" else answer.get("text") or ""
        show.write(text, output)


@in_session
def policy_report(
    session: Session,
    path: SpecPath = None,
    env: Environment = None,
    overlay: Overlays = None,
    output: Output = None,
) -> None:
    """Report what a spec's agents may touch, what checks them and who is asked.

    Exits with 1 when it does not have the shape of a spec.
    """
    spec_file = chosen(path, overlay, env)
    with told_failures(spec_file):
        body = spec_file.fields(local=session.local)
        answer = session.ask(lambda backend: backend.policy_report(body))
        report = _with_policy(answer.get("report") or {}, spec_file)
        answer = {**answer, "report": report}
        lines = report_lines(report)
        if session.as_json or lines:
            show.write(show.json_text(answer) if session.as_json else "\n".join(lines), output)
    if not session.as_json:
        show.diagnostics(report.get("diagnostics") or [], spec_file, err=True)
    if not answer.get("valid"):
        raise typer.Exit(1)


@in_session
def skills(
    session: Session,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Page size.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=10000, help="How many to pass over.")] = 0,
    page_token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="next_page_token of the page before.")
    ] = None,
) -> None:
    """List the skills that lie below the folder of specs."""
    query: show.Json = {"limit": limit, "offset": offset}
    if page_token is not None:
        query["page_token"] = page_token
    page = session.ask(lambda backend: backend.list_skills(query), doing="Looking")
    if session.as_json:
        show.as_json(page)
        return
    rows = [
        (item.get("name"), item.get("path"), item.get("description"))
        for item in page.get("skills") or []
    ]
    if rows:
        show.table(("skill", "path", "description"), rows)
    show.page_note(page, "skills")


def _with_policy(report: show.Json, spec_file: SpecFile) -> show.Json:
    """Add what the project's policy has against the spec to the findings of a report, and give
    permissions one order: on their way they have none.
    """
    found = spec_file.judged({"diagnostics": report.get("diagnostics")}).get("diagnostics") or []
    report = {**report, "diagnostics": found}
    if "summary" in report:
        report["summary"] = {**report["summary"], "diagnostic_count": len(found)}
        tools = report.get("tools") or {}
        policies = [_in_order(policy) for policy in tools.get("agent_policies") or []]
        report["tools"] = {**tools, "agent_policies": policies}
    return report


def _in_order(policy: show.Json) -> show.Json:
    rights = policy.get("permissions")
    return {**policy, "permissions": dict(sorted(rights.items()))} if rights else policy
