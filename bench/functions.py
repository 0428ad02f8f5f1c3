"""The steps that the benchmark's workflows execute."""

import base64
import json
import os
import random
import time
from pathlib import Path

from kneo_grpc.ports.code import call_context

LEDGER = "KNEO_BENCH_LEDGER"
"""The environment variable that names the folder of the ledger and of the gate."""

LONG_SECONDS = 2.0

PAGE_BYTES = 4096
PAGE_LAST = "the last page"


def first(text: str) -> str:
    """Note that it was called."""
    return _noted("first", text)


def second(text: str) -> str:
    """Note that it was called."""
    return _noted("second", text)


def third(text: str) -> str:
    """Note that it was called, then wait while the gate is closed."""
    done = _noted("third", text)
    gate = _folder() / "gate"
    while gate.exists():
        time.sleep(0.01)
    return done


def same(text: str) -> str:
    """Return the text."""
    return text


def sleep_second(text: str) -> str:
    """Sleep for a second."""
    time.sleep(1.0)
    return text


def page(text: str) -> str:
    """Return another 4 KiB. text: how many pages there are to be, and the number of this one;
    base64 of random bytes comes after it, which no database makes smaller.
    """
    pages, number = map(int, text.split(maxsplit=2)[:2])
    number += 1
    head = f"{pages} {number} {PAGE_LAST if number == pages else ''} "
    noise = base64.b64encode(random.Random(number).randbytes(PAGE_BYTES)).decode()
    return (head + noise)[:PAGE_BYTES]


def sleep_long(text: str) -> str:
    """Sleep as a step does that waits for something outside."""
    time.sleep(LONG_SECONDS)
    return text


def burn_long(text: str) -> str:
    """Use the CPU without a pause."""
    end = time.monotonic() + LONG_SECONDS
    while time.monotonic() < end:
        pass
    return text


def _noted(step: str, text: str) -> str:
    call = call_context.get()
    line = {
        "at": time.time(),
        "run": call.run_id,
        "step": step,
        "key": call.idempotency_key,
        "attempt": call.attempt,
        "pid": os.getpid(),
    }
    ledger = os.open(_folder() / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, (json.dumps(line) + "\n").encode())
    finally:
        os.close(ledger)
    return f"{text} {step}"


def _folder() -> Path:
    return Path(os.environ[LEDGER])
