"""Where the service is, as its user writes it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

_SCHEMES = {"http": 80, "https": 443, "grpc": None, "grpcs": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address. scheme: http, https, grpc or grpcs; prefix: path before /v1, no end slash.

    host is a file name and port is 0 for a Unix socket, which only gRPC reaches.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def tls(self) -> bool:
        """Tell whether the way is encrypted."""
        return self.scheme in ("https", "grpcs")

    @property
    def address(self) -> str:
        """The `host:port` or `unix:path` that gRPC takes."""
        if self.port == 0:
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}{self.prefix}"


def parse_target(text: str) -> Target:
    """Read `http://…`, `https://…`, `grpc://…`, `grpcs://…`, `unix:/path` or `host:port` (gRPC).

    Raises ValueError on anything else, and on credentials in the address.
    """
    if text.startswith("unix:"):
        return Target(scheme="grpc", host=text, port=0)
    parts = urlsplit(text if "://" in text else f"grpc://{text}")
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"{parts.scheme}:// is not known; use http, https, grpc or grpcs")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("an address has no credentials, query or fragment")
    port = parts.port or _SCHEMES[parts.scheme]
    if not parts.hostname or port is None:
        raise ValueError(f"{text!r} needs a host and a port")
    prefix = parts.path.rstrip("/")
    if prefix and parts.scheme.startswith("grpc"):
        raise ValueError(f"gRPC has no path: leave {prefix} out")
    return Target(scheme=parts.scheme, host=parts.hostname, port=port, prefix=prefix)


def require_header_text(api_key: str | None) -> None:
    """Raise ValueError unless the key can stand in a header."""
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("the API key has characters that a header cannot carry")
