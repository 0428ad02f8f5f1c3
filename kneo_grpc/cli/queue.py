"""kneo queue: see what waits, and put back what was given up."""

from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.run import print_result
from kneo_grpc.cli.session import Session, in_session

app = typer.Typer(help="See what waits, and put back what was given up.", no_args_is_help=True)

_RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
_Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many to show at most.")]
_Offset = Annotated[int, typer.Option(min=0, max=10000, help="How many to pass over.")]
_Token = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="next_page_token of the page before.")
]


@app.command("list")
@in_session
def list_queue(
    session: Session, limit: _Limit = 100, offset: _Offset = 0, page_token: _Token = None
) -> None:
    """List the runs that wait or are executed.

    The longest due comes first. States: ready, later (due in the future) and leased (a process
    executes it).
    """
    query = _query(limit, offset, page_token)
    page = session.ask(lambda backend: backend.list_queue(query))
    if session.as_json:
        show.as_json(page)
        return
    jobs = page.get("jobs") or []
    if jobs:
        show.table(
            ("run", "state", "due", "attempts", "owner", "held until"),
            [
                (
                    job.get("run_id"),
                    job.get("state"),
                    job.get("due_at"),
                    job.get("claims"),
                    job.get("lease_owner"),
                    job.get("lease_expires_at"),
                )
                for job in jobs
            ],
        )
    show.page_note(page, "jobs", none="The queue is empty.")


@app.command("dead")
@in_session
def list_dead_letters(
    session: Session, limit: _Limit = 100, offset: _Offset = 0, page_token: _Token = None
) -> None:
    """List the runs that were given up: dead letters.

    They took too many workers down, or no worker has their code.
    """
    query = _query(limit, offset, page_token)
    page = session.ask(lambda backend: backend.list_dead_letters(query))
    if session.as_json:
        show.as_json(page)
        return
    jobs = page.get("jobs") or []
    if jobs:
        show.table(
            ("run", "given up"),
            [(job.get("run_id"), job.get("due_at")) for job in jobs],
        )
    show.page_note(page, "dead letters")
    if jobs:
        first = jobs[0].get("run_id")
        show.line("See why with, and put one back with:")
        show.line(f"  kneo runs get {first}{session.hint_options}")
        show.line(f"  kneo queue requeue {first}{session.hint_options}")


@app.command("requeue")
@in_session
def requeue(session: Session, run_id: _RunId) -> None:
    """Put a dead letter back into the queue.

    Any failed run can be put back; it goes on with the step that failed.
    """
    print_result(session, session.ask(lambda backend: backend.requeue_run(run_id)))


def _query(limit: int, offset: int, page_token: str | None) -> show.Json:
    token = {} if page_token is None else {"page_token": page_token}
    return {"limit": limit, "offset": offset, **token}
