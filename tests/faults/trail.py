"""What every stored run has, however often its processes died."""

import itertools
import json
from collections import Counter
from typing import Any

from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import TERMINAL, Checkpoint, Run, TraceEvent
from kneo_grpc.ports.store import PageRequest, Store
from tests.faults.service_process import ServiceProcess, Site

SPLIT = PageRequest(limit=1000, sort_by="sequence")
RESULTS = {"step_completed", "node_completed"}
ENDINGS = {"run_completed", "run_failed", "run_cancelled", "run_timed_out"}


async def ended_trail(store: Store, run_id: str) -> tuple[Run, list[Checkpoint], list[TraceEvent]]:
    """Return an ended run and its history, which has no gap, one end, and nothing after it."""
    run = await store.load_run(RunId(run_id))
    assert run is not None
    checkpoints = list((await store.list_checkpoints(run.id, None, SPLIT)).items)
    events = list((await store.list_events(run.id, None, SPLIT)).items)
    assert run.status in TERMINAL, f"{run.id} is {run.status}"
    assert [item.sequence for item in checkpoints] == list(range(1, len(checkpoints) + 1))
    assert [item.sequence for item in events] == list(range(1, len(events) + 1))
    assert (run.checkpoint_sequence, run.event_sequence) == (len(checkpoints), len(events))
    kinds = [item.type for item in checkpoints]
    assert kinds[-1] == f"run_{run.status.value}"
    # A person may let a failed run go on; else nothing comes after an end.
    for kind, following in itertools.pairwise(kinds):
        assert kind not in ENDINGS or following == "replay_context", kinds
    completed = Counter(item.metadata["step_path"] for item in checkpoints if item.type in RESULTS)
    assert set(completed.values()) <= {1}, f"results stored twice: {completed}"
    return run, checkpoints, events


async def check_executions(site: Site, store: Store, run_id: str) -> Run:
    """Assert that no step of an ended run began after its result, that each attempt has a number
    of its own, and that all attempts of a step have one key.
    """
    run, checkpoints, _ = await ended_trail(store, run_id)
    lines = begun(site, run=run_id)
    assert len({(line["step"], line["attempt"]) for line in lines}) == len(lines), lines
    assert len({(line["step"], line["key"]) for line in lines}) == len(
        {line["step"] for line in lines}
    )
    for item in checkpoints:
        if item.type == "step_completed":
            times = [line["clock"] for line in lines if line["step"] == item.step_id]
            assert max(times) <= item.created_at.timestamp(), f"{item.step_id} of {run_id}"
    return run


def check_calm(process: ServiceProcess) -> None:
    """Assert that a process lives, and that nothing surprised it; the driver tells of each
    connection that it cannot open.
    """
    assert process.process.poll() is None, process.output()
    lines = (json.loads(line) for line in process.stdout.read_text().splitlines())
    assert [
        line for line in lines if "traceback" in line and line["logger"].startswith("kneo_grpc")
    ] == []


def begun(site: Site, **wanted: Any) -> list[dict[str, Any]]:
    """The ledger's lines of steps that began, with these values."""
    lines = [line for line in site.ledger() if line.get("what") == "begun"]
    return [line for line in lines if wanted.items() <= line.items()]
