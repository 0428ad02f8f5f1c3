"""The composition root: builds a platform from settings, starts and stops it."""

import logging
import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from kneo_grpc import __version__
from kneo_grpc.api.health import HealthServicer
from kneo_grpc.api.human_tasks import HumanTaskServicer
from kneo_grpc.api.interceptor import EdgeInterceptor
from kneo_grpc.api.maintenance import MaintenanceServicer
from kneo_grpc.api.meta import MetaServicer
from kneo_grpc.api.queue import QueueServicer
from kneo_grpc.api.redaction import AnswerRedactor
from kneo_grpc.api.runs import RunServicer
from kneo_grpc.api.server import Servicers
from kneo_grpc.api.specs import SpecServicer
from kneo_grpc.app.redaction import build_redactor
from kneo_grpc.app.settings import EXAMPLES, Settings
from kneo_grpc.app.sources import build_sources, retention_settings, skill_files
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.examples.tools import TOOLS
from kneo_grpc.integrations.clock import SystemClock
from kneo_grpc.integrations.code import CodeRegistry
from kneo_grpc.integrations.ids import Uuid7Source
from kneo_grpc.integrations.models.dummy import DummyModels
from kneo_grpc.platform.decisions import ChangeWriter, Lease
from kneo_grpc.platform.endings import Endings
from kneo_grpc.platform.feed import Feed
from kneo_grpc.platform.health import Health
from kneo_grpc.platform.human_tasks import HumanTasks
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.leg import LegSettings
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.metrics import Metrics
from kneo_grpc.platform.recovery import Recovery
from kneo_grpc.platform.replay import Replays
from kneo_grpc.platform.retention import Retention
from kneo_grpc.platform.runs import Runs, RunSettings
from kneo_grpc.platform.skill_texts import SkillTexts
from kneo_grpc.platform.skills import Skills
from kneo_grpc.platform.spec_views import SpecViews
from kneo_grpc.platform.specs import Specs
from kneo_grpc.platform.steps import StepExecutor
from kneo_grpc.platform.threads import StepThreads
from kneo_grpc.platform.timers import Timers
from kneo_grpc.platform.worker import Worker, WorkerSettings
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.code import RegisteredTool
from kneo_grpc.ports.counts import RunCounts
from kneo_grpc.ports.models import Models
from kneo_grpc.ports.queue import Queue
from kneo_grpc.ports.store import Store
from kneo_grpc.ports.upkeep import Upkeep
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.sqlite import SqliteStore

logger = logging.getLogger("kneo_grpc.app")


class DurableStore(Store, Queue, Upkeep, Protocol):
    """All that the platform asks of a database."""

    counts: RunCounts


@dataclass(frozen=True, kw_only=True)
class Platform:
    """All use cases over one store. start before the first use, stop at the end."""

    settings: Settings
    store: DurableStore
    clock: Clock
    ids: IdSource
    code: CodeRegistry
    specs: Specs
    spec_views: SpecViews
    skills: Skills
    legs: Legs
    runs: Runs
    human_tasks: HumanTasks
    feed: Feed
    recovery: Recovery
    replays: Replays
    worker: Worker
    timers: Timers
    retention: Retention
    health: Health
    metrics: Metrics

    @property
    def queue(self) -> Queue:
        """The store's face for workers."""
        return self.store

    async def start(self) -> None:
        """Connect and migrate."""
        await self.store.start()

    async def stop(self) -> None:
        """Let runs under way end or pause, then disconnect."""
        await self.drain()
        await self.store.stop()

    async def drain(self) -> None:
        """Take no new run, let those under way end or pause, and give back what is left, so that
        other processes need not wait for this one's leases.
        """
        self.health.drain()
        left = await self.legs.drain(self.settings.shutdown_timeout)
        if left:
            logger.warning("runs interrupted by the shutdown", extra={"count": left})
        owner = self.legs.lease.owner
        try:
            held = await self.queue.held_runs(owner)
            await self.queue.postpone(owner, sorted(held), timedelta(0))
        except StoreUnavailable:
            logger.warning("the store does not answer; leases are left to expire")

    def servicers(self) -> Servicers:
        """Return the gRPC face of the use cases."""
        limits = self.settings.limits
        return Servicers(
            runs=RunServicer(self.runs, self.feed, self.recovery, self.replays, limits),
            human_tasks=HumanTaskServicer(self.human_tasks, limits),
            specs=SpecServicer(self.specs, self.spec_views, self.skills, self.runs, limits),
            health=HealthServicer(self.health, __version__),
            queue=QueueServicer(self.queue, self.recovery, limits),
            maintenance=MaintenanceServicer(self.timers, self.retention),
            meta=MetaServicer(self.metrics if self.settings.metrics else None, __version__),
        )

    def interceptor(self) -> EdgeInterceptor:
        """Return the interceptor for a server of this platform."""
        return EdgeInterceptor(
            keys=self.settings.keys,
            ids=self.ids,
            answers=AnswerRedactor(build_redactor(self.settings)),
            body_bytes_max=self.settings.body_bytes_max,
            log_requests=self.settings.request_logs,
            metrics_open=self.settings.metrics_open,
            counts=self.store.counts,
        )


def open_store(settings: Settings, *, exclusive: bool = True) -> DurableStore:
    """Return PostgreSQL where the settings name it, else SQLite. exclusive: for a whole service."""
    if settings.database_url:
        return PostgresStore(settings.database_url)
    return SqliteStore(settings.state_path, exclusive=exclusive)


def build_platform(
    settings: Settings,
    *,
    store: DurableStore | None = None,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    models: Models | None = None,
    exclusive: bool = True,
    executes: bool = True,
) -> Platform:
    """Build a platform; what is not given is made from the settings.

    exclusive: refuse an SQLite file that another service uses. executes: calls execute their runs
    in this process; else they leave them to workers and wait.
    """
    store = store or open_store(settings, exclusive=exclusive)
    base = _build_base(settings, store, clock or SystemClock(), ids or Uuid7Source(), models)
    clock, ids, specs, legs = base.clock, base.ids, base.specs, base.legs
    writer, endings, idempotency = base.writer, base.endings, base.idempotency
    runs = Runs(
        store=store,
        specs=specs,
        legs=legs,
        endings=endings,
        writer=writer,
        idempotency=idempotency,
        clock=clock,
        ids=ids,
        settings=RunSettings(
            sync_wait=settings.sync_wait,
            executes=executes,
            queue_depth_max=settings.queue_depth_max,
        ),
    )
    human_tasks = HumanTasks(
        store=store,
        specs=specs,
        runs=runs,
        legs=legs,
        writer=writer,
        idempotency=idempotency,
        clock=clock,
        ids=ids,
        executes=executes,
    )
    recovery = Recovery(
        store=store,
        runs=runs,
        specs=specs,
        legs=legs,
        writer=writer,
        idempotency=idempotency,
        executes=executes,
    )
    timers = Timers(
        store=store,
        queue=store,
        human_tasks=human_tasks,
        endings=endings,
        legs=legs,
        clock=clock,
        ids=ids,
    )
    feed = Feed(store, runs)
    return Platform(
        settings=settings,
        store=store,
        clock=clock,
        ids=ids,
        code=base.code,
        specs=specs,
        spec_views=SpecViews(specs),
        skills=Skills(settings.spec_root),
        legs=legs,
        runs=runs,
        human_tasks=human_tasks,
        feed=feed,
        recovery=recovery,
        replays=Replays(feed, recovery),
        worker=_build_worker(settings, store, base),
        timers=timers,
        retention=Retention(store, clock, retention_settings(settings)),
        health=Health(
            store=store,
            code=base.code,
            providers=settings.health_providers,
            mcp=settings.health_mcp,
        ),
        metrics=Metrics(store=store, counts=store.counts, workers=int(executes)),
    )


@dataclass(frozen=True, kw_only=True)
class _Base:
    """What several use cases share."""

    clock: Clock
    ids: IdSource
    code: CodeRegistry
    specs: Specs
    legs: Legs
    writer: ChangeWriter
    endings: Endings
    idempotency: Idempotency


def _build_base(
    settings: Settings, store: DurableStore, clock: Clock, ids: IdSource, models: Models | None
) -> _Base:
    code = _code(settings)
    lease = Lease(
        owner=ids.new(f"proc_{socket.gethostname()}_{os.getpid()}"), lease_for=settings.lease
    )
    writer = ChangeWriter(clock=clock, ids=ids)
    models = models or DummyModels()
    specs = Specs(
        store=store,
        code=code,
        sources=build_sources(settings, clock),
        providers=frozenset(models.names()),
        skills=SkillTexts(skill_files(settings)),
    )
    legs = Legs(
        store=store,
        steps=StepExecutor(models, code, StepThreads(settings.step_threads)),
        writer=writer,
        clock=clock,
        settings=LegSettings(
            lease=lease, runs_max=settings.runs_max, retry_backoff=settings.retry_backoff
        ),
    )
    return _Base(
        clock=clock,
        ids=ids,
        code=code,
        specs=specs,
        legs=legs,
        writer=writer,
        endings=Endings(store=store, specs=specs, legs=legs, writer=writer),
        idempotency=Idempotency(store, clock),
    )


def _build_worker(settings: Settings, store: DurableStore, base: _Base) -> Worker:
    return Worker(
        store=store,
        queue=store,
        specs=base.specs,
        legs=base.legs,
        endings=base.endings,
        writer=base.writer,
        clock=base.clock,
        settings=WorkerSettings(
            concurrency=settings.worker_concurrency,
            idle_poll=settings.idle_poll,
            claims_max=settings.claims_max,
        ),
    )


def _code(settings: Settings) -> CodeRegistry:
    registry = CodeRegistry(settings.import_allow)
    shipped = CodeRegistry((EXAMPLES,))
    for name, (description, parameters, implementation) in TOOLS.items():
        registry.register_tool(
            RegisteredTool(
                name=name,
                description=description,
                parameters=parameters,
                handler=shipped.tool(name, implementation),
            )
        )
    return registry
