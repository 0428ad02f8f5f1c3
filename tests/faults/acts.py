"""Steps that are slow, that hang, or that kill their process; the services under test run them.

kneo_fault_code is what Site writes: its ledger and its gates lie in the site's folder, which is
also the working directory of every service.
"""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import kneo_fault_code

from kneo_grpc.ports.code import call_context
from tests.faults.specs import APPOINTMENT, CURE


def note(step: str, text: str, what: str = "begun") -> int:
    """Write a line; return the attempt."""
    call = call_context.get()
    facts = {"key": call.idempotency_key, "attempt": call.attempt, "pid": os.getpid()}
    facts |= {"at": time.monotonic(), "clock": time.time()}
    line = {"run": call.run_id, "step": step, "what": what, "text": text}
    kneo_fault_code.note(**line, **facts)
    return call.attempt


def gated(name: str, text: str) -> str:
    note(name, text)
    kneo_fault_code.pass_gate(name, call_context.get().run_id, text)
    return f"{text} {name}"


def one(text: str) -> str:
    return gated("one", text)


def two(text: str) -> str:
    return gated("two", text)


def three(text: str) -> str:
    return gated("three", text)


def signed(text: str) -> str:
    """Tell in the output which attempt it is of."""
    attempt = note("signed", text)
    kneo_fault_code.pass_gate("signed", call_context.get().run_id, text)
    return f"{text} by {attempt}"


def brief(text: str) -> str:
    note("brief", text)
    time.sleep(0.3)
    note("brief", text, "done")
    return text


async def naps(text: str) -> str:
    note("naps", text)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note("naps", text, "interrupted")
        raise
    return text


async def meets(text: str) -> str:
    """Return at the moment that the file says, plus as many milliseconds as the text does."""
    note("meets", text)
    while (base := appointment()) is None:  # noqa: ASYNC110 # another process makes the file
        await asyncio.sleep(0.05)
    await asyncio.sleep(base + int(text) / 1000 - time.monotonic())
    return text


async def waits(text: str) -> str:
    """Return once there is an appointment."""
    note("waits", text)
    while appointment() is None:  # noqa: ASYNC110 # another process makes the file
        await asyncio.sleep(0.05)
    return f"{text} waits"


def appointment() -> float | None:
    file = Path(APPOINTMENT)
    return float(file.read_text()) if file.exists() else None


def deadly(text: str) -> str:
    """Kill this process, until there is a cure."""
    note("deadly", text)
    if Path(CURE).exists():
        return f"{text} survived"
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
    return text


def hangs(text: str) -> str:
    note("hangs", text)
    threading.Event().wait()
    return text


def fail_first(text: str) -> str:
    """Fail in the first attempt of a run and in no later one."""
    if note("fail_first", text) == 1:
        raise ValueError("not yet")
    return text
