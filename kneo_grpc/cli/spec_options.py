"""The options that the `kneo spec` commands share."""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from kneo_grpc.cli.session import told_failures
from kneo_grpc.cli.spec_file import SpecFile
from kneo_grpc.cli.workspace import Workspace
from kneo_grpc.domain.errors import InvalidInput

SpecPath: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        allow_dash=True,
        help="The spec file (YAML or JSON), the project's default one when left out; `-` is stdin.",
    ),
]
Environment: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--env", envvar="KNEO_ENV", metavar="NAME", help="Environment that the spec is meant for."
    ),
]
Overlays: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay",
        exists=True,
        dir_okay=False,
        help="A file to lay over the spec; may be given several times.",
    ),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option("--output", "-o", dir_okay=False, help="Write here instead of to stdout."),
]


def chosen(
    path: Path | None,
    overlays: Sequence[Path] | None = None,
    environment: str | None = None,
    *,
    agent_alone: bool = False,
) -> SpecFile:
    """Return the spec that the options name: a file, one of the project's, the project's default
    one, or one that is piped in. agent_alone: its root agent is to run without the workflow.
    """
    spec_file = functools.partial(
        SpecFile, overlays=overlays or (), environment=environment, agent_alone=agent_alone
    )
    if path == Path("-"):
        return spec_file(None)
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    if path is not None and path.exists():
        return spec_file(path)
    with told_failures():
        workspace = Workspace.open()
    if path is not None and workspace.project is not None:
        try:
            workspace.read(str(path))
        except InvalidInput as error:
            raise typer.BadParameter(error.message) from None
    name = path or workspace.default_spec
    if name is not None and workspace.project is not None:
        return spec_file(Path(name), of_project=True)
    if path is not None:
        raise typer.BadParameter(f"there is no file {path}")
    if sys.stdin.isatty():
        raise typer.BadParameter("give the path of a spec file, or pipe a spec in")
    return spec_file(None)
