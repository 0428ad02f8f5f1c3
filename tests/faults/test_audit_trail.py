"""The sealer's process is lost, or stops."""

import asyncio
import time

from kneo_grpc.platform.audit import Audit
from tests.fakes import CountingIds, FakeClock
from tests.faults.service_process import SPEC, Site
from tests.service import create

LEASE_SECONDS = 4


async def test_another_process_goes_on_sealing_within_the_lease(postgres_site: Site) -> None:
    site = postgres_site
    lease = {"WORKER_LEASE_SECONDS": str(LEASE_SECONDS)}
    services = [site.start(**lease), site.start(**lease)]
    for service in services:
        await service.ready()

    async def create_runs(*ready) -> None:
        for service in ready:
            async with service.calls() as calls:
                for _ in range(5):
                    await calls.runs.CreateRun(create(spec=SPEC))

    await create_runs(*services)
    (sealer,) = await sealed(site, at_least=10)
    (holder,) = (s for s in services if f"_{s.process.pid}_" in sealer["holder"])
    (other,) = (s for s in services if s is not holder)
    holder.kill()
    killed = time.monotonic()
    await create_runs(other)
    (sealer,) = await sealed(site, at_least=15)
    assert time.monotonic() - killed < LEASE_SECONDS + 2  # a slow machine's
    assert f"_{other.process.pid}_" in sealer["holder"]
    await check_chain(site, 15)
    # One that stops in order seals what is left and gives the chain back.
    await create_runs(other)
    other.terminate()
    assert await other.exit_code() == 0, other.output()
    (sealer,) = await sealed(site, at_least=20)
    assert sealer["holder"] is None
    await check_chain(site, 20)


async def sealed(site: Site, *, at_least: int) -> list[dict]:
    """Wait until so many records are sealed and none waits; return the sealer's row."""
    async with asyncio.timeout(20):
        while True:
            rows = await site.rows("audit_sealer")
            if rows and rows[0]["number"] >= at_least and not await site.rows("audit_unsealed"):
                return rows
            await asyncio.sleep(0.05)


async def check_chain(site: Site, count: int) -> None:
    async with site.reader() as store:
        found = await Audit(store, FakeClock(), CountingIds()).verify("", 1000)
    assert (found.checked, found.breaks) == (count, ())
    seals = await site.rows("audit_seals")
    assert sorted(seal["number"] for seal in seals) == list(range(1, count + 1))
    assert len({seal["audit_id"] for seal in seals}) == count
