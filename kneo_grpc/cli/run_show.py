"""kneo runs show: a run as a picture, which moves while the run goes on."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from kneo_grpc.cli import run_picture, show
from kneo_grpc.cli.backend import Backend
from kneo_grpc.cli.run_picture import Line
from kneo_grpc.cli.session import Session, in_session
from kneo_grpc.domain.run import ACTIVE
from kneo_grpc.ports.clock import Clock
from kneo_grpc.spec.drawing import mermaid as drawn

BETWEEN_LOOKS = timedelta(seconds=1)

Draw = Callable[[Sequence[Line]], None]


@in_session
def show_run(
    session: Session,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")],
    once: Annotated[
        bool, typer.Option("--once", help="Draw it once, also while the run goes on.")
    ] = False,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print a Mermaid flowchart for a document.")
    ] = False,
) -> None:
    """Draw a run: its workflow as a tree, what became of each step, and who is asked.

    In a terminal the picture is drawn anew every second while the run goes on; Ctrl-C leaves, and
    the run goes on.
    """
    if session.as_json or mermaid or once or not _on_terminal():
        run, graph = session.ask(lambda backend: look(backend, run_id), doing="Looking")
        if session.as_json:
            show.as_json({"run": run, "graph": graph})
        elif mermaid:
            show.write(flowchart(graph), None)
        else:
            lines = run_picture.picture(run, graph, _clock().now())
            _print(lines)
        return
    session.watch(lambda backend: _live(backend, run_id))


def flowchart(graph: show.Json) -> str:
    """Return a run's graph as a Mermaid flowchart, states as classes."""
    return drawn(run_picture.graph_of(graph), run_picture.states(graph))


async def look(backend: Backend, run_id: str) -> tuple[show.Json, show.Json]:
    """Return a run and its graph."""
    return await backend.get_run(run_id), await backend.run_graph(run_id)


async def follow(backend: Backend, run_id: str, draw: Draw, clock: Clock) -> None:
    """Draw a run every second until it has ended."""
    while True:
        run, graph = await look(backend, run_id)
        draw(run_picture.picture(run, graph, clock.now()))
        if run.get("status") not in ACTIVE:
            return
        await clock.sleep(BETWEEN_LOOKS)


async def _live(backend: Backend, run_id: str) -> None:
    # Rich takes a quarter of a second to load, which other commands do without.
    from rich.live import Live

    with Live(console=_console(), auto_refresh=False) as screen:

        def draw(lines: Sequence[Line]) -> None:
            screen.update(_rich(lines), refresh=True)

        await follow(backend, run_id, draw, _clock())


def _print(lines: Sequence[Line]) -> None:
    if _on_terminal():
        _console().print(_rich(lines))
    else:
        show.line(run_picture.plain(lines))


def _clock() -> Clock:
    # It brings asyncio, which takes a moment to load and which help does without.
    from kneo_grpc.integrations.clock import SystemClock

    return SystemClock()


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _console() -> Any:
    # See _live().
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def _rich(lines: Sequence[Line]) -> Any:
    """Return the lines for rich; a line that is too long for the terminal is cut, not folded."""
    # See _live().
    from rich.text import Text

    whole = Text(no_wrap=True, overflow="ellipsis")
    for index, line in enumerate(lines):
        whole.append("\n" if index else "")
        for text, style in line:
            whole.append(text, style or None)
    return whole
