"""Carries out the schedule and writes down what each fault hit."""

import asyncio
import contextlib
import random
import signal
import time
from dataclasses import dataclass, field

import asyncpg

from tests.chaos.processes import Fleet
from tests.chaos.schedule import Fault
from tests.postgres import START_SECONDS, Cluster

DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

READY_TRIES = 30
"""Looks, a tenth of a second apart, whether a process to be frozen has come up."""

HELD = r"select run_id from jobs where kind = 'run' and lease_owner like '%\_{}\_%'"
BACKENDS = """
select pid from pg_stat_activity where application_name like 'kneo%' order by backend_start, pid
"""


@dataclass(slots=True)
class Strike:
    """A fault that happened. at, until: on the clock of the ledger.

    pids: the processes that it may have hit, empty for all. held: the runs that a killed or frozen
    process had leased, None when the database could not tell. was_ready: it had come up.
    hits: database sessions that were ended.
    """

    fault: Fault
    at: float
    until: float
    pids: tuple[int, ...] = ()
    name: str = ""
    held: tuple[str, ...] | None = ()
    was_ready: bool = True
    hits: int = 0


@dataclass
class Striker:
    """Strikes the fleet and its database."""

    fleet: Fleet
    server: Cluster
    database: str
    seed: int
    strikes: list[Strike] = field(default_factory=list)

    async def run(self, faults: tuple[Fault, ...], seconds: float) -> None:
        """Carry the faults out at their times; return when the time and all of them are over."""
        began = time.monotonic()
        acts: set[asyncio.Task[None]] = set()
        try:
            for fault in faults:
                await asyncio.sleep(began + fault.at - time.monotonic())
                acts.add(asyncio.create_task(self._strike(fault)))
            await asyncio.sleep(began + seconds - time.monotonic())
            await asyncio.gather(*acts)
        finally:
            for act in acts:
                act.cancel()
            await asyncio.gather(*acts, return_exceptions=True)

    async def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case "kill":
                await self._kill(fault)
            case "stop":
                await self._stop(fault)
            case "backend":
                await self._end_backends(fault)
            case "restart":
                await self._restart(fault)

    async def _kill(self, fault: Fault) -> None:
        slot = self.fleet.slots[fault.slot]
        pid, at, was_ready = self.fleet.kill(slot)
        strike = Strike(fault, at, at, (pid,), slot.name, was_ready=was_ready)
        self.strikes.append(strike)
        strike.held = await self._held(pid)

    async def _stop(self, fault: Fault) -> None:
        slot = self.fleet.slots[fault.slot]
        for _ in range(READY_TRIES):
            if slot.ready():
                break
            await asyncio.sleep(0.1)
        process = slot.process
        assert process is not None
        strike = Strike(fault, time.time(), 0, (process.pid,), slot.name, was_ready=slot.ready())
        process.send_signal(signal.SIGSTOP)
        self.strikes.append(strike)
        try:
            strike.held = await self._held(process.pid)
            await asyncio.sleep(strike.at + fault.seconds - time.time())
        finally:
            # A process that was killed meanwhile is not there any more, which Popen knows.
            process.send_signal(signal.SIGCONT)
            strike.until = time.time()

    async def _end_backends(self, fault: Fault) -> None:
        strike = Strike(fault, time.time(), 0)
        with contextlib.suppress(*DATABASE_ERRORS):
            async with asyncio.timeout(5), self._connected() as connection:
                pids = [row["pid"] for row in await connection.fetch(BACKENDS)]
                count = min(len(pids), max(1, round(fault.share * len(pids))))
                chosen = random.Random(f"{self.seed} {fault.number}").sample(pids, count)
                strike.at = time.time()
                for pid in chosen:
                    strike.hits += await connection.fetchval("select pg_terminate_backend($1)", pid)
        strike.until = time.time()
        self.strikes.append(strike)

    async def _restart(self, fault: Fault) -> None:
        process = self.server.process
        assert process is not None
        strike = Strike(fault, time.time(), 0)
        # SIGQUIT ends PostgreSQL without a last checkpoint; SIGINT breaks off its sessions first.
        process.send_signal(signal.SIGQUIT if fault.mode == "immediate" else signal.SIGINT)
        await asyncio.to_thread(process.wait, START_SECONDS)
        await asyncio.to_thread(self.server.start)
        strike.until = time.time()
        self.strikes.append(strike)

    async def _held(self, pid: int) -> tuple[str, ...] | None:
        """Return the runs that a process has leased; None when the database does not answer."""
        try:
            async with asyncio.timeout(5), self._connected() as connection:
                return tuple(row["run_id"] for row in await connection.fetch(HELD.format(pid)))
        except DATABASE_ERRORS:
            return None

    @contextlib.asynccontextmanager
    async def _connected(self):  # type: ignore[no-untyped-def] # the driver carries no types
        connection = await asyncpg.connect(self.server.dsn(self.database), timeout=5)
        try:
            yield connection
        finally:
            await connection.close()
