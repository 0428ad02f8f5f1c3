"""What people ask of a run beside where it stands: its graph, and the report on what it executes.

Both show the run's frozen plan; no file is read again.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import ACTIVE, Run
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.decisions import state_after
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.specs import Specs
from kneo_grpc.ports.store import Store
from kneo_grpc.spec.graph import Graph, graph
from kneo_grpc.spec.plan_report import plan_report


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGraph:
    """A run's graph. current: ids of the root workflow's nodes under way or waiting; visited: of
    those that ended, in order, as often as they ended.
    """

    run: Run
    graph: Graph
    current: tuple[str, ...]
    visited: tuple[str, ...]


class RunViews:
    """Shows runs. Every method raises NotFound for a run that does not exist."""

    def __init__(self, store: Store, runs: Runs, specs: Specs, audit: Audit) -> None:
        self._store = store
        self._runs = runs
        self._specs = specs
        self._audit = audit

    async def graph(self, run_id: RunId) -> RunGraph:
        """Return a run's graph."""
        run = await self._runs.get(run_id)
        plan = await self._specs.plan(run.plan_digest)
        current: tuple[str, ...] = ()
        if run.status in ACTIVE:
            state = state_after(run, await self._store.load_state(run_id))
            # What a nested workflow does happens within the node that opened it.
            current = tuple(step.step_id for step in state.active.values() if step.frame == "")
        return RunGraph(
            run=run,
            graph=graph(plan, run.target),
            current=tuple(dict.fromkeys(current)),
            visited=run.visited_nodes or run.visited_steps,
        )

    async def policy_report(self, caller: Principal, run_id: RunId) -> dict[str, Any]:
        """Return the report on what a run executes, in the shape of a spec's report."""
        run = await self._runs.get(run_id)
        plan = await self._specs.plan(run.plan_digest)
        report = await asyncio.to_thread(plan_report, plan)
        facts = {"valid": report["valid"], "source": "run"}
        await self._audit.record(caller.name, "spec.policy_reported", facts, run_id=run_id)
        return report
