"""A cancel through one process races a run that ends in another."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

from kneo_grpc._gen.kneo.v1 import run_pb2
from tests.faults.service_process import Calls, Site
from tests.faults.specs import APPOINTMENT, spec_of
from tests.faults.trail import begun, ended_trail
from tests.service import create
from tests.waiting import until

ROUNDS = 100
GAP_MS = 10
LEAD_SECONDS = 1.0
SEED = random.randrange(2**32)
"""Of the moments of the cancels; told where a test fails."""


async def test_a_cancel_that_races_the_end_leaves_one_end(postgres_site: Site) -> None:
    """The last steps end one after the other at known moments, and the cancels come around them."""
    site = postgres_site
    services = [site.start(), site.start("--no-worker")]
    first, second = [await service.ready() for service in services]
    async with first.calls() as executing, second.calls() as cancelling:
        spec = spec_of("meets")
        texts = [str(number * GAP_MS) for number in range(ROUNDS)]
        creating = [
            asyncio.ensure_future(executing.runs.CreateRun(create(text, spec=spec)))
            for text in texts
        ]
        await until(lambda: len(begun(site, step="meets")) == ROUNDS)
        ids = {line["text"]: line["run"] for line in begun(site)}
        base = time.monotonic() + LEAD_SECONDS
        write(site, base)
        offsets = random.Random(SEED)
        moments = [base + int(text) / 1000 + offsets.uniform(-0.02, 0.03) for text in texts]
        # The first run ends long before its cancel, and the last one long after, on any machine.
        moments[0], moments[-1] = base + ROUNDS * GAP_MS / 1000 + 1, base
        cancels = [
            cancel(cancelling, ids[text], moment)
            for text, moment in zip(texts, moments, strict=True)
        ]
        cancelled = await asyncio.gather(*cancels)
        created = await asyncio.gather(*creating)
    ends: Counter[str] = Counter()
    async with site.reader() as store:
        for text, create_answer, cancel_answer in zip(texts, created, cancelled, strict=True):
            run, checkpoints, events = await ended_trail(store, ids[text])
            assert create_answer.run_id == cancel_answer.run_id == run.id
            assert create_answer.status == cancel_answer.status == run.status.value
            assert create_answer.output_text == (run.output_text or "")
            assert events[-1].type in ("run_cancelled", "workflow_completed", "run_completed")
            assert (events[-1].type == "run_cancelled") == (run.status.value == "cancelled")
            assert [item.type for item in checkpoints].count(f"run_{run.status.value}") == 1
            ends[run.status.value] += 1
    assert set(ends) == {"cancelled", "completed"}, (ends, f"seed {SEED}")
    assert await site.rows("jobs") == []


def write(site: Site, base: float) -> None:
    """Make the appointment, all at once."""
    partial = site.folder / f"{APPOINTMENT}.partial"
    partial.write_text(str(base))
    partial.rename(site.folder / APPOINTMENT)


async def cancel(calls: Calls, run_id: str, moment: float) -> Any:
    """Cancel a run at a moment."""
    await asyncio.sleep(moment - time.monotonic())
    return await calls.runs.CancelRun(run_pb2.CancelRunRequest(run_id=run_id))


async def test_a_cancel_interrupts_a_step_in_another_process(postgres_site: Site) -> None:
    site = postgres_site
    api, (worker,) = await site.crew(1)
    async with api.calls() as calls:
        answer = await calls.runs.CreateRun(create("hi", spec=spec_of("naps"), async_mode=True))
        line = await site.ledger_line(run=answer.run_id, step="naps")
        assert line["pid"] == worker.process.pid
        at = time.monotonic()
        cancelled = await calls.runs.CancelRun(run_pb2.CancelRunRequest(run_id=answer.run_id))
        assert cancelled.status == "cancelled"
        interrupted = await site.ledger_line(run=answer.run_id, what="interrupted")
        # The goal is one second; the machine may have other things to do.
        assert interrupted["at"] - at < 2
    async with site.reader() as store:
        await ended_trail(store, answer.run_id)
    assert await site.rows("jobs") == []
