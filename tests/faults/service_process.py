"""The service as a real child process, for tests that kill it, and what it leaves behind."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc

from kneo_grpc._gen.kneo.v1 import (
    health_pb2,
    health_pb2_grpc,
    human_task_pb2_grpc,
    queue_pb2_grpc,
    run_pb2,
    run_pb2_grpc,
)
from kneo_grpc.ports.store import Store
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.sqlite import SqliteStore
from tests.ports import free_port
from tests.waiting import until

ROOT = Path(__file__).parents[2]
BLOCKED_COMMITS = Path(__file__).with_name("blocked_commits.py")
DEADLINE_SECONDS = 20
STEPS = ("one", "two", "three")

CODE = """
import fcntl, json, os
from pathlib import Path
from kneo_grpc.ports.code import call_context

FOLDER = Path(__file__).parent

def note(**line):
    ledger = os.open(FOLDER / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, (json.dumps(line) + "\\n").encode())
    os.fsync(ledger)
    os.close(ledger)

def pass_gate(name, run, text):
    if text.split()[:2] == ["to", name]:
        note(run=run, reached=name)
        with (FOLDER / f"gate-{name}").open() as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)

def work(name, text):
    call = call_context.get()
    note(run=call.run_id, step=name, key=call.idempotency_key, attempt=call.attempt)
    pass_gate(name, call.run_id, text)
    return f"{text} {name}"

def one(text):
    return work("one", text)

def two(text):
    return work("two", text)

def three(text):
    return work("three", text)
"""
"""Each step writes a line before it works. The run of the input "to two" waits in step two while
the gate of that name is closed; other runs pass.
"""

SPEC = {
    "version": "v1",
    "agent": {"name": "root"},
    "workflow": {
        "type": "sequential",
        "name": "counted",
        "steps": [{"id": name, "kind": "function", "ref": name} for name in STEPS],
    },
    "components": {
        "functions": {name: {"implementation": f"kneo_fault_code.{name}"} for name in STEPS}
    },
}


@dataclass
class Gate:
    """Holds back a step of the users' code, or a commit of blocked_commits.py, while closed."""

    path: Path
    _file: Any = None

    def close(self) -> None:
        self._file = self.path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def open(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass
class Calls:
    """Stubs to a service process."""

    channel: grpc.aio.Channel
    runs: Any
    tasks: Any
    health: Any
    queue: Any

    async def ready_again(self) -> None:
        """Wait until the service is ready after an outage."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await self.health.GetReadiness(health_pb2.GetReadinessRequest())
                    assert answer.ok
                    return
                await asyncio.sleep(0.05)

    async def completed(self, run_id: str) -> None:
        """Wait until a run is stored and has completed."""
        status = "absent"
        deadline = time.monotonic() + DEADLINE_SECONDS
        while status != "completed":
            assert time.monotonic() < deadline, f"the run is stuck: {status}"
            await asyncio.sleep(0.02)
            try:
                status = (await self.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id))).status
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND
                status = "absent"

    async def all_completed(self) -> None:
        """Wait until every run that is stored has completed."""
        statuses: Counter[str] = Counter()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            listed = await self.runs.ListRuns(run_pb2.ListRunsRequest(limit=200))
            statuses = Counter(run.status for run in listed.runs)
            if set(statuses) <= {"completed"}:
                return
            assert time.monotonic() < deadline, f"runs are stuck: {dict(statuses)}"
            await asyncio.sleep(0.02)


@dataclass
class ServiceProcess:
    """A child process. Its two outputs go to files, so that no pipe can hold it up."""

    process: "subprocess.Popen[bytes]"
    port: int
    stdout: Path
    stderr: Path

    async def ready(self) -> "ServiceProcess":
        """Wait until it listens, or looks for work."""

        def up() -> bool:
            assert self.process.poll() is None, self.output()
            printed = self.stdout.read_text()
            return "service ready" in printed or "worker ready" in printed

        await until(up)
        return self

    def output(self) -> str:
        """All that it printed."""
        return self.stdout.read_text() + self.stderr.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        lines = self.stdout.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more when this returns."""
        self.process.kill()
        assert self.process.wait(DEADLINE_SECONDS) == -signal.SIGKILL

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_code(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Wait for it to end by itself."""
        await until(lambda: self.process.poll() is not None, seconds)
        return self.process.returncode

    @contextlib.asynccontextmanager
    async def calls(self) -> AsyncIterator[Calls]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            yield Calls(
                channel=channel,
                runs=run_pb2_grpc.RunServiceStub(channel),
                tasks=human_task_pb2_grpc.HumanTaskServiceStub(channel),
                health=health_pb2_grpc.HealthServiceStub(channel),
                queue=queue_pb2_grpc.QueueServiceStub(channel),
            )


@dataclass
class Site:
    """A folder with users' code and a database; services run on it one after the other.

    database_url: of PostgreSQL, or "" for the SQLite file. file: that one, where it does not lie
    in the folder itself.
    """

    folder: Path
    database_url: str = ""
    file: Path | None = None
    gates: list[Gate] = field(default_factory=list)
    services: list[ServiceProcess] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        (self.folder / "kneo_fault_code.py").write_text(CODE)

    @property
    def state_path(self) -> Path:
        return self.file or self.folder / "runs.sqlite"

    def start(
        self,
        *options: str,
        hold_commits: bool = False,
        port: int = 0,
        **variables: str,
    ) -> ServiceProcess:
        """Start a service. options: of the command. hold_commits: by blocked_commits.py.
        variables: KNEO_SERV_… without prefix.
        """
        port = port or free_port()
        program = [str(BLOCKED_COMMITS)] if hold_commits else ["-m", "kneo_grpc"]
        arguments = ["service", "serve", "--no-gateway", "--grpc-port", str(port), *options]
        return self.launch(*program, *arguments, port=port, **variables)

    def start_worker(self, *options: str, **variables: str) -> ServiceProcess:
        """Start a worker, which serves nobody."""
        return self.launch("-m", "kneo_grpc", "worker", *options, **variables)

    async def crew(
        self, workers: int, **variables: str
    ) -> tuple[ServiceProcess, list[ServiceProcess]]:
        """A service that executes nothing, and workers; all are ready."""
        started = [self.start("--no-worker", **variables)]
        started += [self.start_worker(**variables) for _ in range(workers)]
        api, *others = [await process.ready() for process in started]
        return api, others

    def launch(self, *arguments: str, port: int = 0, **variables: str) -> ServiceProcess:
        """Start Python with these arguments."""
        number = len(self.services)
        stdout, stderr = self.folder / f"stdout-{number}", self.folder / f"stderr-{number}"
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": f"{self.folder}:{ROOT}",
            # The service's socket is made here, so that nothing of a killed process stays.
            "TMPDIR": str(self.folder),
            "KNEO_SERV_IMPORT_ALLOW": "kneo_fault_code,tests.faults.acts",
            "KNEO_SERV_STATE_PATH": str(self.state_path),
            "KNEO_SERV_DATABASE_URL": self.database_url,
            # Longer than a test: no heartbeat and no expiry comes between.
            "KNEO_SERV_WORKER_LEASE_SECONDS": "120",
            **{f"KNEO_SERV_{name}": value for name, value in variables.items()},
        }
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        service = ServiceProcess(process, port, stdout, stderr)
        self.services.append(service)
        return service

    def close_gate(self, name: str) -> Gate:
        gate = Gate(self.folder / f"gate-{name}")
        gate.close()
        self.gates.append(gate)
        return gate

    def ledger(self, step: str | None = None) -> list[dict[str, Any]]:
        """The lines that the users' code (and blocked_commits.py) wrote, in order."""
        path = self.folder / "ledger"
        text = path.read_text() if path.exists() else ""
        # A last line without its end is still being written.
        lines = [json.loads(line) for line in text.split("\n")[:-1]]
        return [line for line in lines if step is None or line.get("step") == step]

    async def ledger_line(self, **wanted: Any) -> dict[str, Any]:
        """Wait for a line with these values."""

        def found() -> dict[str, Any] | None:
            lines = (line for line in self.ledger() if wanted.items() <= line.items())
            return next(lines, None)

        line = await until(found)
        assert line is not None
        return line

    async def new_ledger_line(self, **wanted: Any) -> dict[str, Any]:
        """Wait for a line with these values of a run of which this gave none yet."""

        def found() -> dict[str, Any] | None:
            lines = (line for line in self.ledger() if wanted.items() <= line.items())
            return next((line for line in lines if line["run"] not in self.seen), None)

        line: dict[str, Any] = await until(found)
        self.seen.add(line["run"])
        return line

    @contextlib.asynccontextmanager
    async def reader(self) -> AsyncIterator[Store]:
        """The store as another process sees it."""
        store: Store = (
            PostgresStore(self.database_url)
            if self.database_url
            else SqliteStore(self.state_path, readonly=True)
        )
        await store.start()
        try:
            yield store
        finally:
            await store.stop()

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table, as they are stored."""
        query = f"select * from {table}"
        if self.database_url:
            connection = await asyncpg.connect(self.database_url)
            found = [dict(row) for row in await connection.fetch(query)]
            await connection.close()
            return found
        with contextlib.closing(sqlite3.connect(self.state_path)) as file:
            file.row_factory = sqlite3.Row
            return [dict(row) for row in file.execute(query)]

    async def sessions_ended(self) -> None:
        """Wait until PostgreSQL is done with what a killed process had sent."""
        if not self.database_url:
            return
        connection = await asyncpg.connect(self.database_url)
        deadline = time.monotonic() + DEADLINE_SECONDS
        query = (
            "select count(*) from pg_stat_activity "
            "where application_name like 'kneo%' and datname = current_database()"
        )
        while await connection.fetchval(query):
            assert time.monotonic() < deadline, "sessions of the killed service are still there"
            await asyncio.sleep(0.02)
        await connection.close()

    def end(self) -> None:
        for gate in self.gates:
            gate.open()
        for service in self.services:
            if service.process.poll() is None:
                service.process.kill()
            service.process.wait(DEADLINE_SECONDS)


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])
