"""The composition root: builds a platform from settings, starts and stops it."""

import asyncio
import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta

from kneo_grpc import __version__
from kneo_grpc.api.audit import AuditServicer
from kneo_grpc.api.credentials import CredentialServicer
from kneo_grpc.api.health import HealthServicer
from kneo_grpc.api.human_tasks import HumanTaskServicer
from kneo_grpc.api.interceptor import EdgeInterceptor
from kneo_grpc.api.maintenance import MaintenanceServicer
from kneo_grpc.api.meta import MetaServicer
from kneo_grpc.api.page_tokens import PageTokens
from kneo_grpc.api.policies import PolicyServicer
from kneo_grpc.api.queue import QueueServicer
from kneo_grpc.api.redaction import AnswerRedactor
from kneo_grpc.api.runs import RunServicer
from kneo_grpc.api.server import Servicers
from kneo_grpc.api.specs import SpecServicer
from kneo_grpc.app.base import (
    DurableStore,
    build_base,
    build_credentials,
    build_forks,
    build_launches,
    build_policies,
    build_sealer,
    build_worker,
)
from kneo_grpc.app.redaction import build_redactor
from kneo_grpc.app.settings import Settings
from kneo_grpc.app.sources import provider_secrets, retention_settings
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.integrations.clock import SystemClock
from kneo_grpc.integrations.code import CodeRegistry
from kneo_grpc.integrations.ids import Uuid7Source
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.credentials import Credentials
from kneo_grpc.platform.denials import Denials
from kneo_grpc.platform.feed import Feed
from kneo_grpc.platform.forks import Forks
from kneo_grpc.platform.health import Health
from kneo_grpc.platform.human_tasks import HumanTasks
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.metrics import Metrics
from kneo_grpc.platform.policies import Policies
from kneo_grpc.platform.recovery import Recovery
from kneo_grpc.platform.replay import Replays
from kneo_grpc.platform.retention import Retention
from kneo_grpc.platform.run_views import RunViews
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.sealer import Sealer
from kneo_grpc.platform.skills import Skills
from kneo_grpc.platform.spec_views import SpecViews
from kneo_grpc.platform.specs import Specs
from kneo_grpc.platform.timers import Timers
from kneo_grpc.platform.worker import Worker
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.models import Models
from kneo_grpc.ports.queue import Queue
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.sqlite import SqliteStore

logger = logging.getLogger("kneo_grpc.app")

CLOSING_SECONDS = 2.0
"""How long the end of a process waits for its last audit records."""


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
    run_views: RunViews
    human_tasks: HumanTasks
    feed: Feed
    recovery: Recovery
    forks: Forks
    replays: Replays
    worker: Worker
    timers: Timers
    retention: Retention
    audit: Audit
    sealer: Sealer
    denials: Denials
    health: Health
    policies: Policies
    credentials: Credentials
    page_tokens: PageTokens
    metrics: Metrics

    @property
    def queue(self) -> Queue:
        """The store's face for workers."""
        return self.store

    async def start(self) -> None:
        """Connect and migrate."""
        await self.store.start()
        self.page_tokens.use(await self.store.service_key("page_tokens", secrets.token_bytes(32)))

    async def stop(self) -> None:
        """Let runs under way end or pause, then disconnect."""
        await self.drain()
        await self.close()

    async def close(self) -> None:
        """Write what the audit trail still lacks, then disconnect; runs were drained before."""
        try:
            # Not asyncio.timeout: see Legs.drain.
            await asyncio.wait_for(self._write_rest(), CLOSING_SECONDS)
        except (StoreUnavailable, TimeoutError):
            logger.warning("the store does not answer; audit records are left for others to seal")
        finally:
            await self.store.stop()

    async def _write_rest(self) -> None:
        await self.denials.run_once()
        await self.sealer.stop()

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
            runs=RunServicer(
                runs=self.runs,
                views=self.run_views,
                feed=self.feed,
                recovery=self.recovery,
                forks=self.forks,
                replays=self.replays,
                tokens=self.page_tokens,
                limits=limits,
            ),
            human_tasks=HumanTaskServicer(self.human_tasks, self.page_tokens, limits),
            specs=SpecServicer(
                specs=self.specs,
                views=self.spec_views,
                skills=self.skills,
                runs=self.runs,
                audit=self.audit,
                tokens=self.page_tokens,
                limits=limits,
            ),
            health=HealthServicer(self.health, __version__),
            queue=QueueServicer(self.queue, self.recovery, self.page_tokens, limits),
            maintenance=MaintenanceServicer(self.timers, self.retention),
            policies=PolicyServicer(self.policies, limits),
            credentials=CredentialServicer(self.credentials, limits),
            audit=AuditServicer(self.audit, self.page_tokens, limits),
            meta=MetaServicer(self.metrics if self.settings.metrics else None, __version__),
        )

    def interceptor(self) -> EdgeInterceptor:
        """Return the interceptor for a server of this platform."""
        return EdgeInterceptor(
            keys=self.settings.keys,
            ids=self.ids,
            answers=AnswerRedactor(build_redactor(self.settings)),
            denials=self.denials,
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
    base = build_base(settings, store, clock or SystemClock(), ids or Uuid7Source(), models)
    clock, ids, specs, legs = base.clock, base.ids, base.specs, base.legs
    writer, endings, idempotency = base.writer, base.endings, base.idempotency
    launches = build_launches(settings, store, base, executes=executes)
    runs = Runs(
        store=store,
        specs=specs,
        legs=legs,
        launches=launches,
        endings=endings,
        writer=writer,
        idempotency=idempotency,
        audit=base.audit,
        clock=clock,
        ids=ids,
        queue_depth_max=settings.queue_depth_max,
    )
    human_tasks = HumanTasks(
        store=store,
        specs=specs,
        runs=runs,
        legs=legs,
        launches=launches,
        writer=writer,
        idempotency=idempotency,
        clock=clock,
        ids=ids,
    )
    recovery = Recovery(
        store=store,
        runs=runs,
        specs=specs,
        legs=legs,
        launches=launches,
        writer=writer,
        idempotency=idempotency,
    )
    timers = Timers(
        store=store,
        queue=store,
        trail=store,
        human_tasks=human_tasks,
        endings=endings,
        legs=legs,
        clock=clock,
        ids=ids,
    )
    feed = Feed(store, runs)
    sealer = build_sealer(settings, store, legs.lease.owner)
    return Platform(
        settings=settings,
        store=store,
        clock=clock,
        ids=ids,
        code=base.code,
        specs=specs,
        spec_views=SpecViews(specs),
        skills=Skills(settings.skill_root or settings.spec_root),
        legs=legs,
        runs=runs,
        run_views=RunViews(store, runs, specs, base.audit),
        human_tasks=human_tasks,
        feed=feed,
        recovery=recovery,
        forks=build_forks(store, base, runs, launches),
        replays=Replays(feed, recovery),
        worker=build_worker(settings, store, base),
        timers=timers,
        retention=Retention(store, sealer, base.audit, clock, retention_settings(settings)),
        audit=base.audit,
        sealer=sealer,
        denials=Denials(store, clock, ids),
        health=Health(
            store=store,
            code=base.code,
            providers=provider_secrets(settings),
            mcp=settings.health_mcp,
        ),
        policies=build_policies(store, base),
        credentials=build_credentials(base),
        page_tokens=PageTokens(),
        metrics=Metrics(store=store, counts=store.counts, workers=int(executes)),
    )
