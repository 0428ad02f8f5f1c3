"""`kneo service serve`: one process or several, until a signal."""

import asyncio
from pathlib import Path

import uvloop

from kneo_grpc.app.logs import configure_logs
from kneo_grpc.app.options import ServeOptions
from kneo_grpc.app.processes import serve_many
from kneo_grpc.app.redaction import build_redactor, tell_refusal
from kneo_grpc.app.server import serve
from kneo_grpc.app.settings import environment, read_settings
from kneo_grpc.domain.errors import StartRefused


def run_service(
    *,
    host: str,
    port: int | None,
    grpc_port: int | None,
    tls_port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    gateway: bool,
    worker: bool = True,
    processes: int = 1,
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Refusals go to standard error."""
    options = ServeOptions(
        host=host,
        port=port,
        grpc_port=grpc_port,
        tls_port=tls_port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        gateway=gateway,
        worker=worker,
        processes=processes,
    )
    try:
        settings = read_settings(environment())
        configure_logs(settings.log_level, redactor=build_redactor(settings))
        if processes > 1:
            asyncio.run(serve_many(settings, options))
        else:
            uvloop.run(serve(settings, options))
    except StartRefused as error:
        tell_refusal(error)
        return 1
    return 0
