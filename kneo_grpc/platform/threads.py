"""Threads for the users' synchronous code, so that nothing of it blocks the event loop."""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any


class StepThreads:
    """A bounded set of threads. A thread whose caller gave up is abandoned, counted and replaced.

    size: how many calls run at once; further ones wait.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._idle = 0
        self._threads = 0
        self.abandoned = 0

    async def run(self, code: Callable[..., Any], *arguments: Any) -> Any:
        """Call code in a thread, in the caller's context. When the caller is cancelled the thread
        is
        left to itself, because Python cannot stop it; its result is thrown away.
        """
        call = _Call(code, arguments, asyncio.get_running_loop())
        with self._lock:
            self._calls.put(call)
            self._waiting += 1
            self._add_thread()
        try:
            return await call.future
        except asyncio.CancelledError:
            with self._lock:
                if call.state == "running":
                    call.state = "abandoned"
                    self._threads -= 1
                    self.abandoned += 1
                    self._add_thread()
                elif call.state == "waiting":
                    call.state = "dropped"
            raise

    def _add_thread(self) -> None:
        """Start a thread, under the lock, when more calls wait than idle threads will take."""
        if self._waiting > self._idle and self._threads < self._size:
            self._threads += 1
            self._idle += 1
            threading.Thread(target=self._work, daemon=True, name="kneo-step").start()

    def _work(self) -> None:
        """Take calls for ever; a thread counts as idle from its start and after each call."""
        while True:
            call = self._calls.get()
            with self._lock:
                self._waiting -= 1
                if call.state == "dropped":
                    continue
                self._idle -= 1
                call.state = "running"
            result, error = call.execute()
            with self._lock:
                abandoned = call.state == "abandoned"
                call.state = "done"
                if abandoned:
                    self.abandoned -= 1
                    return
                self._idle += 1
            call.report(result, error)


class _Call:
    """One call on its way. state: waiting, running, abandoned, dropped or done."""

    def __init__(
        self,
        code: Callable[..., Any],
        arguments: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self.state = "waiting"
        self._code = code
        self._arguments = arguments
        self._loop = loop
        self._context = contextvars.copy_context()

    def execute(self) -> tuple[Any, BaseException | None]:
        try:
            return self._context.run(self._code, *self._arguments), None
        except BaseException as error:  # also SystemExit: user code must not end the thread
            return None, error

    def report(self, result: Any, error: BaseException | None) -> None:
        def settle() -> None:
            if self.future.done():
                return
            if error is None:
                self.future.set_result(result)
            elif isinstance(error, (StopIteration, SystemExit, KeyboardInterrupt)):
                # A future cannot carry these; their name is what the run's error shows.
                self.future.set_exception(CodeExit(type(error).__name__, str(error)))
            else:
                self.future.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:
            # The loop was closed: the process is ending and nobody waits for the result.
            return


class CodeExit(Exception):
    """User code raised an exception that ends threads or iterations. name: its class."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
