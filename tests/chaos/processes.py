"""Two API processes and two workers as real processes; whichever ends is started again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.schedule import SLOTS
from tests.chaos.steps import LEDGER

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
WORKER_CONCURRENCY = 32
API_CONCURRENCY = 2
"""Queued runs that an API process executes beside its callers' own, so that workers get some."""

RESTART_PAUSE_SECONDS = 0.2
"""Before a process that ended by itself is started again; a killed one is at once."""


@dataclass
class Life:
    """One process from its start to its end, on the ledger's clock. ended: 0 while it runs."""

    pid: int
    log: Path
    began: float
    ended: float = 0.0


@dataclass
class Slot:
    """A place in which one process after the other runs. port: 0 for a worker."""

    name: str
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    log: Path = Path()
    generation: int = 0

    def ready(self) -> bool:
        """Whether the present process has come up."""
        return b" ready" in self.log.read_bytes()[:100_000]


@dataclass
class Ended:
    """A process that ended by itself. last: the end of what it printed."""

    name: str
    at: float
    code: int
    was_ready: bool
    last: str


@dataclass
class Fleet:
    """The processes. folder: holds the ledger and all logs; lease_seconds: of every process."""

    folder: Path
    database_url: str
    lease_seconds: float
    slots: list[Slot] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    lives: dict[int, Life] = field(default_factory=dict)
    _supervisor: "asyncio.Task[None] | None" = None

    @property
    def ledger(self) -> Path:
        """Where the steps write."""
        return self.folder / "ledger"

    async def start(self) -> None:
        """Start all processes and wait until they are ready."""
        self.ledger.touch()
        ports = _free_ports(2)
        self.slots = [Slot(f"api-{number + 1}", port) for number, port in enumerate(ports)]
        self.slots += [Slot(f"worker-{number + 1}", 0) for number in range(SLOTS - len(ports))]
        for slot in self.slots:
            self._launch(slot)
        deadline = time.monotonic() + START_SECONDS
        while not all(slot.ready() for slot in self.slots):
            assert time.monotonic() < deadline, "\n".join(_tail(slot.log) for slot in self.slots)
            for slot in self.slots:
                assert slot.process is not None and slot.process.poll() is None, _tail(slot.log)
            await asyncio.sleep(0.05)
        self._supervisor = asyncio.create_task(self._supervise())

    def kill(self, slot: Slot) -> tuple[int, float, bool]:
        """SIGKILL a process and start its successor; return its pid, when, and if it was up."""
        process = slot.process
        assert process is not None
        was_ready = slot.ready()
        process.kill()
        at = time.time()
        process.wait()
        self.lives[process.pid].ended = at
        self._launch(slot)
        return process.pid, at, was_ready

    def end(self) -> None:
        """Kill every process."""
        if self._supervisor is not None:
            self._supervisor.cancel()
        for slot in self.slots:
            if slot.process is not None:
                slot.process.kill()
                slot.process.wait()

    async def stop(self) -> list[str]:
        """End all by SIGTERM; return the names of those that did not end well."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            self._supervisor = None
        running = [slot for slot in self.slots if slot.process is not None]
        for slot in running:
            assert slot.process is not None
            slot.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if all(slot.process is None or slot.process.poll() is not None for slot in running):
                break
            await asyncio.sleep(0.05)
        return [slot.name for slot in running if slot.process and slot.process.poll() != 0]

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(RESTART_PAUSE_SECONDS)
            for slot in self.slots:
                process = slot.process
                if process is None or (code := process.poll()) is None:
                    continue
                self.lives[process.pid].ended = at = time.time()
                note = Ended(slot.name, at, code, slot.ready(), _tail(slot.log))
                self.ended.append(note)
                self._launch(slot)

    def _launch(self, slot: Slot) -> None:
        slot.generation += 1
        slot.log = self.folder / f"{slot.name}-{slot.generation}.log"
        arguments = ["worker", "--concurrency", str(WORKER_CONCURRENCY)]
        if slot.port:
            arguments = ["service", "serve", "--no-gateway", "--grpc-port", str(slot.port)]
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": str(ROOT),
            # The service's socket is made here, so that nothing of a killed process stays.
            "TMPDIR": str(self.folder),
            LEDGER: str(self.ledger),
            "KNEO_SERV_DATABASE_URL": self.database_url,
            "KNEO_SERV_IMPORT_ALLOW": "tests.chaos.steps",
            "KNEO_SERV_WORKER_LEASE_SECONDS": f"{self.lease_seconds:g}",
            "KNEO_SERV_WORKER_CONCURRENCY": str(API_CONCURRENCY),
            "KNEO_SERV_REQUEST_LOGS": "false",
        }
        with slot.log.open("wb") as output:
            slot.process = subprocess.Popen(
                [sys.executable, "-m", "kneo_grpc", *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the driver, which then ends the processes itself.
                start_new_session=True,
            )
        pid = slot.process.pid
        self.lives[pid] = Life(pid, slot.log, time.time())


def _tail(path: Path, size: int = 2000) -> str:
    return path.read_text(errors="replace")[-size:]


def _free_ports(count: int) -> list[int]:
    """Ports that are free now. All are held until the last is found, so no two are the same."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
