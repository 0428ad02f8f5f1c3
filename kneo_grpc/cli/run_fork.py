"""kneo runs fork: start a new run where another one stood."""

from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.backend import Backend
from kneo_grpc.cli.run import print_result, warn_of_workers
from kneo_grpc.cli.session import Session, in_keyed_session

_SEQUENCE_MAX = 2**31 - 1


@in_keyed_session
def fork(
    session: Session,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")],
    checkpoint: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_SEQUENCE_MAX,
            metavar="N",
            help="Number of the checkpoint to start from, of `kneo runs checkpoints`; the last one "
            "at which something was open when left out.",
        ),
    ] = None,
    input_text: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", metavar="TEXT", help="What the open steps are given instead."
        ),
    ] = None,
    queued: Annotated[
        bool, typer.Option("--async", help="Leave the new run to a worker; do not wait for it.")
    ] = False,
) -> None:
    """Start a new run where another one stood; that one stays as it is.

    What had ended by then is not done again. Exits as `kneo run` does.
    """
    body = {
        "checkpoint_sequence": checkpoint,
        "input": input_text,
        "async_mode": True if queued else None,
    }
    given = {name: value for name, value in body.items() if value is not None}

    async def start(backend: Backend) -> show.Json:
        forked = await backend.fork_run(run_id, given)
        if queued:
            warn_of_workers(await backend.beyond_workers(forked["run_id"]))
        return forked

    print_result(session, session.ask(start, doing=f"Forking {run_id}"))
