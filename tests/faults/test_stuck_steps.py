"""Users' code that hangs holds up nobody else, as long as there are threads left."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from kneo_grpc.platform.threads import StepThreads, ThreadsExhausted

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


class Refusal:
    """The operating system starts no further thread, as often as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self._start = threading.Thread.start
        monkeypatch.setattr(threading.Thread, "start", lambda thread: self.start(thread))

    def start(self, thread: threading.Thread) -> None:
        if thread.name == "kneo-step" and self.left:
            self.left -= 1
            raise RuntimeError("can't start new thread")
        self._start(thread)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 # other threads do it
            await asyncio.sleep(0.001)


async def test_a_thread_that_cannot_be_started_fails_one_call_and_no_later_one(monkeypatch) -> None:
    threads, refusal = StepThreads(1), Refusal(monkeypatch)
    refusal.left = 1
    with pytest.raises(ThreadsExhausted, match="can't start new thread"):
        await asyncio.wait_for(threads.run(str, "lost"), SECONDS)
    assert await asyncio.wait_for(threads.run(str, "done"), SECONDS) == "done"


async def test_a_call_that_gets_no_thread_of_its_own_waits_for_another_s_end(monkeypatch) -> None:
    threads, gate, refusal = StepThreads(2), threading.Event(), Refusal(monkeypatch)
    busy = asyncio.ensure_future(threads.run(gate.wait, SECONDS))
    await asyncio.wait({busy}, timeout=0)
    refusal.left = 1
    waiting = asyncio.ensure_future(threads.run(str, "done"))
    await until(lambda: refusal.left == 0)
    gate.set()
    assert await asyncio.wait_for(waiting, SECONDS) == "done"
    assert await busy
    both = threading.Barrier(2)
    assert sorted(await asyncio.gather(*(threads.run(both.wait, SECONDS) for _ in "ab"))) == [0, 1]


async def test_threads_that_hang_are_not_replaced_for_ever() -> None:
    threads, gate = StepThreads(1, abandoned_max=2), threading.Event()
    for _ in range(2):
        begun = threading.Event()

        def hang(begun: threading.Event = begun) -> None:
            begun.set()
            gate.wait(4 * SECONDS)

        stuck = asyncio.ensure_future(threads.run(hang))
        await until(begun.is_set)
        stuck.cancel()
        await asyncio.wait({stuck})
    with pytest.raises(ThreadsExhausted, match="2 threads hang"):
        await asyncio.wait_for(threads.run(str, "lost"), SECONDS)
    gate.set()
    await until(lambda: threads.abandoned == 0)
    assert await asyncio.wait_for(threads.run(str, "done"), SECONDS) == "done"


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
