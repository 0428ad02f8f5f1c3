"""What the gateway is told."""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from kneo_grpc.domain.errors import StartRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """What the gateway serves, and where.

    host: an IP address, or localhost for 127.0.0.1. port, tls_port: None means no such listener.
    upstreams: the service's processes, a Path for a Unix socket, else `IP:port`. descriptor: the
    compiled contract.
    services: full protobuf names, such as kneo.v1.RunService, that are offered as JSON.
    admin_port: on 127.0.0.1; None or 0 means none. admin_socket: Envoy's admin on a Unix socket.
    cors_origins: such as https://console.example.org; `*` allows all.
    trusted_hops: proxies before this one whose x-forwarded-for is believed.
    request_timeout: for one JSON call that may wait for a run; longer than the service's own
    longest wait. read_timeout: for one JSON call that only reads. Streams have none.
    key_rate, address_rate: calls a minute of one API key and from one address; 0 means any number.
    client_ca: PEM of who signs clients' certificates on the TLS port; client_required: refuse
    clients without one.
    max_streams: calls at once on one HTTP/2 connection. max_heap_bytes: beyond it Envoy refuses
    calls with 503.
    """

    host: str = "127.0.0.1"
    port: int | None = 8080
    tls_port: int | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    upstreams: tuple[Path | str, ...]
    descriptor: Path
    services: tuple[str, ...]
    admin_port: int | None = None
    admin_socket: Path | None = None
    max_body_bytes: int = 1024 * 1024
    max_response_bytes: int = 16 * 1024 * 1024
    loopback_hosts_only: bool = False
    cors_origins: tuple[str, ...] = ()
    trusted_hops: int = 0
    request_timeout: timedelta = timedelta(seconds=130)
    read_timeout: timedelta = timedelta(seconds=30)
    key_rate: int = 0
    address_rate: int = 0
    client_ca: Path | None = None
    client_required: bool = False
    stream_idle_timeout: timedelta = timedelta(minutes=5)
    drain: timedelta = timedelta(seconds=10)
    max_connections: int = 10_000
    max_streams: int = 256
    max_heap_bytes: int = 1024**3
    threads: int = 2
    access_log: bool = False

    @property
    def address(self) -> str:
        """The IP address to listen on. Raises StartRefused when host is a name."""
        host = "127.0.0.1" if self.host == "localhost" else self.host.strip("[]")
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            raise StartRefused(f"the gateway's host must be an IP address, not {host!r}") from None

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports to listen on."""
        return tuple(port for port in (self.port, self.tls_port) if port is not None)


class LocalCertificate(NamedTuple):
    """PEM files. ca: what clients are to trust."""

    certificate: Path
    key: Path
    ca: Path
