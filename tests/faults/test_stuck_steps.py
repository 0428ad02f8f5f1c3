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


async def test_as_many_calls_run_at_once_as_there_may_be_threads() -> None:
    threads, everybody = StepThreads(16), threading.Barrier(16)
    for _ in range(20):
        # Each waits for all others: with one thread fewer at work, none of them would end.
        calls = [threads.run(everybody.wait, SECONDS) for _ in range(16)]
        assert sorted(await asyncio.gather(*calls)) == list(range(16))
        assert await asyncio.gather(*(threads.run(int, n) for n in range(200))) == [*range(200)]


async def test_each_call_of_many_is_answered_once_whoever_gives_up_meanwhile() -> None:
    threads, counts = StepThreads(4), [0] * 2_000

    def count(number: int) -> int:
        counts[number] += 1
        return number

    calls = [asyncio.ensure_future(threads.run(count, number)) for number in range(2_000)]
    for call in calls[::7]:
        await asyncio.sleep(0)
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for number, answer in enumerate(answers):
        assert answer == number or isinstance(answer, asyncio.CancelledError)
        assert counts[number] <= 1
    assert await threads.run(int, 3) == 3
