"""One campaign: control, faults, calm, drain, and then the verdict."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from kneo_grpc.domain.ids import RunId
from kneo_grpc.stores.postgres import PostgresStore
from tests.chaos import report
from tests.chaos.checks import Offence, unlike_state
from tests.chaos.clients import Load
from tests.chaos.faults import DATABASE_ERRORS, Striker
from tests.chaos.history import History, read_histories
from tests.chaos.processes import Fleet
from tests.chaos.schedule import schedule
from tests.chaos.uptime import darkness
from tests.chaos.verdict import Phases, Verdict, judge
from tests.postgres import Cluster, cluster

DATABASE = "chaos"
WARM_UP_SECONDS = 3.0
CALM_SECONDS = 16.0
DRAIN_SECONDS = 60.0
FOLDED = 500
"""Runs whose whole state is read back; those with repeated steps come first."""

UNDER_WAY = "select count(*) from runs where status in ('queued', 'running')"
OPEN_KEYS = """
select count(*) from idempotency_records join runs on runs.id = run_id
where response is null and runs.status not in ('queued', 'running', 'blocked')
"""
"""Keys whose call was never marked as over though its run has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a campaign is to do. seconds: how long faults come."""

    seconds: float
    seed: int
    kinds: tuple[str, ...]
    clients: int
    lease_seconds: float = 2.0
    keep: Path | None = None

    @property
    def control_seconds(self) -> float:
        """How long the undisturbed phase is measured."""
        return min(20.0, max(10.0, self.seconds / 8))


@dataclass
class Campaign:
    """Everything that takes part, from the start to the verdict."""

    options: Options
    server: Cluster
    folder: Path
    fleet: Fleet = field(init=False)
    load: Load = field(init=False)
    striker: Striker = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        self.fleet = Fleet(self.folder, self.server.dsn(DATABASE), options.lease_seconds)
        self.striker = Striker(self.fleet, self.server, DATABASE, options.seed)

    async def run(self) -> tuple[Verdict, dict[str, Any]]:
        """Run it; return the verdict and the report."""
        await self._create_database()
        try:
            await self.fleet.start()
            ports = [slot.port for slot in self.fleet.slots if slot.port]
            self.load = Load(ports, self.options.seed, self.options.clients)
            async with self.load.running():
                phases = await self._phases()
            unclean = await self.fleet.stop()
        finally:
            self.fleet.end()
        histories = await read_histories(
            self.server.dsn(DATABASE), self.fleet.ledger, self.load.flows
        )
        open_keys = await self._count(OPEN_KEYS)
        verdict = judge(
            histories=histories,
            load=self.load,
            strikes=self.striker.strikes,
            phases=phases,
            lease_seconds=self.options.lease_seconds,
            dark=darkness(self.fleet.lives.values(), self.striker.strikes, phases.drained_at),
            folds=await self._folds(histories),
        )
        content = self._report(verdict, histories, phases, unclean)
        return verdict, {**content, "keys_left_open": open_keys}

    async def _phases(self) -> Phases:
        options = self.options
        faults = schedule(options.seed, options.seconds, options.kinds, options.lease_seconds)
        await asyncio.sleep(WARM_UP_SECONDS)
        control_from = time.time()
        await asyncio.sleep(options.control_seconds)
        control_to = time.time()
        self._say(f"control over; {len(faults)} faults in {options.seconds:g} s")
        telling = asyncio.create_task(self._tell())
        try:
            await self.striker.run(faults, options.seconds)
        finally:
            telling.cancel()
        faults_to = max((strike.until for strike in self.striker.strikes), default=time.time())
        self._say("faults over")
        await asyncio.sleep(faults_to + CALM_SECONDS - time.time())
        self.load.check()
        load_to = time.time()
        await self.load.drain(DRAIN_SECONDS)
        await self._come_to_rest(load_to + DRAIN_SECONDS)
        self._say("drained")
        return Phases(control_from, control_to, faults_to, load_to, time.time())

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(20)
            ended = sum(1 for flow in self.load.flows if flow.ended_at)
            self._say(f"{len(self.striker.strikes)} faults, {ended} runs seen through")

    def _say(self, text: str) -> None:
        print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(self.server.dsn())
        try:
            await connection.execute(f"create database {DATABASE}")
        finally:
            await connection.close()

    async def _come_to_rest(self, deadline: float) -> None:
        """Wait until no run is queued or running."""
        while time.time() < deadline:
            with contextlib.suppress(*DATABASE_ERRORS):
                if not await self._count(UNDER_WAY):
                    return
            await asyncio.sleep(0.2)

    async def _count(self, query: str) -> int:
        connection = await asyncpg.connect(self.server.dsn(DATABASE), timeout=5)
        try:
            return int(await connection.fetchval(query))
        finally:
            await connection.close()

    async def _folds(self, histories: Mapping[str, History]) -> list[Offence]:
        """Read states back as a process does that takes a run over."""
        stored = [history for history in histories.values() if history.row is not None]
        stored.sort(key=lambda history: len(history.by_step()) - len(history.executions))
        store = PostgresStore(self.server.dsn(DATABASE))
        await store.start()
        try:
            found = []
            for history in stored[:FOLDED]:
                loaded = await store.load_state(RunId(history.run_id))
                found += [Offence(history.run_id, text) for text in unlike_state(history, loaded)]
            return found
        finally:
            await store.stop()

    def _report(
        self,
        verdict: Verdict,
        histories: Mapping[str, History],
        phases: Phases,
        unclean: list[str],
    ) -> dict[str, Any]:
        strikes = self.striker.strikes
        stories = {
            line.name: report.details(line, histories, strikes, self.folder, report.KEPT)
            for line in verdict.lines
            if line.offences
        }
        return {
            "ok": verdict.ok,
            "options": asdict(self.options),
            "lines": [
                {"name": line.name, "value": line.value, "bound": line.bound, "ok": line.ok}
                for line in verdict.lines
            ],
            "numbers": verdict.numbers,
            "phases": asdict(phases),
            "kinds": _kinds(histories),
            "error_answers": dict(self.load.answers),
            "logged": report.logged_errors(self.folder),
            "ended_by_themselves": [asdict(note) for note in self.fleet.ended],
            "not_ended_by_sigterm": unclean,
            "strikes": [report.told(strike) for strike in strikes],
            "offences": stories,
        }


def _kinds(histories: Mapping[str, History]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for history in histories.values():
        kind = history.flow.kind if history.flow else "without a client"
        name = f"{kind} {history.status}"
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


@contextlib.contextmanager
def open_campaign(options: Options) -> Iterator[Campaign]:
    """Set up a private PostgreSQL and a folder; remove both at the end."""
    folder = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    try:
        with cluster() as server:
            yield Campaign(options, server, folder)
    finally:
        if options.keep is not None:
            shutil.copytree(folder, options.keep, ignore=shutil.ignore_patterns("*.sock"))
        shutil.rmtree(folder, ignore_errors=True)
