"""Several server processes behind one Envoy: the parent spawns, watches and ends them."""

import asyncio
import contextlib
import json
import logging
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from kneo_grpc.app.binding import check_binding
from kneo_grpc.app.entry import beside, run_process, stop_on_signals
from kneo_grpc.app.gateway import EnvoyProcess, end_with_parent
from kneo_grpc.app.options import ServeOptions
from kneo_grpc.app.server import gateway_settings, serve, where
from kneo_grpc.app.settings import Settings
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.integrations.clock import SystemClock
from kneo_grpc.ports.clock import Clock

logger = logging.getLogger("kneo_grpc.app")

START = timedelta(seconds=60)
RESTART_PAUSE = timedelta(seconds=1)
END = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """A server process and the socket that it serves."""

    process: asyncio.subprocess.Process
    socket: Path


class ServerProcesses:
    """N server processes, each with a socket of its own; one that dies is started again."""

    def __init__(self, options: ServeOptions, folder: Path, clock: Clock) -> None:
        self._options = options
        self._folder = folder
        self._clock = clock
        self._children: dict[int, _Child] = {}
        self._stopping = False

    @property
    def sockets(self) -> tuple[Path, ...]:
        """Where the processes serve."""
        return tuple(self._socket(number) for number in range(self._options.processes))

    async def start(self) -> None:
        """Start all and wait until they serve. Raises StartRefused when one ends instead."""
        for number in range(self._options.processes):
            self._children[number] = await self._spawn(number)
        for child in self._children.values():
            await self._until_serving(child)

    async def supervise(self) -> None:
        """Start again what dies."""
        await asyncio.gather(*(self._watch(number) for number in self._children))

    async def stop(self, limit: timedelta) -> None:
        """Let all end by themselves; kill what does not within the limit."""
        self._stopping = True
        running = [
            child.process for child in self._children.values() if child.process.returncode is None
        ]
        for process in running:
            process.send_signal(signal.SIGTERM)
        waits = [asyncio.ensure_future(process.wait()) for process in running]
        if waits:
            await asyncio.wait(waits, timeout=limit.total_seconds())
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _watch(self, number: int) -> None:
        while True:
            code = await self._children[number].process.wait()
            if self._stopping:
                return
            logger.error("a server process died", extra={"number": number, "exit_code": code})
            await self._start_again(number)

    async def _start_again(self, number: int) -> None:
        """Start a process in the place of a dead one; try until the machine can or all stop."""
        while True:
            await self._clock.sleep(RESTART_PAUSE)
            if self._stopping:
                return
            try:
                self._children[number] = await self._spawn(number)
                return
            except (OSError, subprocess.SubprocessError) as error:
                facts = {"number": number, "error": str(error)}
                logger.error("a server process cannot be started", extra=facts)

    async def _spawn(self, number: int) -> _Child:
        socket = self._socket(number)
        socket.unlink(missing_ok=True)
        told = json.dumps({"socket": str(socket), "worker": self._options.worker})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kneo_grpc.app.processes", told),
            start_new_session=True,
            # A parent that is killed cannot end its children; the kernel does it for us.
            preexec_fn=end_with_parent,
        )
        return _Child(process=process, socket=socket)

    async def _until_serving(self, child: _Child) -> None:
        deadline = self._clock.now() + START
        while not child.socket.exists():
            if child.process.returncode is not None:
                raise StartRefused("a server process ended at its start; its own line says why")
            if self._clock.now() > deadline:
                raise StartRefused("a server process does not start to serve")
            await self._clock.sleep(timedelta(milliseconds=50))

    def _socket(self, number: int) -> Path:
        return self._folder / f"api-{number}.sock"


async def serve_many(settings: Settings, options: ServeOptions) -> None:
    """Run Envoy before several server processes, until a signal. Raises StartRefused."""
    if not settings.database_url:
        raise StartRefused(
            "several processes need PostgreSQL: set KNEO_SERV_DATABASE_URL or drop --processes"
        )
    if not options.gateway or options.grpc_port is not None:
        raise StartRefused("--processes goes with the gateway, and without --grpc-port")
    check_binding(settings, options.host, plaintext=options.port is not None)
    stop = stop_on_signals()
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kneo-")))
        servers = ServerProcesses(options, folder, clock)
        stack.push_async_callback(servers.stop, settings.shutdown_timeout + END)
        await servers.start()
        told = gateway_settings(
            host=options.host,
            port=options.port,
            tls_port=options.tls_port,
            upstreams=servers.sockets,
            settings=settings,
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
        )
        envoy = EnvoyProcess(told, clock)
        await envoy.start()
        async with beside(envoy.supervise()), beside(servers.supervise()):
            logger.info("service ready", extra={**where(options), "processes": options.processes})
            await stop.wait()
            logger.info("service stops")
        await servers.stop(settings.shutdown_timeout + END)
        await envoy.stop()
    logger.info("service stopped")


def main() -> int:
    """Be one server process; sys.argv[1] holds its options as JSON."""
    told = json.loads(sys.argv[1])
    options = ServeOptions(
        socket=Path(told["socket"]), worker=bool(told["worker"]), gateway=False, port=None
    )
    return run_process(lambda settings: serve(settings, options))


if __name__ == "__main__":
    sys.exit(main())
