"""The service process: the gRPC server, and Envoy as its child."""

import contextlib
import dataclasses
import importlib.resources
import logging
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from kneo_grpc import __version__
from kneo_grpc.api.server import SERVICES, ApiServer
from kneo_grpc.app.binding import check_binding, is_loopback
from kneo_grpc.app.entry import beside, stop_on_signals
from kneo_grpc.app.gateway import EnvoyProcess, GatewaySettings, ensure_local_certificate
from kneo_grpc.app.loops import duties
from kneo_grpc.app.memory import calm_collector
from kneo_grpc.app.options import ServeOptions
from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import Platform, build_platform
from kneo_grpc.domain.errors import StartRefused

logger = logging.getLogger("kneo_grpc.app")

SERVER_GRACE = timedelta(seconds=2)


async def serve(settings: Settings, options: ServeOptions) -> None:
    """Start everything, wait for a signal, stop everything in order. Raises StartRefused."""
    if not options.gateway and options.grpc_port is None and options.socket is None:
        raise StartRefused("without the gateway a --grpc-port is needed: nothing would listen")
    plaintext = (options.gateway and options.port is not None) or options.grpc_port is not None
    if options.socket is None or options.gateway or options.grpc_port is not None:
        check_binding(settings, options.host, plaintext=plaintext)
    stop = stop_on_signals()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kneo-")))
        platform = build_platform(settings, executes=options.worker)
        await platform.start()
        stack.push_async_callback(platform.close)
        await stack.enter_async_context(duties(platform, works=options.worker))
        socket = options.socket or folder / "api.sock"
        addresses: tuple[str, ...] = (f"unix:{socket}",)
        if options.grpc_port is not None:
            addresses = (*addresses, f"{options.host}:{options.grpc_port}")
        server = ApiServer(
            servicers=platform.servicers(),
            interceptor=platform.interceptor(),
            addresses=addresses,
        )
        await server.start()
        stack.push_async_callback(server.stop, SERVER_GRACE)
        if options.gateway:
            envoy = EnvoyProcess(_gateway_settings(settings, options, socket), platform.clock)
            await envoy.start()
            stack.push_async_callback(envoy.stop)
            await stack.enter_async_context(beside(envoy.supervise()))
        if not options.worker and not settings.database_url:
            logger.warning("no run will be executed: no worker can share a SQLite file")
        calm_collector()
        logger.info("service ready", extra=where(options))
        await stop.wait()
        logger.info("service stops")
        await _drain(platform, server)
    logger.info("service stopped")


async def _drain(platform: Platform, server: ApiServer) -> None:
    """Be not ready, take no new run, let those under way end."""
    platform.health.drain()
    await server.set_serving(serving=False)
    await platform.drain()


def gateway_settings(
    *,
    host: str,
    port: int | None,
    tls_port: int | None,
    upstreams: tuple[Path | str, ...],
    settings: Settings,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> GatewaySettings:
    """Return what Envoy is told; a local certificate is made where TLS is wanted without one."""
    if tls_port is not None and (tls_cert is None or tls_key is None):
        if tls_cert or tls_key:
            raise StartRefused("--tls-cert and --tls-key go together")
        tls_cert, tls_key, authority = ensure_local_certificate(Path(".kneo/tls"), _names(host))
        logger.warning(
            "serving TLS with a certificate made here", extra={"authority": str(authority)}
        )
    return GatewaySettings(
        host=host,
        port=port,
        tls_port=tls_port,
        certificate=tls_cert,
        private_key=tls_key,
        upstreams=upstreams,
        descriptor=descriptor_path(),
        services=SERVICES,
        max_body_bytes=settings.body_bytes_max,
        loopback_hosts_only=is_loopback(host) and not settings.keys,
        request_timeout=settings.sync_wait + timedelta(seconds=20),
        drain=timedelta(seconds=2),
        **_edge(settings, tls=tls_port is not None),
    )


def _edge(settings: Settings, *, tls: bool) -> dict[str, Any]:
    """Return the operator's choices by the names of GatewaySettings."""
    choices = dataclasses.asdict(settings.edge)
    if settings.edge.client_ca is not None and not tls:
        raise StartRefused(
            "KNEO_SERV_TLS_CLIENT_CA needs --tls-port: plain HTTP has no certificates"
        )
    return choices


def descriptor_path() -> Path:
    """Return the compiled contract, as Envoy reads it."""
    return Path(str(importlib.resources.files("kneo_grpc") / "_gen" / "api.binpb"))


def _gateway_settings(settings: Settings, options: ServeOptions, socket: Path) -> GatewaySettings:
    return gateway_settings(
        host=options.host,
        port=options.port,
        tls_port=options.tls_port,
        upstreams=(socket,),
        settings=settings,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
    )


def _names(host: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", "::1", host)))


def where(options: ServeOptions) -> dict[str, object]:
    """Return for the log where a service can be reached."""
    facts = {
        "http": f"http://{options.host}:{options.port}" if options.port else None,
        "https": f"https://{options.host}:{options.tls_port}" if options.tls_port else None,
        "grpc": f"{options.host}:{options.grpc_port}" if options.grpc_port else None,
        "version": __version__,
    }
    if not options.gateway:
        facts |= {"http": None, "https": None}
    return {key: value for key, value in facts.items() if value is not None}
