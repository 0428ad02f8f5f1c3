"""kneo runs graph and policy-report: what a run executes, as its frozen plan has it."""

from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.session import Session, in_session
from kneo_grpc.cli.spec_lines import graph_lines, report_lines

_RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]


@in_session
def graph(session: Session, run_id: _RunId) -> None:
    """Show what runs after what in a run, and how far it got."""
    answer = session.ask(lambda backend: backend.run_graph(run_id))
    if session.as_json:
        show.as_json(answer)
        return
    for words in graph_lines(answer):
        show.line(words)
    show.facts(
        {
            "status": answer.get("status"),
            "passed": answer.get("visited"),
            "now at": answer.get("current_nodes"),
        }
    )


@in_session
def policy_report(session: Session, run_id: _RunId) -> None:
    """Report what a run's agents may touch, what checks them and who is asked."""
    answer = session.ask(lambda backend: backend.run_policy_report(run_id))
    if session.as_json:
        show.as_json(answer)
        return
    report = answer.get("report") or {}
    for words in report_lines(report):
        show.line(words)
    show.diagnostics(report.get("diagnostics") or [], None, err=True)
