"""Envoy on its own, before services that run elsewhere on the machine."""

import asyncio
import signal
from pathlib import Path

from kneo_grpc.app.gateway import EnvoyProcess, render
from kneo_grpc.app.logs import configure_logs
from kneo_grpc.app.redaction import build_redactor, tell_refusal
from kneo_grpc.app.server import gateway_settings
from kneo_grpc.app.settings import environment, read_settings
from kneo_grpc.domain.errors import StartRefused
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
    """Run Envoy until SIGTERM or SIGINT; return the exit code."""
    try:
        settings = read_settings(environment())
        configure_logs(settings.log_level, redactor=build_redactor(settings))
        paths = _upstreams(upstreams)
        told = gateway_settings(
            host=host, port=port, tls_port=tls_port, upstreams=paths, settings=settings
        )
        asyncio.run(_run(EnvoyProcess(told, SystemClock())))
    except StartRefused as error:
        tell_refusal(error)
        return 1
    return 0


def _upstreams(words: list[str]) -> tuple[Path | str, ...]:
    return tuple(
        Path(word.removeprefix("unix:")) if word.startswith("unix:") else word for word in words
    )


async def _run(envoy: EnvoyProcess) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await envoy.start()
    watch = asyncio.create_task(envoy.supervise())
    await stop.wait()
    watch.cancel()
    await envoy.stop()
