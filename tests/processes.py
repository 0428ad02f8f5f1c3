"""The command and the service as processes of their own, as their users start them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

WAIT_SECONDS = 60


def plain_environment(home: Path, **more: str) -> dict[str, str]:
    """What a shell has, and nothing of ours that this process's own shell may have."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), **more}


def kneo(*words: str, folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a folder, which is its home too."""
    return subprocess.run(
        [sys.executable, "-m", "kneo_grpc", *words],
        cwd=folder,
        env=plain_environment(folder, **env),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


@contextmanager
def serving(
    *words: str, folder: Path, port: int, **env: str
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Run Python with these words until it serves HTTP on a port; yield the process and its log.

    At the end it must stop well, unless it was killed.
    """
    log = folder / f"service-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=plain_environment(folder, **env),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_ready(process, f"http://127.0.0.1:{port}/readyz", log)
        yield process, log
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(WAIT_SECONDS)
    assert status in (0, -signal.SIGKILL), log.read_text()


def _wait_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the service is not ready: {log.read_text()}")
