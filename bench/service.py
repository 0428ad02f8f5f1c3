"""The service and its workers as real processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.cluster import free_port
from bench.functions import LEDGER

ROOT = Path(__file__).parents[1]
TOKEN = "bench-token"
START_SECONDS = 60
STOP_SECONDS = 60


@dataclass(slots=True)
class Process:
    """A child process. port: HTTP through Envoy. grpc_port: gRPC without Envoy; 0 for a worker."""

    child: "subprocess.Popen[bytes]"
    output: Path
    port: int = 0
    grpc_port: int = 0

    @property
    def pid(self) -> int:
        """The process id; Envoy is a child of it."""
        return self.child.pid

    async def ready(self) -> "Process":
        """Wait for the line that says so."""
        deadline = time.monotonic() + START_SECONDS
        while not any(word in self._head() for word in ("service ready", "worker ready")):
            assert self.child.poll() is None, self._head()
            assert time.monotonic() < deadline, self._head()
            await asyncio.sleep(0.02)
        return self

    def kill(self) -> None:
        """End it with SIGKILL; nothing of it runs any more when this returns."""
        self.child.kill()
        self.child.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End it with SIGTERM, or with SIGKILL where that takes too long."""
        if self.child.poll() is not None:
            return
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _head(self) -> str:
        with self.output.open(errors="replace") as file:
            return file.read(100_000)


@dataclass(slots=True)
class Site:
    """A folder in which services and workers run on one database, with the default settings."""

    folder: Path
    database_url: str
    started: int = 0

    def serve(self, *options: str, program: tuple[str, ...] = (), **variables: str) -> Process:
        """Start a service. program: in place of `-m kneo_grpc`. variables: KNEO_SERV_… settings
        without prefix. Several processes have no port of gRPC alone: there it goes through Envoy.
        """
        port = free_port()
        grpc_port = port if "--processes" in options else free_port()
        ports: tuple[str, ...] = ("--port", str(port))
        if grpc_port != port:
            ports += ("--grpc-port", str(grpc_port))
        process = self._start(program, ("service", "serve", *ports, *options), variables)
        process.port, process.grpc_port = port, grpc_port
        return process

    def work(self, *options: str, **variables: str) -> Process:
        """Start a worker of its own."""
        return self._start((), ("worker", *options), variables)

    @contextlib.asynccontextmanager
    async def serving(self, *options: str, **variables: str) -> AsyncIterator[Process]:
        """Start a service, wait until it is ready, stop it at the end."""
        process = self.serve(*options, program=(), **variables)
        with stopping(process):
            yield await process.ready()

    @contextlib.asynccontextmanager
    async def working(self, *options: str, **variables: str) -> AsyncIterator[Process]:
        """Start a worker, wait until it is ready, stop it at the end."""
        process = self.work(*options, **variables)
        with stopping(process):
            yield await process.ready()

    def _start(
        self, program: tuple[str, ...], arguments: tuple[str, ...], variables: dict[str, str]
    ) -> Process:
        self.started += 1
        output = self.folder / f"output-{self.started}"
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.folder),
            LEDGER: str(self.folder),
            "KNEO_SERV_DATABASE_URL": self.database_url,
            "KNEO_SERV_API_KEYS": f"bench:{TOKEN}:admin",
            "KNEO_SERV_IMPORT_ALLOW": "kneo_grpc.examples,bench.functions",
            **{f"KNEO_SERV_{name}": value for name, value in variables.items()},
        }
        with output.open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, *(program or ("-m", "kneo_grpc")), *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return Process(child, output)


@contextlib.contextmanager
def stopping(process: Process) -> Iterator[None]:
    """Stop a process at the end."""
    try:
        yield
    finally:
        process.stop()
