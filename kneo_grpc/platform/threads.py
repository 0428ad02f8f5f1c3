"""Threads for the users' synchronous code, so that nothing of it blocks the event loop."""

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("kneo_grpc.steps")

ABANDONED_MAX = 1_000


class ThreadsExhausted(Exception):
    """No thread can be had for a step; a later try may get one."""


class StepThreads:
    """A bounded set of threads. A thread whose caller gave up is abandoned, counted and replaced;
    when its call does end it is one of them again, where one is missing.

    size: how many calls run at once; further ones wait. abandoned_max: as long as so many are
    abandoned none is replaced, and without any other thread calls fail.

    Most calls are short, so waking a thread costs more than what it does. One thread is woken at a
    time; before it executes a call it wakes the next where further calls wait. So a call waits for
    no other's end, and a thread that is quick takes many.
    """

    def __init__(self, size: int, *, abandoned_max: int = ABANDONED_MAX) -> None:
        self._size = size
        self._abandoned_max = abandoned_max
        self._calls: deque[_Call] = deque()
        self._lock = threading.Lock()
        # The last one to sleep is the first to be woken: its caches are warm.
        self._asleep: list[threading.Lock] = []
        self._waking = False
        self._threads = 0
        self._outbox: _Outbox | None = None
        self.abandoned = 0

    async def run(self, code: Callable[..., Any], *arguments: Any) -> Any:
        """Call code in a thread, in the caller's context. When the caller is cancelled the thread
        is left to itself, because Python cannot stop it; its result is thrown away.

        Raises what the code raises, and ThreadsExhausted.
        """
        loop = asyncio.get_running_loop()
        outbox = self._outbox
        if outbox is None or outbox.loop is not loop:
            outbox = self._outbox = _Outbox(loop)
        call = _Call(code, arguments, outbox)
        with self._lock:
            self._calls.append(call)
            if not self._waking:
                self._wake()
        try:
            return await call.future
        except asyncio.CancelledError:
            with self._lock:
                if call.state == "running":
                    call.state = "abandoned"
                    self._threads -= 1
                    self.abandoned += 1
                    if self._calls and not self._waking:
                        self._wake()
                elif call.state == "waiting":
                    call.state = "dropped"
            raise

    def _wake(self) -> None:
        """Have one more thread take calls, under the lock; nothing when all are busy. Calls that no
        thread would ever take fail.
        """
        if self._asleep:
            self._waking = True
            self._asleep.pop().release()
            return
        if self._threads >= self._size:
            return
        try:
            self._start()
        except ThreadsExhausted as error:
            logger.warning("no thread can be had for a step", extra={"error": str(error)})
            while self._threads == 0 and (call := self._take()) is not None:
                call.fail(error)

    def _start(self) -> None:
        """Start a thread, under the lock. Raises ThreadsExhausted."""
        if self.abandoned >= self._abandoned_max:
            raise ThreadsExhausted(f"{self.abandoned} threads hang in steps that were given up")
        thread = threading.Thread(target=self._work, daemon=True, name="kneo-step")
        self._waking = True
        self._threads += 1
        try:
            thread.start()
        except RuntimeError as error:  # as the operating system refuses it
            self._waking = False
            self._threads -= 1
            raise ThreadsExhausted(str(error)) from error

    def _work(self) -> None:
        """Take calls for ever."""
        gate = threading.Lock()
        gate.acquire()
        woken = True
        while True:
            with self._lock:
                if woken:
                    self._waking = woken = False
                call = self._take()
                if call is None:
                    self._asleep.append(gate)
                elif self._calls and not self._waking:
                    self._wake()
            if call is None:
                gate.acquire()
                woken = True
                continue
            call.execute()
            with self._lock:
                abandoned = call.state == "abandoned"
                call.state = "done"
                if abandoned:
                    self.abandoned -= 1
                    if self._threads >= self._size:
                        return
                    self._threads += 1
            if not abandoned:
                call.outbox.put(call)

    def _take(self) -> "_Call | None":
        """Return the next call that somebody still waits for, under the lock."""
        while self._calls:
            call = self._calls.popleft()
            if call.state == "waiting":
                call.state = "running"
                return call
        return None


class _Call:
    """One call on its way. state: waiting, running, abandoned, dropped or done."""

    def __init__(
        self, code: Callable[..., Any], arguments: tuple[Any, ...], outbox: "_Outbox"
    ) -> None:
        self.future: asyncio.Future[Any] = outbox.loop.create_future()
        self.outbox = outbox
        self.state = "waiting"
        self._code = code
        self._arguments = arguments
        self._context = contextvars.copy_context()
        self._result: Any = None
        self._error: BaseException | None = None

    def execute(self) -> None:
        """Do the call, in its thread."""
        try:
            self._result = self._context.run(self._code, *self._arguments)
        except BaseException as error:  # also SystemExit: user code must not end the thread
            self._error = error

    def fail(self, error: Exception) -> None:
        """End the call without doing it, in any thread."""
        self.state, self._error = "done", error
        self.outbox.put(self)

    def settle(self) -> None:
        """Tell the caller, in the event loop."""
        error = self._error
        if self.future.done():
            return
        if error is None:
            self.future.set_result(self._result)
        elif isinstance(error, (StopIteration, SystemExit, KeyboardInterrupt)):
            # A future cannot carry these; their name is what the run's error shows.
            self.future.set_exception(CodeExit(type(error).__name__, str(error)))
        else:
            self.future.set_exception(error)


class _Outbox:
    """Calls that ended, on their way back to an event loop, which is woken once for many."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ended: deque[_Call] = deque()
        self._told = False
        self._context = contextvars.Context()

    def put(self, call: _Call) -> None:
        """Hand a call over, from any thread."""
        self._ended.append(call)
        if self._told:
            return
        self._told = True
        try:
            self.loop.call_soon_threadsafe(self._deliver, context=self._context)
        except RuntimeError:
            # The loop was closed: the process is ending and nobody waits for the result.
            return

    def _deliver(self) -> None:
        # First the flag: what is put from here on tells anew, at worst for nothing.
        self._told = False
        while self._ended:
            self._ended.popleft().settle()


class CodeExit(Exception):
    """User code raised an exception that ends threads or iterations. name: its class."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
