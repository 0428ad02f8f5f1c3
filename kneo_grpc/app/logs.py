"""Log lines as JSON on standard output, one per record, without secrets."""

import asyncio
import contextlib
import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

import orjson

from kneo_grpc.domain.redaction import Redactor

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

# What an exception says may name files; the lines of its traceback that show code keep theirs.
_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.@+-]+/)+[\w.@+-]*")


class JsonFormatter(logging.Formatter):
    """time, level, logger and message first, then what the caller added with `extra`."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        super().__init__()
        self._redactor = redactor or Redactor()

    def format(self, record: logging.LogRecord) -> str:
        """Return one line. What cannot be told safely is left out, never told as it is."""
        try:
            return self._line(record)
        except Exception as error:  # logging itself would print the record's arguments
            told = {"message": "a log line could not be made", "error": type(error).__name__}
            return json.dumps({"level": "error", "logger": record.name, **told})

    def _line(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in vars(record).items():
            if key not in _STANDARD:
                line[key] = value
        if record.exc_info:
            line["traceback"] = _scrubbed(self.formatException(record.exc_info))
        text = _json(line)
        if not self._redactor.suspicious(text):
            return text.decode()
        return _json(self._redactor.data(line)).decode()


class TurnHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of the event loop together: each write lets other threads go
    first. What other threads say, and warnings, are written at once.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line for the end of the turn, or write it after those that are kept."""
        self._lines.append(self.format(record))
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None or record.levelno >= logging.WARNING:
            self.flush()
        elif len(self._lines) == 1:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is kept."""
        with self._handling():
            if not self._lines:
                return
            text = "\n".join(self._lines) + self.terminator
            self._lines.clear()
            try:
                self.stream.write(text)
                self.stream.flush()
            except Exception:  # a full disk or a closed pipe must not end what is logged about
                self.handleError(logging.makeLogRecord({"msg": "lines of the log"}))

    @contextlib.contextmanager
    def _handling(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _json(line: object) -> bytes:
    """Return ASCII, whatever the encoding of the output is."""
    try:
        text = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # Lone surrogates and huge numbers.
        text = b""
    return text if text and text.isascii() else json.dumps(line, default=str).encode()


def _scrubbed(traceback: str) -> str:
    """Return a traceback whose exceptions' own texts name no path; its frames still do."""
    return "\n".join(
        line if line.startswith("  ") else _PATH.sub("[PATH]", line)
        for line in traceback.split("\n")
    )


def _tells_no_header(record: logging.LogRecord) -> bool:
    """Drop a line of gRPC with the value of a header that is no UTF-8: it may be a key."""
    return not str(record.msg).startswith("Invalid encoding on")


def configure_logs(
    level: str, stream: TextIO | None = None, *, redactor: Redactor | None = None
) -> None:
    """Send our loggers' records to standard output (or `stream`), and nothing twice; of other
    libraries warnings and worse. redactor: knows the process's own secrets.
    """
    handler = TurnHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(redactor))
    others = logging.getLogger()
    others.handlers[:] = [handler]
    others.setLevel(logging.WARNING)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_tells_no_header)
    ours = logging.getLogger("kneo_grpc")
    ours.handlers[:] = [handler]
    ours.setLevel(level)
    ours.propagate = False
    # Where the audit trail is exported, no line of it depends on the level.
    logging.getLogger("kneo_grpc.audit").setLevel(logging.INFO)
    # No line tells where in the code it was made, so that need not be found out for each of them.
    logging._srcfile = None  # as "Optimization" in the documentation of logging says
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
