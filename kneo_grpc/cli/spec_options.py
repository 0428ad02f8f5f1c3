"""The options that the `kneo spec` commands share."""

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
    path: Path | None, overlays: Sequence[Path] | None = None, environment: str | None = None
) -> SpecFile:
    """Return the spec that the options name: a file, one of the project's, the project's default
    one, or one that is piped in.
    """
    if path == Path("-"):
        return SpecFile(None, overlays or (), environment)
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    if path is not None and path.exists():
        return SpecFile(path, overlays or (), environment)
    with told_failures():
        workspace = Workspace.open()
    if path is not None and workspace.project is not None:
        try:
            workspace.read(str(path))
        except InvalidInput as error:
            raise typer.BadParameter(error.message) from None
    name = path or workspace.default_spec
    if name is not None and workspace.project is not None:
        return SpecFile(Path(name), overlays or (), environment, of_project=True)
    if path is not None:
        raise typer.BadParameter(f"there is no file {path}")
    if sys.stdin.isatty():
        raise typer.BadParameter("give the path of a spec file, or pipe a spec in")
    return SpecFile(None, overlays or (), environment)
