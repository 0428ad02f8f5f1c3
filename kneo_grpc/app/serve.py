"""`kneo service serve`: one process or several, until a signal."""

import asyncio
from pathlib import Path

from kneo_grpc.app.entry import run_process
from kneo_grpc.app.options import ServeOptions
from kneo_grpc.app.processes import serve_many
from kneo_grpc.app.server import serve


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
    if processes > 1:
        # The parent's needs are small.
        return run_process(lambda settings: serve_many(settings, options), loop=asyncio.run)
    return run_process(lambda settings: serve(settings, options))
