"""kneo demo: see the whole thing work."""

from typing import Annotated

import typer

from kneo_grpc.cli.session import told_failures


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the walk.")] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the service.")] = None,
) -> None:
    """Start a service on SQLite and carry the smoke workflow through pause and resume."""
    # The platform and grpc take half a second to load, which help does without.
    from kneo_grpc.app.demo import run_demo

    with told_failures():
        code = run_demo(once=once, port=port)
    raise typer.Exit(code)
