"""Serves an embedded platform to others, in the program's own process."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from kneo_grpc.api.server import ApiServer
from kneo_grpc.app.binding import check_binding
from kneo_grpc.app.embedding.requests import checked
from kneo_grpc.app.entry import beside
from kneo_grpc.app.gateway import EnvoyProcess
from kneo_grpc.app.options import ServeOptions
from kneo_grpc.app.server import SERVER_GRACE, gateway_settings
from kneo_grpc.app.wiring import Platform
from kneo_grpc.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where a platform is served; None for what was not asked for.

    grpc: `host:port` for gRPC alone. http, https: addresses for JSON, gRPC and gRPC-Web.
    """

    grpc: str | None
    http: str | None
    https: str | None


class Where(TypedDict, total=False):
    """host: `127.0.0.1` when left out. grpc_port: gRPC alone, 0 for any free port.

    port, tls_port: HTTP/JSON, gRPC and gRPC-Web through Envoy, plain or over TLS. tls_cert,
    tls_key: PEM files; a local certificate is made when they are left out.
    """

    host: str
    grpc_port: int | None
    port: int | None
    tls_port: int | None
    tls_cert: str | Path | None
    tls_key: str | Path | None


@contextlib.asynccontextmanager
async def serving(platform: Platform, where: Where) -> AsyncIterator[Served]:
    """Serve until the end of the block; then calls and runs under way end first.

    Raises InvalidInput where nothing is to be served, StartRefused where it must not or cannot be.
    """
    options = _options(where)
    gateway = options.port is not None or options.tls_port is not None
    if not gateway and options.grpc_port is None:
        raise InvalidInput("say where to serve: grpc_port, port or tls_port")
    if (options.tls_cert is None) != (options.tls_key is None):
        raise InvalidInput("tls_cert and tls_key go together")
    if options.port == 0 or options.tls_port == 0:
        raise InvalidInput("port and tls_port must be given; only grpc_port may be 0, for any")
    plaintext = options.port is not None or options.grpc_port is not None
    check_binding(platform.settings, options.host, plaintext=plaintext)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kneo-")))
        addresses: tuple[str, ...] = (f"unix:{folder / 'api.sock'}",)
        if options.grpc_port is not None:
            addresses = (*addresses, f"{options.host}:{options.grpc_port}")
        server = ApiServer(
            servicers=platform.servicers(),
            interceptor=platform.interceptor(),
            addresses=addresses,
        )
        await server.start()
        stack.push_async_callback(server.stop, SERVER_GRACE)
        if gateway:
            await stack.enter_async_context(_gateway(platform, options, folder / "api.sock"))
        grpc = None if options.grpc_port is None else f"{options.host}:{server.bound[-1]}"
        yield Served(
            grpc=grpc,
            http=_address("http", options.host, options.port),
            https=_address("https", options.host, options.tls_port),
        )
        await server.set_serving(serving=False)
        await platform.drain()


@contextlib.asynccontextmanager
async def _gateway(platform: Platform, options: ServeOptions, socket: Path) -> AsyncIterator[None]:
    settings = gateway_settings(
        host=options.host,
        port=options.port,
        tls_port=options.tls_port,
        upstreams=(socket,),
        settings=platform.settings,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
    )
    envoy = EnvoyProcess(settings, platform.clock)
    await envoy.start()
    try:
        async with beside(envoy.supervise()):
            yield
    finally:
        await envoy.stop()


def _options(where: Where) -> ServeOptions:
    checked(where, Where)
    cert, key = where.get("tls_cert"), where.get("tls_key")
    return ServeOptions(
        host=where.get("host", "127.0.0.1"),
        port=where.get("port"),
        grpc_port=where.get("grpc_port"),
        tls_port=where.get("tls_port"),
        tls_cert=None if cert is None else Path(cert),
        tls_key=None if key is None else Path(key),
    )


def _address(scheme: str, host: str, port: int | None) -> str | None:
    if port is None:
        return None
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{scheme}://{host}:{port}"
