"""The kneo command: one file per noun. `kneo --help` loads nothing but Typer and these files."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

import kneo_grpc
from kneo_grpc.cli import (
    audit,
    config,
    credentials,
    demo,
    gateway,
    human,
    maintenance,
    policies,
    queue,
    run,
    runs,
    service,
    spec,
    worker,
)
from kneo_grpc.integrations.variables import quiet_grpc

# Rich would make help prettier and take a third of a second to load; a traceback of Typer's would
# show local variables, API keys among them.
app = typer.Typer(
    name="kneo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command("run")(run.run)
app.add_typer(runs.app, name="runs")
app.add_typer(human.app, name="human")
app.add_typer(spec.app, name="spec")
app.add_typer(config.app, name="config")
app.add_typer(service.app, name="service")
app.command("worker")(worker.worker)
app.add_typer(queue.app, name="queue")
app.add_typer(audit.app, name="audit")
app.add_typer(maintenance.app, name="maintenance")
app.add_typer(policies.app, name="policies")
app.command("credentials")(credentials.credentials)
app.add_typer(gateway.app, name="gateway")
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kneo {kneo_grpc.__version__}")
        raise typer.Exit


@app.callback()
def _kneo(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Agents and workflows in production: YAML specs in, durable runs out.

    Without --service-url or a profile, commands work on this machine and keep their state in
    .kneo/ of the current directory.
    """


def main() -> None:
    """Run the command line; exits with 0, 1 (a failure, told on stderr) or 2 (wrong usage)."""
    for stream in (sys.stdout, sys.stderr):
        # A model may say what the terminal's encoding cannot.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    quiet_grpc()
    # A project's own steps and tools lie beside its specs, as with `python -m`.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    app(prog_name="kneo")
