"""Ctrl-C in `kneo run`: a real process, here and before a real service."""

import asyncio
import json
import signal
import sys

import pytest

from tests.processes import kneo
from tests.service import Service, create, data, failure, function_spec

RUN = ("run", "flow.json", "--input", "hi")


async def interrupted(folder, until, *words: str, command=RUN) -> tuple[int | None, str, str]:
    """Run a command on a step that waits; interrupt it once until() holds."""
    (folder / "flow.json").write_text(json.dumps(function_spec("gated")))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kneo_grpc", *command, *words),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        while not await until():  # noqa: ASYNC110 # another process does it
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def shown(folder, *words: str) -> dict:
    done = await asyncio.to_thread(kneo, *words, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", [RUN, ("spec", *RUN)])
async def test_a_service_is_asked_for_the_run_that_goes_on(
    service: Service, tmp_path, command
) -> None:
    async def under_way() -> bool:
        return service.platform.legs.count == 1

    url = f"unix:{tmp_path}/api.sock"
    code, out, err = await interrupted(tmp_path, under_way, "--service-url", url, command=command)
    (run,) = service.platform.legs.driven()
    assert (code, out) == (130, "")
    assert err.splitlines() == [
        "Interrupted.",
        f"{run} has begun, and the service goes on with it. Look at it, or end it, with:",
        f"  kneo runs get {run} --service-url {url}",
        f"  kneo runs cancel {run} --service-url {url}",
    ]


async def test_a_service_is_asked_for_the_fork_that_goes_on(
    service: Service, tmp_path, code
) -> None:
    code.GATE.set()
    first = await service.runs.CreateRun(create(spec=function_spec("gated")))
    code.GATE.clear()

    async def under_way() -> bool:
        return service.platform.legs.count == 1

    url = f"unix:{tmp_path}/api.sock"
    fork = ("runs", "fork", first.run_id)
    status, out, err = await interrupted(tmp_path, under_way, "--service-url", url, command=fork)
    (run,) = service.platform.legs.driven()
    assert (status, out) == (130, "")
    told = f"{run} has begun, and the service goes on with it. Look at it, or end it, with:"
    assert err.splitlines()[:2] == ["Interrupted.", told]


async def test_here_the_run_is_given_back_to_workers_at_once(tmp_path, code) -> None:
    marker = tmp_path / "begun"
    own = "import pathlib, time\ndef gated(text):\n"
    own += f"    pathlib.Path({str(marker)!r}).touch()\n    time.sleep(60)\n"
    (tmp_path / "kneo_test_code.py").write_text(own)

    async def begun() -> bool:
        return marker.exists()

    status, out, err = await interrupted(tmp_path, begun)
    (job,) = (await shown(tmp_path, "queue", "list"))["jobs"]
    assert (status, out) == (130, "")
    first, second, *_ = err.splitlines()
    assert first == "Interrupted."
    assert second.startswith(f"{job['run_id']} has begun, and a worker goes on with it.")
    assert job["state"] == "ready"
    assert (await shown(tmp_path, "runs", "get", job["run_id"]))["status"] == "queued"


@pytest.mark.parametrize("same", [True, False])
async def test_a_key_in_use_tells_its_caller_which_run_it_stands_for(
    service: Service, code, same
) -> None:
    header = (("idempotency-key", "k"),)
    request = create(spec=function_spec("gated"))
    first = asyncio.ensure_future(service.runs.CreateRun(request, metadata=header))
    while service.platform.legs.count == 0:  # noqa: ASYNC110 # no signal tells of it
        await asyncio.sleep(0.01)
    (run,) = service.platform.legs.driven()
    repeat = request if same else create("other", spec=function_spec("gated"))
    _, error = await failure(service.runs.CreateRun(repeat, metadata=header))
    reason = "idempotency_key_in_progress" if same else "idempotency_key_conflict"
    assert (error["error"], error["run_id"]) == (reason, run)
    code.GATE.set()
    assert data(await first)["run_id"] == run
