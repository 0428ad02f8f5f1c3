"""kneo maintenance: do now what workers do by themselves; copy the database and put it back."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.backend import Backend, Json
from kneo_grpc.cli.session import Session, in_session, told_failures

if TYPE_CHECKING:
    from kneo_grpc.app.maintenance_command import Copied

app = typer.Typer(
    help="Do now what workers do by themselves; back the database up.", no_args_is_help=True
)

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("prune-timed-out-runs")
@in_session
def prune_timed_out_runs(session: Session) -> None:
    """End the runs whose deadline has passed."""
    _prune(session, lambda backend: backend.prune_timed_out_runs())


@app.command("prune-expired-human-tasks")
@in_session
def prune_expired_human_tasks(session: Session) -> None:
    """Settle human tasks that nobody answered.

    After its deadline a task fails its run, lets it continue or is escalated, as its spec says.
    """
    _prune(session, lambda backend: backend.prune_expired_human_tasks())


@app.command("prune-retention")
@in_session
def prune_retention(session: Session) -> None:
    """Remove what is too old.

    The ages are the KNEO_SERV_RETENTION_…_DAYS settings of the service, or of this machine.
    """
    counts = _prune(session, lambda backend: backend.prune_retention())
    if not counts and not session.as_json:
        show.line("Nothing is removed: no KNEO_SERV_RETENTION_…_DAYS is set.")


@app.command("backup")
def backup(
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="The file to write.")],
    as_json: _AsJson = False,
) -> None:
    """Copy this machine's SQLite database.

    It may be in use meanwhile. Of PostgreSQL take backups with its own tools.
    """
    # The platform takes half a second to load, which help does without.
    from kneo_grpc.app.maintenance_command import run_backup

    with told_failures():
        copied = run_backup(destination)
    if as_json:
        show.as_json(_facts(copied))
    else:
        show.line(f"Wrote {destination} ({copied.size:,} bytes).")


@app.command("restore")
def restore(
    source: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, metavar="SRC", help="A file that backup made."),
    ],
    as_json: _AsJson = False,
) -> None:
    """Put a backup in the database's place.

    This machine's SQLite database is replaced; no service may use it meanwhile.
    """
    # See backup().
    from kneo_grpc.app.maintenance_command import run_restore

    with told_failures():
        copied = run_restore(source)
    if as_json:
        show.as_json(_facts(copied))
    else:
        show.line(f"Restored {copied.destination} from {source} ({copied.size:,} bytes).")


def _facts(copied: "Copied") -> Json:
    return {
        "source": str(copied.source),
        "destination": str(copied.destination),
        "bytes_copied": copied.size,
    }


def _prune(session: Session, act: Callable[[Backend], Awaitable[Json]]) -> Json:
    """Ask, print the counts for people or the answer as JSON, and return the counts."""
    answer = session.ask(act)
    counts: Json = answer.get("counts") or {}
    if session.as_json:
        show.as_json(answer)
    elif counts:
        show.facts({name.replace("_", " "): count for name, count in sorted(counts.items())})
    return counts
