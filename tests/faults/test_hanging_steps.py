"""Users' code that never returns: its run ends by timeout or cancel, and others get on."""

import time

from kneo_grpc._gen.kneo.v1 import run_pb2
from tests.faults.service_process import Site
from tests.faults.specs import spec_of
from tests.faults.trail import ended_trail
from tests.service import create

SHUTDOWN_SECONDS = 1


async def test_steps_that_never_return_hold_up_nobody(sqlite_site: Site) -> None:
    """More of them than there are threads."""
    site = sqlite_site
    service = await site.start(STEP_THREADS="2", SHUTDOWN_TIMEOUT_SECONDS="1").ready()
    async with service.calls() as calls:
        timed = create("hi", spec=spec_of("hangs", timeout_seconds=0.3))
        for _ in range(3):
            failed = await calls.runs.CreateRun(timed)
            assert (failed.status, failed.error.type) == ("failed", "RetryTimeoutError")
            assert failed.error.message == "Operation timed out after 0.3 seconds."
        endless = create("hi", spec=spec_of("hangs"), async_mode=True)
        for _ in range(3):
            run_id = (await calls.runs.CreateRun(endless)).run_id
            await site.ledger_line(run=run_id)
            cancelled = await calls.runs.CancelRun(run_pb2.CancelRunRequest(run_id=run_id))
            assert cancelled.status == "cancelled"
        others = create("hi", spec=spec_of("brief"))
        assert (await calls.runs.CreateRun(others)).status == "completed"
        left = (await calls.runs.CreateRun(endless)).run_id
        await site.ledger_line(run=left)
        at = time.monotonic()
        service.terminate()
    assert await service.exit_code() == 0, service.output()
    assert time.monotonic() - at < SHUTDOWN_SECONDS + 5
    assert service.stderr.read_text() == ""
    async with site.reader() as store:
        await ended_trail(store, failed.run_id)
        await ended_trail(store, run_id)
    (job,) = await site.rows("jobs")
    assert (job["run_id"], job["lease_owner"]) == (left, None)
