"""What keeps processes and loops alive, with processes that are none."""

import asyncio
import errno
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kneo_grpc.app import processes
from kneo_grpc.app.embedding import serving as embedding
from kneo_grpc.app.entry import beside
from kneo_grpc.app.options import ServeOptions
from kneo_grpc.app.processes import ServerProcesses
from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import build_platform
from kneo_grpc.integrations.clock import SystemClock
from tests.fakes import FakeClock


class Process:
    """A server process that a test ends."""

    def __init__(self) -> None:
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    def end(self, code: int) -> None:
        self.returncode = code
        self._ended.set()

    def send_signal(self, number: int) -> None:
        self.end(-number)

    async def wait(self) -> int | None:
        await self._ended.wait()
        return self.returncode


def touch(path: str) -> None:
    Path(path).touch()


async def until(happened: Any) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await SystemClock().sleep(timedelta(milliseconds=1))


async def test_a_process_that_cannot_be_started_again_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[Process] = []
    refused = [OSError(errno.EAGAIN, "no process is left"), OSError(errno.ENOMEM, "no memory")]

    async def start(*command: str, **_: Any) -> Process:
        if started and refused:
            raise refused.pop(0)
        touch(json.loads(command[-1])["socket"])
        started.append(Process())
        return started[-1]

    monkeypatch.setattr(processes.asyncio, "create_subprocess_exec", start)
    servers = ServerProcesses(ServeOptions(processes=1), tmp_path, FakeClock())
    await servers.start()
    async with beside(servers.supervise()):
        started[0].end(-9)
        await until(lambda: len(started) == 2)
        # It is watched as the first one was.
        started[1].end(1)
        await until(lambda: len(started) == 3)
        await servers.stop(timedelta(seconds=1))
    told = [record.getMessage() for record in caplog.records]
    assert told.count("a server process died") == 2
    assert told.count("a server process cannot be started") == 2
    assert "a background loop died" not in told


class DyingEnvoy:
    """An Envoy whose watch fails."""

    def __init__(self, *_: object) -> None:
        self.stopped = False

    async def start(self) -> None:
        pass

    async def supervise(self) -> None:
        raise ValueError("the watch fell asleep")

    async def stop(self) -> None:
        self.stopped = True


async def test_an_embedded_gateway_that_nobody_watches_any_more_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedding, "EnvoyProcess", DyingEnvoy)
    settings = Settings(state_path=tmp_path / "a.sqlite", spec_root=tmp_path)
    platform = build_platform(settings)
    await platform.start()
    async with embedding.serving(platform, {"port": 18000}):
        await until(lambda: "a background loop died" in caplog.text)
    await platform.close()
    assert "the watch fell asleep" in caplog.text


async def test_a_loop_that_ends_with_its_block_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kneo_grpc")
    async with beside(asyncio.Event().wait()):  # type: ignore[arg-type] # it never ends
        pass
    assert caplog.records == []
