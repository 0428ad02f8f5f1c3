"""The disk of the SQLite file is full: writes are refused, and go on when there is room again."""

import asyncio
import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import health_pb2, run_pb2
from tests.faults.record import check_record
from tests.faults.service_process import STEPS, Calls, ServiceProcess, Site
from tests.faults.specs import spec_of
from tests.faults.trail import check_calm, check_executions
from tests.service import create, failure
from tests.waiting import until

SPEC = spec_of(*STEPS)
SLACK = 160 * 1024
"""Bytes that stay free: room for some creates, so that the disk is full in the midst of one."""

SIZES = (19_000, 7_000, 3_000, 1_000, 300, 1)


class Disk(Protocol):
    """Where the SQLite file lies."""

    folder: Path

    def fill(self, service: ServiceProcess) -> None: ...

    def free(self, service: ServiceProcess) -> None: ...


@dataclass
class SmallDisk:
    """A file system of its own, which another file can fill."""

    folder: Path

    def fill(self, service: ServiceProcess) -> None:
        with contextlib.suppress(OSError), (self.folder / "ballast").open("wb", 0) as ballast:
            while True:
                ballast.write(b"x" * 4096)
        os.truncate(ballast.name, Path(ballast.name).stat().st_size - SLACK)

    def free(self, service: ServiceProcess) -> None:
        (self.folder / "ballast").unlink()


@dataclass
class LimitedFiles:
    """The operating system lets no file of the service grow any more."""

    folder: Path

    def fill(self, service: ServiceProcess) -> None:
        size = max(file.stat().st_size for file in self.folder.glob("runs.sqlite*"))
        self._limit(service, size + SLACK)

    def free(self, service: ServiceProcess) -> None:
        self._limit(service, resource.RLIM_INFINITY)

    def _limit(self, service: ServiceProcess, size: int) -> None:
        limits = (size, resource.RLIM_INFINITY)
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def disk(folder: Path) -> Iterator[Disk]:
    """A small disk where one can be mounted, else limits that do the same to the service."""
    path = folder / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "kneo-test", str(path)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
        yield SmallDisk(path)
        subprocess.run(["umount", "-l", str(path)], check=True)
    else:
        yield LimitedFiles(path)


async def test_a_full_disk_refuses_whole_writes_and_harms_no_run(
    disk: Disk, sqlite_site: Site
) -> None:
    site = sqlite_site
    site.file = disk.folder / "runs.sqlite"
    gate = site.close_gate("two")
    service = await site.start(WORKER_LEASE_SECONDS="1").ready()
    async with service.calls() as calls:
        under_way = []
        # Results that are larger than what is left when even a small create is refused.
        text = f"to two {'x' * SIZES[0]}"
        for number in range(3):
            answer = await calls.runs.CreateRun(create(text, spec=SPEC, async_mode=True))
            under_way.append(answer.run_id)
            await until(lambda count=number: len(site.ledger("two")) > count)
        disk.fill(service)
        accepted = await create_until_refused(calls)
        gate.open()
        await until(lambda: "store unavailable, commit waits" in service.output())
        # Longer than the lease, which cannot be renewed meanwhile.
        await asyncio.sleep(1.5)
        for _ in range(3):
            await refused(calls, SIZES[0])
        run = await calls.runs.GetRun(run_pb2.GetRunRequest(run_id=under_way[0]))
        assert run.status == "running"
        disk.free(service)
        await calls.all_completed()
        assert (await calls.runs.CreateRun(create("after it", spec=SPEC))).status == "completed"
        assert (await calls.health.GetReadiness(health_pb2.GetReadinessRequest())).ok
    check_calm(service)
    await check_stored(site, {*under_way, *accepted}, keys=len(accepted))


async def create_until_refused(calls: Calls) -> list[str]:
    """There is room for some more runs, the smaller the more; return those.

    A create takes several statements, so at some of the refusals a part of it had found room.
    """
    accepted: list[str] = []
    for size in SIZES:
        for number in range(200):
            try:
                accepted.append((await ask(calls, f"{size} {number}", size)).run_id)
            except grpc.aio.AioRpcError:
                await refused(calls, size)
                break
        else:
            raise AssertionError("the disk is not full")
    return accepted


def ask(calls: Calls, key: str, size: int) -> Any:
    request = create(f"{key} {'x' * size}", spec=SPEC, async_mode=True)
    return calls.runs.CreateRun(request, metadata=(("idempotency-key", key),))


async def refused(calls: Calls, size: int) -> None:
    code, error = await failure(ask(calls, "refused", size))
    assert (code, error["error"]) == (grpc.StatusCode.UNAVAILABLE, "store_unavailable")


async def check_stored(site: Site, run_ids: set[str], *, keys: int) -> None:
    """These runs are there, and one more; nothing is there of any other."""
    rows = await site.rows("runs")
    texts = {row["id"]: row["input_text"] for row in rows}
    assert set(texts) - run_ids == {key for key, text in texts.items() if text == "after it"}
    assert run_ids < set(texts)
    assert len(await site.rows("idempotency_records")) == keys
    for table in ("events", "checkpoints", "audit_events", "jobs"):
        assert {row["run_id"] for row in await site.rows(table)} <= set(texts), table
    async with site.reader() as store:
        for run_id in texts:
            await check_record(store, run_id, len(STEPS))
            await check_executions(site, store, run_id)
