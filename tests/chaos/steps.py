"""The steps that run under faults: each writes down that it began and that it ended.

A step's output is its input with its own name, attempt and nonce added, so that the stored outputs
of a run tell which executions were recorded, and in which order.
"""

import asyncio
import json
import os
import random
import secrets
import time
from functools import cache

from kneo_grpc.ports.code import CallContext, call_context

LEDGER = "KNEO_CHAOS_LEDGER"
"""The environment variable that names the ledger."""

NAP_SECONDS = (0.02, 0.15)
NONCE_BYTES = 6
STEADY_ATTEMPT = 3
FAILING_SHARE = 0.6


@cache
def _ledger() -> int:
    return os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def _note(what: str, call: CallContext, step: str, nonce: str, **facts: str) -> None:
    """Append a line in one write: it is whole or absent, also when the process is killed."""
    line = {
        "what": what,
        "time": time.time(),
        "run": call.run_id,
        "step": step,
        "path": call.step_path,
        "key": call.idempotency_key,
        "attempt": call.attempt,
        "pid": os.getpid(),
        "nonce": nonce,
        **facts,
    }
    os.write(_ledger(), (json.dumps(line) + "\n").encode())


def _begin(step: str, text: str) -> tuple[CallContext, str, float]:
    call, nonce = call_context.get(), secrets.token_hex(NONCE_BYTES)
    _note("start", call, step, nonce, text=text)
    return call, nonce, random.uniform(*NAP_SECONDS)


def _end(step: str, text: str, call: CallContext, nonce: str) -> str:
    _note("end", call, step, nonce)
    return f"{text}|{step}:{call.attempt}:{nonce}"


def _in_thread(step: str, text: str) -> str:
    call, nonce, nap = _begin(step, text)
    time.sleep(nap)
    return _end(step, text, call, nonce)


async def _in_loop(step: str, text: str) -> str:
    call, nonce, nap = _begin(step, text)
    await asyncio.sleep(nap)
    return _end(step, text, call, nonce)


def one(text: str) -> str:
    """Work in a thread."""
    return _in_thread("one", text)


async def two(text: str) -> str:
    """Work in the event loop."""
    return await _in_loop("two", text)


def three(text: str) -> str:
    """Work in a thread."""
    return _in_thread("three", text)


async def four(text: str) -> str:
    """Work in the event loop."""
    return await _in_loop("four", text)


async def shaky(text: str) -> str:
    """Fail now and then, but never from the third attempt on."""
    call, nonce, nap = _begin("shaky", text)
    await asyncio.sleep(nap)
    if call.attempt < STEADY_ATTEMPT and random.random() < FAILING_SHARE:
        _note("failed", call, "shaky", nonce)
        raise RuntimeError("the step is shaky")
    return _end("shaky", text, call, nonce)
