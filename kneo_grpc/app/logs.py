"""Log lines as JSON on standard output, one per record."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """time, level, logger and message first, then what the caller added with `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
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
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Send our loggers' records to standard output (or `stream`), and nothing twice; of other
    libraries warnings and worse.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    others = logging.getLogger()
    others.handlers[:] = [handler]
    others.setLevel(logging.WARNING)
    ours = logging.getLogger("kneo_grpc")
    ours.handlers[:] = [handler]
    ours.setLevel(level)
    ours.propagate = False
    # No line tells where in the code it was made, so that need not be found out for each of them.
    logging._srcfile = None  # as "Optimization" in the documentation of logging says
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
