"""Users' code that hangs holds up nobody else, as long as there are threads left."""

import asyncio
import threading

import pytest

from kneo_grpc.platform.threads import StepThreads

SECONDS = 5


async def test_two_calls_at_once_do_not_share_the_one_idle_thread() -> None:
    for _ in range(50):
        threads, gate = StepThreads(2), threading.Event()
        await threads.run(str, "makes a thread, which then waits for work")
        stuck = asyncio.ensure_future(threads.run(gate.wait, SECONDS))
        quick = asyncio.ensure_future(threads.run(str, "done"))
        assert await asyncio.wait_for(quick, SECONDS) == "done"
        gate.set()
        assert await stuck


async def test_a_thread_that_is_given_up_is_replaced_for_the_call_that_waits() -> None:
    threads, gate, begun = StepThreads(1), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        gate.wait(4 * SECONDS)

    stuck = asyncio.ensure_future(threads.run(hang))
    await asyncio.to_thread(begun.wait, SECONDS)
    waiting = asyncio.ensure_future(threads.run(str, "done"))
    await asyncio.wait({waiting}, timeout=0)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert threads.abandoned == 1
    assert await asyncio.wait_for(waiting, SECONDS) == "done"
    gate.set()
