"""kneo gateway: the Envoy sidecar on its own."""

from pathlib import Path
from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.session import told_failures

app = typer.Typer(
    help="Run the Envoy sidecar on its own, or print its configuration.", no_args_is_help=True
)

_DEFAULT_UPSTREAM = "127.0.0.1:50051"
_Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65535,
        help="Port for HTTP/JSON, gRPC and gRPC-Web; 8000 when left out, none with --tls-port.",
    ),
]
TlsPort = Annotated[int | None, typer.Option(min=1, max=65535, help="Port for the same, over TLS.")]
_Upstreams = Annotated[
    list[str] | None,
    typer.Option(
        "--upstream",
        metavar="ADDRESS",
        help="Where a service speaks gRPC: host:port or unix:/path. May be repeated."
        f"  [default: {_DEFAULT_UPSTREAM}]",
    ),
]


@app.command("render")
def render(
    host: _Host = "127.0.0.1",
    port: Port = None,
    tls_port: TlsPort = None,
    upstream: _Upstreams = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; stdout when left out."),
    ] = None,
) -> None:
    """Print the Envoy configuration."""
    # The gateway's modules need YAML, which help does without.
    from kneo_grpc.app.gateway_command import render_config
    from kneo_grpc.app.options import plain_port

    with told_failures():
        text = render_config(
            host=host,
            port=plain_port(port, tls_port),
            tls_port=tls_port,
            upstreams=upstream or [_DEFAULT_UPSTREAM],
        )
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        show.fail_line(f"cannot write {output}: {error.strerror or error}")
        raise typer.Exit(1) from None


@app.command("run")
def run(
    host: _Host = "127.0.0.1",
    port: Port = None,
    tls_port: TlsPort = None,
    upstream: _Upstreams = None,
) -> None:
    """Run Envoy before services that run elsewhere, until SIGTERM or Ctrl-C."""
    # See render().
    from kneo_grpc.app.gateway_command import run_gateway
    from kneo_grpc.app.options import plain_port

    with told_failures():
        code = run_gateway(
            host=host,
            port=plain_port(port, tls_port),
            tls_port=tls_port,
            upstreams=upstream or [_DEFAULT_UPSTREAM],
        )
    raise typer.Exit(code)
