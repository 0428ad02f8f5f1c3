"""Small HTTP questions: is the gateway there, what does Envoy's admin interface say."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.ports.clock import Clock

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PAUSE = timedelta(milliseconds=50)
_ANSWER_SECONDS = 2.0


async def wait_ready(
    url: str, *, deadline: timedelta, clock: Clock, ca: Path | None = None
) -> None:
    """Ask a URL, such as http://127.0.0.1:8080/livez, until it answers 200.

    deadline: counted from now. ca: trusted beside nothing else, for https.
    Raises StartRefused with the last answer when the deadline passes.
    """
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    last = "no answer"
    end = clock.now() + deadline
    while clock.now() < end:
        try:
            connecting = asyncio.open_connection(host, port, ssl=tls)
            async with asyncio.timeout(_ANSWER_SECONDS):
                status, _ = await ask(await connecting, "GET", parts.path or "/", parts.netloc)
        except (OSError, TimeoutError, ValueError) as error:
            last = str(error) or type(error).__name__
        else:
            if status == 200:
                return
            last = f"HTTP status {status}"
        await clock.sleep(_PAUSE)
    raise StartRefused(f"{url} was not ready within {deadline.total_seconds():g} s: {last}")


async def ask(connection: Connection, method: str, path: str, host: str) -> tuple[int, bytes]:
    """Send one request without a body, and return the status and the body; closes the connection.

    Raises OSError or ValueError when no HTTP answer comes back.
    """
    reader, writer = connection
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("ascii"))
        await writer.drain()
        answer = await reader.read()
    finally:
        writer.close()
    lines, _, body = answer.partition(b"\r\n\r\n")
    words = lines.split(maxsplit=2)
    if len(words) < 2:
        raise ValueError("the connection was closed without an answer")
    return int(words[1]), body
