"""Where the service's time goes: it runs under a profiler while sync runs are created."""

import io
import json
import pstats
import tempfile
from collections import Counter
from pathlib import Path

from bench.calls import Calls, calling
from bench.cluster import start_cluster
from bench.processes import cpu_seconds, thread_seconds
from bench.scenarios.pause import cycle
from bench.scenarios.reads import LIST_LIMIT, fill, reads
from bench.scenarios.sync import creating
from bench.service import ROOT, Site, stopping
from bench.windows import Call, drive

LINES = 45
WARM_SECONDS = 1.5
OURS = "kneo_grpc/"
STORED = 1_000
CALLS = ("sync", "pause", "get", "trace", "list")


async def profile(what: str, concurrency: int, seconds: float, how: str) -> str:
    """Drive calls over gRPC and return the profile as text. what: of CALLS. how: bench.profiled."""
    with (
        tempfile.TemporaryDirectory(prefix="kb-", dir="/tmp") as folder,
        start_cluster() as cluster,
    ):
        site = Site(Path(folder), await cluster.create_database("profile"))
        file = Path(folder) / "profile"
        service = site.serve("--no-gateway", program=("-m", "bench.profiled", how, str(file)))
        with stopping(service):
            await service.ready()
            async with calling(service, "grpc") as calls:
                run_ids = await fill(site, service, STORED)
                call = _call(what, calls, run_ids)
                await drive(concurrency, WARM_SECONDS, call)
                pids = (service.pid,)
                before = cpu_seconds(postgres=cluster.pid, service=pids)
                window = await drive(concurrency, seconds, call)
                used = cpu_seconds(postgres=cluster.pid, service=pids).since(before)
                threads = thread_seconds(service.pid)
        head = (
            f"{window.rate:.0f} calls/s under the profiler, p50 {window.quantile_ms(0.5):.1f} ms\n"
            f"CPU seconds in {seconds:g} s: {_shares(used)}\n"
            f"CPU seconds of the service's threads since its start: {_shares(threads)}"
        )
        text = _stacks(file) if how == "samples" else _calls(file)
        return f"{head}\n\n{text}"


def _call(what: str, calls: Calls, run_ids: list[str]) -> Call:
    if what == "sync":
        return creating(calls)
    if what == "pause":
        return cycle(calls, [], [])
    return reads(calls, run_ids)[f"list of {LIST_LIMIT}" if what == "list" else what]


def _shares(seconds: dict[str, float]) -> str:
    ranked = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {value:.1f}" for name, value in ranked)


def _stacks(file: Path) -> str:
    """Return the functions that were innermost most often, and those that were on most stacks."""
    stacks = [(tuple(stack), count) for stack, count in json.loads(file.read_text())]
    total = sum(count for _, count in stacks) or 1
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    rooms: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    for stack, count in stacks:
        own[stack[0]] += count
        nearest = next((frame for frame in stack if _short(frame).startswith(OURS)), stack[0])
        rooms[_room(nearest)] += count
        ours[nearest] += count
        for frame in set(stack):
            whole[frame] += count
    parts = [
        ("time by room, each with the foreign code that it called", rooms),
        ("time by function of ours, each with the foreign code that it called", ours),
        ("own time by function", own),
        ("time with what was called", whole),
    ]
    return "\n\n".join(_ranking(title, counter, total) for title, counter in parts)


def _ranking(title: str, counter: Counter[str], total: int) -> str:
    lines = [f"{title} ({total} samples)"]
    for name, count in counter.most_common(LINES):
        lines.append(f"{100 * count / total:6.1f} %  {_short(name)}")
    return "\n".join(lines)


def _room(frame: str) -> str:
    """Return the package or, of ours, the room in which a function lives."""
    path = _short(frame).partition(":")[0]
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "kneo_grpc" and len(parts) > 2 else parts[0]


def _short(frame: str) -> str:
    for prefix in (f"{ROOT}/", "site-packages/", "/lib/python3"):
        _, found, rest = frame.partition(prefix)
        if found:
            return rest
    return frame


def _calls(file: Path) -> str:
    text = io.StringIO()
    stats = pstats.Stats(str(file), stream=text)
    stats.strip_dirs().sort_stats("tottime").print_stats(LINES)
    stats.sort_stats("cumulative").print_stats(LINES)
    return text.getvalue()
