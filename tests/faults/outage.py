"""Takes PostgreSQL away from running services, and gives it back."""

import os
import signal
import subprocess
import sys
import time

from tests.faults.service_process import ROOT
from tests.postgres import Cluster


def stop_immediately(server: Cluster) -> None:
    """Stop without a checkpoint: the server has to recover when it starts."""
    assert server.process is not None
    server.process.send_signal(signal.SIGQUIT)
    server.process.wait(20)
    server.process = None


def start_again(server: Cluster) -> None:
    """Start from a process without gRPC, whose threads do not bear the fork() in it."""
    program = (
        "import sys; from pathlib import Path; from tests.postgres import Cluster; "
        "Cluster(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])).start()"
    )
    arguments = [str(server.binaries), str(server.folder), str(server.port)]
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, check=True)


def stop_for_good(server: Cluster) -> None:
    """Stop what start_again started: a child of nobody, known by its file."""
    file = server.folder / "data" / "postmaster.pid"
    if server.process is None and file.exists():
        os.kill(int(file.read_text().split()[0]), signal.SIGQUIT)
        deadline = time.monotonic() + 20
        while file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
