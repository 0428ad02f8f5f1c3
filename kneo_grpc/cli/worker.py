"""kneo worker: execute queued runs."""

from typing import Annotated

import typer

from kneo_grpc.cli.session import told_failures


def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Runs to execute at once; KNEO_SERV_WORKER_CONCURRENCY or 32 when left out.",
        ),
    ] = None,
) -> None:
    """Execute queued runs until SIGTERM or Ctrl-C; serve nobody.

    Works on what KNEO_SERV_DATABASE_URL names, with any number of others, or alone on .kneo/ of
    the current directory.
    """
    # The platform takes half a second to load, which help does without.
    from kneo_grpc.app.worker_process import run_worker

    with told_failures():
        code = run_worker(concurrency=concurrency)
    raise typer.Exit(code)
