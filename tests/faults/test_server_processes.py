"""Several server processes behind one Envoy: one dies, all are stopped, the parent dies."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.faults.record import check_record
from tests.faults.service_process import SPEC, STEPS, ServiceProcess, Site
from tests.ports import free_port
from tests.waiting import until

SHUTDOWN_SECONDS = 2
PATIENCE_SECONDS = 60


@dataclass
class Group:
    """A parent, its server processes, and Envoy."""

    parent: ServiceProcess
    client: httpx.AsyncClient

    def children(self, name: str) -> set[int]:
        """Those whose command has this in it."""
        pid = self.parent.process.pid
        found = set()
        for task in Path(f"/proc/{pid}/task").iterdir():
            found |= {int(child) for child in (task / "children").read_text().split()}
        return {child for child in found if name in command(child)}

    def servers(self) -> set[int]:
        return self.children("kneo_grpc.app.processes")

    def everything(self) -> set[int]:
        return self.children("")

    async def create(self, number: int) -> dict[str, Any]:
        """Create a run as a client does that tries again under the same key."""
        body = {"input": f"run {number}", "spec": SPEC}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.client.post(
                    "/v1/runs", json=body, headers={"idempotency-key": f"key {number}"}
                )
                if answer.status_code < 300:
                    result: dict[str, Any] = answer.json()
                    return result
                # The first call with the key may have been in the process that was killed.
                assert answer.status_code in (409, 503), answer.text
            assert time.monotonic() < deadline, "no process answers"
            await asyncio.sleep(0.1)


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def alive(pids: set[int]) -> set[int]:
    """Those that still run; one that waits for its parent's notice does not."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def started(parent: ServiceProcess) -> list[int]:
    """How many server processes it said to have."""
    assert parent.process.poll() is None, parent.output()
    return [line["processes"] for line in parent.log_lines() if "processes" in line]


@contextlib.asynccontextmanager
async def group_on(site: Site) -> AsyncIterator[Group]:
    port = free_port()
    options = ["service", "serve", "--processes", "2", "--port", str(port)]
    parent = site.launch(
        *("-m", "kneo_grpc", *options),
        WORKER_LEASE_SECONDS="1",
        SHUTDOWN_TIMEOUT_SECONDS=str(SHUTDOWN_SECONDS),
        REQUEST_LOGS="false",
    )
    pids: set[int] = set()
    try:
        # The children tell that they are ready as well.
        await until(lambda: 2 in started(parent), PATIENCE_SECONDS)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            group = Group(parent, client)
            pids = group.everything()
            assert len(group.servers()) == 2
            assert len(pids) == 3
            yield group
    finally:
        for pid in alive(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def test_a_killed_server_process_is_replaced_and_all_stop_together(
    postgres_site: Site,
) -> None:
    site = postgres_site
    async with group_on(site) as group:
        before = group.servers()
        creating = [asyncio.ensure_future(group.create(number)) for number in range(20)]
        await until(lambda: len(site.ledger()) > 5)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        creating += [asyncio.ensure_future(group.create(number)) for number in range(20, 30)]
        answers = await asyncio.gather(*creating)
        await until(lambda: "a server process died" in group.parent.output())
        await until(lambda: len(group.servers() - {killed}) == 2, PATIENCE_SECONDS)
        (replacement,) = group.servers() - before
        await until(lambda: group.parent.output().count("service ready") == 4, PATIENCE_SECONDS)
        assert alive({replacement}) == {replacement}
        await all_completed(site)
        pids = group.everything()
        group.parent.terminate()
        # Envoy drains for two seconds more.
        assert await group.parent.exit_code(SHUTDOWN_SECONDS + 8) == 0, group.parent.output()
        assert alive(pids) == set()
    async with site.reader() as store:
        for answer in answers:
            await check_record(store, answer["run_id"], len(STEPS))
    assert len(await site.rows("runs")) == 30


async def all_completed(site: Site) -> None:
    """Wait until the runs of the killed process have been taken over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            statuses = {row["status"] for row in await site.rows("runs")}
            if statuses == {"completed"}:
                return
            await asyncio.sleep(0.1)


async def test_a_killed_parent_takes_its_server_processes_with_it(postgres_site: Site) -> None:
    async with group_on(postgres_site) as group:
        pids = group.everything()
        group.parent.kill()
        await until(lambda: not alive(pids), SHUTDOWN_SECONDS + 8)
