"""Where the service may listen: closed by default."""

import ipaddress
import logging

from kneo_grpc.app.settings import Settings
from kneo_grpc.domain.errors import StartRefused

logger = logging.getLogger("kneo_grpc.app")


def is_loopback(host: str) -> bool:
    """Tell whether an address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(settings: Settings, host: str, *, plaintext: bool) -> None:
    """Refuse to be open to a network by accident. plaintext: a listener without TLS is wanted.

    Raises StartRefused; logs one line where the service runs open or in plain text.
    """
    if is_loopback(host):
        if not settings.keys:
            logger.warning(
                "no API keys are in use: everybody on this machine has full access",
                extra={"host": host},
            )
        return
    if not settings.keys:
        raise StartRefused(
            f"binding to {host} without API keys is refused: set KNEO_SERV_API_KEYS (and not "
            "KNEO_SERV_AUTH_ENABLED=false), or bind to 127.0.0.1"
        )
    if plaintext and not settings.allow_plaintext:
        raise StartRefused(
            f"plain HTTP on {host} is refused: give --tls-port only, or set "
            "KNEO_SERV_ALLOW_PLAINTEXT=true where a proxy in front terminates TLS"
        )
    if plaintext:
        logger.warning("serving plain HTTP beyond this machine", extra={"host": host})
