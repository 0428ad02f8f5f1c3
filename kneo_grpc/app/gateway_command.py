"""Envoy on its own, before services that run elsewhere on the machine."""

import asyncio
from pathlib import Path

from kneo_grpc.app.binding import check_binding
from kneo_grpc.app.entry import beside, run_process, stop_on_signals
from kneo_grpc.app.gateway import EnvoyProcess, render
from kneo_grpc.app.server import gateway_settings
from kneo_grpc.app.settings import Settings, environment, read_settings
from kneo_grpc.integrations.clock import SystemClock


def render_config(
    *, host: str, port: int | None, tls_port: int | None, upstreams: list[str]
) -> str:
    """Return Envoy's configuration. upstreams: `unix:/path` or `IP:port`. Raises StartRefused."""
    settings = read_settings(environment())
    paths = _upstreams(upstreams)
    return render(
        gateway_settings(
            host=host, port=port, tls_port=tls_port, upstreams=paths, settings=settings
        )
    )


def run_gateway(*, host: str, port: int | None, tls_port: int | None, upstreams: list[str]) -> int:
    """Run Envoy until SIGTERM or SIGINT; return the exit code. Refusals go to standard error."""

    async def work(settings: Settings) -> None:
        # The service behind may be on loopback, and believe that only this machine can call.
        check_binding(settings, host, plaintext=port is not None)
        paths = _upstreams(upstreams)
        told = gateway_settings(
            host=host, port=port, tls_port=tls_port, upstreams=paths, settings=settings
        )
        stop = stop_on_signals()
        envoy = EnvoyProcess(told, SystemClock())
        await envoy.start()
        async with beside(envoy.supervise()):
            await stop.wait()
        await envoy.stop()

    return run_process(work, loop=asyncio.run)


def _upstreams(words: list[str]) -> tuple[Path | str, ...]:
    return tuple(
        Path(word.removeprefix("unix:")) if word.startswith("unix:") else word for word in words
    )
