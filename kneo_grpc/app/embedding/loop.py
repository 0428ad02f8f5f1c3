"""A platform's event loop in a thread of its own, for programs that have none."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from kneo_grpc.app.embedding.aio import AsyncPlatform
from kneo_grpc.domain.errors import Conflict

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """Opens a platform in a new thread, does calls there, and closes it there."""

    def __init__(self, platform: AsyncPlatform) -> None:
        self._platform = platform
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._closed: concurrent.futures.Future[None] = concurrent.futures.Future()

    def start(self) -> None:
        """Return when the platform is open. Raises what its open raises; Conflict again."""
        if self._thread is not None:
            raise Conflict("the platform was opened before; make a new one")
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live()), name="kneo-platform", daemon=True
        )
        self._thread.start()
        try:
            self._opened.result()
        except Exception:
            self._thread.join()
            raise
        except BaseException:
            # Ctrl-C while it opens: nobody will ask for it to be closed.
            self._opened.add_done_callback(lambda done: self._end())
            raise

    def stop(self) -> None:
        """Return when the platform is closed and its thread is gone. Again: nothing."""
        if self._thread is None or self._opened.exception() is not None:
            return
        self._refuse_own_thread()
        self._end()
        self._thread.join()
        self._closed.result()

    def call(
        self, method: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what a method of the platform returns. Raises Conflict where it is not open."""
        loop = self._loop
        if loop is None or self._closed.done():
            raise Conflict(
                "the platform is not open yet: use it in a with block"
                if self._thread is None
                else "the platform is closed"
            )
        self._refuse_own_thread()
        asked = method(*args, **kwargs)
        try:
            future = asyncio.run_coroutine_threadsafe(asked, loop)
        except RuntimeError:
            asked.close()
            raise Conflict("the platform is closed") from None
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Conflict("the platform was closed meanwhile") from None
        except BaseException:
            # Ctrl-C: the call goes, a run that it started goes on.
            future.cancel()
            raise

    async def _live(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            await self._platform.open()
        except BaseException as error:
            self._loop = None
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        await self._stop.wait()
        try:
            await self._platform.close()
        except BaseException as error:
            self._closed.set_exception(error)
        else:
            self._closed.set_result(None)

    def _end(self) -> None:
        loop, stop = self._loop, self._stop
        if loop is None or stop is None or self._closed.done():
            return
        with contextlib.suppress(RuntimeError):
            # The loop ended since.
            loop.call_soon_threadsafe(stop.set)

    def _refuse_own_thread(self) -> None:
        """An async tool that asked its own platform in this way would wait for itself."""
        if threading.current_thread() is self._thread:
            raise Conflict("call the platform from another thread; here it would wait for itself")
