"""What several use cases share, and what stands alone, built from the settings."""

import os
import socket
from dataclasses import dataclass
from typing import Protocol

from kneo_grpc.app.settings import EXAMPLES, Settings, environment
from kneo_grpc.app.sources import build_sources, skill_files
from kneo_grpc.examples.tools import TOOLS
from kneo_grpc.integrations.code import CodeRegistry
from kneo_grpc.integrations.models.dummy import DummyModels
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.credentials import Credentials
from kneo_grpc.platform.decisions import ChangeWriter, Lease
from kneo_grpc.platform.endings import Endings
from kneo_grpc.platform.forks import Forks
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.launches import Launches, LaunchSettings
from kneo_grpc.platform.leg import LegSettings
from kneo_grpc.platform.legs import Legs
from kneo_grpc.platform.policies import Policies
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.sealer import Sealer, SealerSettings
from kneo_grpc.platform.skill_texts import SkillTexts
from kneo_grpc.platform.spec_sources import SpecSources
from kneo_grpc.platform.specs import Specs
from kneo_grpc.platform.standing_policies import StandingPolicies
from kneo_grpc.platform.steps import StepExecutor
from kneo_grpc.platform.threads import StepThreads
from kneo_grpc.platform.worker import Worker, WorkerSettings
from kneo_grpc.ports.audit import AuditTrail
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.code import RegisteredTool
from kneo_grpc.ports.counts import RunCounts
from kneo_grpc.ports.models import Models
from kneo_grpc.ports.queue import Queue
from kneo_grpc.ports.store import Store
from kneo_grpc.ports.upkeep import Upkeep


class DurableStore(Store, Queue, Upkeep, AuditTrail, Protocol):
    """All that the platform asks of a database."""

    counts: RunCounts


@dataclass(frozen=True, kw_only=True)
class Base:
    """What several use cases share."""

    clock: Clock
    ids: IdSource
    code: CodeRegistry
    sources: SpecSources
    standing: StandingPolicies
    specs: Specs
    legs: Legs
    writer: ChangeWriter
    endings: Endings
    idempotency: Idempotency
    audit: Audit


def build_base(
    settings: Settings, store: DurableStore, clock: Clock, ids: IdSource, models: Models | None
) -> Base:
    """Build what several use cases share."""
    code = _code(settings)
    lease = Lease(
        owner=ids.new(f"proc_{socket.gethostname()}_{os.getpid()}"), lease_for=settings.lease
    )
    writer = ChangeWriter(clock=clock, ids=ids)
    models = models or DummyModels()
    sources = build_sources(settings, clock)
    standing = StandingPolicies(store, clock)
    specs = Specs(
        store=store,
        code=code,
        sources=sources,
        standing=standing,
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
    return Base(
        clock=clock,
        ids=ids,
        code=code,
        sources=sources,
        standing=standing,
        specs=specs,
        legs=legs,
        writer=writer,
        endings=Endings(store=store, specs=specs, legs=legs, writer=writer),
        idempotency=Idempotency(store, clock),
        audit=Audit(store, clock, ids),
    )


def build_launches(
    settings: Settings, store: DurableStore, base: Base, *, executes: bool
) -> Launches:
    """Build what lets runs begin and go on. executes: in this process, not by workers."""
    return Launches(
        store=store,
        legs=base.legs,
        idempotency=base.idempotency,
        clock=base.clock,
        settings=LaunchSettings(sync_wait=settings.sync_wait, executes=executes),
    )


def build_forks(store: DurableStore, base: Base, runs: Runs, launches: Launches) -> Forks:
    """Build what starts runs where others stood."""
    return Forks(
        store=store,
        runs=runs,
        specs=base.specs,
        legs=base.legs,
        launches=launches,
        writer=base.writer,
        idempotency=base.idempotency,
    )


def build_policies(store: DurableStore, base: Base) -> Policies:
    """Build the use cases of environment policies."""
    return Policies(
        store=store,
        specs=base.specs,
        standing=base.standing,
        idempotency=base.idempotency,
        clock=base.clock,
        ids=base.ids,
    )


def build_credentials(base: Base) -> Credentials:
    """Build the inventory of secrets."""
    return Credentials(
        audit=base.audit,
        sources=base.sources,
        is_set=lambda name: bool(environment().get(name, "").strip()),
    )


def build_sealer(settings: Settings, store: DurableStore, holder: str) -> Sealer:
    """Build the sealer of audit records. holder: this process."""
    chosen = SealerSettings(
        # With the look of whoever stands by, a lost holder is followed within a worker's lease.
        lease=settings.lease * 2 / 3,
        standby=settings.lease / 8,
        export=settings.audit_export,
    )
    return Sealer(store, holder, chosen)


def build_worker(settings: Settings, store: DurableStore, base: Base) -> Worker:
    """Build the worker that executes queued runs."""
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
