"""What people ask of a run beside where it stands: its graph, and the report on what it executes.

Both show the run's frozen plan; no file is read again.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.plan import SELECTOR
from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import Run
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.decisions import state_after
from kneo_grpc.platform.executed_steps import ExecutedStep, executed_steps
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.specs import Specs
from kneo_grpc.ports.store import Store
from kneo_grpc.spec.graph import Graph, graph
from kneo_grpc.spec.plan_report import plan_report


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGraph:
    """A run's graph. current: ids of the root workflow's nodes under way or waiting; visited: of
    those that ended, in order, as often as they ended. steps: what was executed, at any depth;
    step_count: of all, also those that are not listed.
    """

    run: Run
    graph: Graph
    current: tuple[str, ...]
    visited: tuple[str, ...]
    steps: tuple[ExecutedStep, ...]
    step_count: int


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
        state = state_after(run, await self._store.load_state(run_id))
        steps, count = await executed_steps(self._store, run_id, plan, state)
        # What a nested workflow does happens within the node that opened it; an agent that chooses
        # who comes next is no node.
        current = (
            step.step_id
            for step in state.active.values()
            if step.frame == "" and step.step_id != SELECTOR
        )
        return RunGraph(
            run=run,
            graph=graph(plan, run.target),
            current=tuple(dict.fromkeys(current)),
            visited=run.visited_nodes or run.visited_steps,
            steps=steps,
            step_count=count,
        )

    async def policy_report(self, caller: Principal, run_id: RunId) -> dict[str, Any]:
        """Return the report on what a run executes, in the shape of a spec's report."""
        run = await self._runs.get(run_id)
        plan = await self._specs.plan(run.plan_digest)
        report = await asyncio.to_thread(plan_report, plan)
        facts = {"valid": report["valid"], "source": "run"}
        await self._audit.record(caller.name, "spec.policy_reported", facts, run_id=run_id)
        return report
