"""A certificate for this machine's own use, signed by a certificate authority made here."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kneo_grpc.app.gateway.settings import LocalCertificate
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.integrations.clock import SystemClock
from kneo_grpc.ports.clock import Clock


def ensure_local_certificate(
    folder: Path, hosts: Sequence[str], *, clock: Clock | None = None
) -> LocalCertificate:
    """Return a certificate for these hosts (names and IP addresses), made where there is none.

    It is reused while it fits the hosts and lasts 30 days more; the authority stays the same over
    renewals, so that clients go on trusting it. Folder and keys are readable by their owner only.
    Raises StartRefused when the extra is missing or the folder cannot be written.
    """
    now = (clock or SystemClock()).now()
    try:
        # cryptography is an extra, and slow to import; only a process with its own TLS needs it.
        from kneo_grpc.app.gateway import issuing
    except ImportError:
        raise StartRefused(
            "a local certificate needs cryptography: pip install 'kneo-grpc[gateway]'"
        ) from None
    files = LocalCertificate(folder / "server.crt", folder / "server.key", folder / "ca.crt")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            issuing.ensure(files, folder / "ca.key", tuple(hosts), now)
    except OSError as error:
        raise StartRefused(
            f"the local certificate cannot be kept in {folder}: {error.strerror}"
        ) from None
    return files


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock: two processes that start at once must not mix their pairs."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
