"""kneo service: run the service."""

from pathlib import Path
from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.gateway import Port, TlsPort
from kneo_grpc.cli.session import Session, in_session, told_failures

app = typer.Typer(no_args_is_help=True)

_TlsCert = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Certificate chain (PEM).")
]
_TlsKey = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Private key (PEM).")
]
_Gateway = Annotated[
    bool,
    typer.Option("--gateway/--no-gateway", help="Run the Envoy sidecar; without it, gRPC only."),
]
_Worker = Annotated[
    bool,
    typer.Option(
        "--worker/--no-worker",
        help="Execute runs here too; without it, leave them to `kneo worker` elsewhere.",
    ),
]


@app.callback()
def _service() -> None:
    """Run the service."""


@app.command("health")
@in_session
def health(session: Session) -> None:
    """Ask whether a service answers."""
    show.as_json(session.ask(lambda backend: backend.health()))


@app.command("live")
@in_session
def live(session: Session) -> None:
    """Ask whether a service's process need not be restarted."""
    show.as_json(session.ask(lambda backend: backend.live()))


@app.command("ready")
@in_session
def ready(session: Session) -> None:
    """Ask a service for its readiness checks; exits with 1 while one fails."""
    show.as_json(session.ask(lambda backend: backend.ready()))


@app.command("serve")
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback the service wants keys.")
    ] = "127.0.0.1",
    port: Port = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port for gRPC that passes the gateway by."),
    ] = None,
    tls_port: TlsPort = None,
    tls_cert: _TlsCert = None,
    tls_key: _TlsKey = None,
    gateway: _Gateway = True,
    worker: _Worker = True,
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            metavar="N",
            help="Server processes behind one gateway; PostgreSQL only.",
        ),
    ] = 1,
) -> None:
    """Serve until SIGTERM or Ctrl-C: the API, its worker and the gateway in front of them.

    State is kept in .kneo/ of the current directory, or in the PostgreSQL that
    KNEO_SERV_DATABASE_URL names.
    """
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    # The platform and grpc take half a second to load, which help does without.
    from kneo_grpc.app.options import plain_port
    from kneo_grpc.app.serve import run_service

    with told_failures():
        code = run_service(
            host=host,
            port=plain_port(port, tls_port),
            grpc_port=grpc_port,
            tls_port=tls_port,
            tls_cert=tls_cert,
            tls_key=tls_key,
            gateway=gateway,
            worker=worker,
            processes=processes,
        )
    raise typer.Exit(code)


@app.command("openapi")
@in_session
def openapi(session: Session) -> None:
    """Print the OpenAPI document of the HTTP interface."""
    # The contract is no secret, and the names in it look like secrets' names.
    typer.echo(show.json_text(session.ask(lambda backend: backend.openapi())))


@app.command("metrics")
@in_session
def metrics(session: Session) -> None:
    """Print the service's counters in the text format of Prometheus."""
    text = session.ask(lambda backend: backend.metrics())
    if session.as_json:
        typer.echo(show.json_text({"text": text}))
    else:
        show.line(text.rstrip())
