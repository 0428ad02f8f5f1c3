"""What the command line says of a service."""

from dataclasses import dataclass
from pathlib import Path

PORT = 8000


def plain_port(port: int | None, tls_port: int | None) -> int | None:
    """Return the port without TLS that a command line asks for: given, or 8000; None where only
    one for TLS is given.
    """
    return PORT if port is None and tls_port is None else port


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """port: HTTP/JSON, gRPC and gRPC-Web; None leaves it out. grpc_port: gRPC without the gateway.

    tls_port: as port, with TLS. socket: a Unix socket to serve at; one is made when None.
    worker: execute runs here; else other processes must. processes: how many serve.
    """

    host: str = "127.0.0.1"
    port: int | None = PORT
    grpc_port: int | None = None
    tls_port: int | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    socket: Path | None = None
    gateway: bool = True
    worker: bool = True
    processes: int = 1
