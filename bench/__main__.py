"""`python -m bench`: measure; `python -m bench profile`: show where the service's time goes."""

import argparse
import os
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from bench.cluster import SETTINGS, start_cluster
from bench.profiling import CALLS, profile
from bench.report import document, markdown, write_json, write_page
from bench.scenarios import SCENARIOS
from bench.stage import QUICK, Pace, Row, Stage
from bench.usage import metering


def main() -> int:
    """Parse the command line and do what it says; 1 when a run failed."""
    words = _parser().parse_args()
    # Our children are new programs; gRPC need not prepare for forks.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    if words.command == "profile":
        print(uvloop.run(_profile(words)))
        return 0
    pace = QUICK if words.quick else Pace()
    if words.windows:
        pace = replace(pace, windows=words.windows)
    if words.seconds:
        pace = replace(pace, seconds=words.seconds)
    names = words.only or (["sync"] if words.quick else list(SCENARIOS))
    return uvloop.run(measure(pace, names, words.json, words.page))


async def measure(pace: Pace, names: list[str], json_path: Path | None, page: Path | None) -> int:
    """Run scenarios, print their tables, write their results. 1 when a run or a scenario failed."""
    results: dict[str, list[Row]] = {}
    broken: list[str] = []
    conditions: dict[str, Any] = {"load_before": round(os.getloadavg()[0], 2)}
    with (
        tempfile.TemporaryDirectory(prefix="kb-", dir="/tmp") as folder,
        start_cluster() as cluster,
    ):
        conditions |= {"postgres": await _version(cluster.dsn()), "postgres_settings": SETTINGS}
        async with metering(cluster) as meter:
            stage = Stage(cluster=cluster, meter=meter, folder=Path(folder), pace=pace)
            for name in names:
                begin = time.monotonic()
                try:
                    results[name] = await SCENARIOS[name](stage)
                except Exception as error:
                    traceback.print_exc()
                    broken.append(f"{name}: {type(error).__name__}: {error}"[:2_000])
                    continue
                print(f"\n## {name} ({time.monotonic() - begin:.0f} s)\n", flush=True)
                print(markdown(results[name]), flush=True)
    found = document(results, pace, {**conditions, "broken": broken})
    if json_path is not None:
        write_json(json_path, found)
    if page is not None:
        write_page(page, results, found)
    rows = [row for part in results.values() for row in part]
    failed = sum(int(row.facts.get("failed", 0)) for row in rows)
    print(f"\nfailed calls and runs: {failed}; scenarios that broke: {len(broken)}")
    return 1 if failed or broken else 0


async def _version(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval("show server_version"))
    finally:
        await connection.close()


async def _profile(words: argparse.Namespace) -> str:
    return await profile(words.call, words.concurrency, words.profile_seconds, words.how)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "profile"), default="run")
    parser.add_argument("--quick", action="store_true", help="two short windows of sync, c=32")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="repeatable")
    parser.add_argument("--windows", type=int, help="windows of each kind, 5 unless told")
    parser.add_argument("--seconds", type=float, help="length of a window, 2.5 unless told")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--page", type=Path, help="Markdown page whose measured part is replaced")
    parser.add_argument("--concurrency", type=int, default=32, help="of profile")
    parser.add_argument("--profile-seconds", type=float, default=8.0, help="of profile")
    parser.add_argument("--call", choices=CALLS, default="sync", help="of profile")
    parser.add_argument("--how", choices=("samples", "calls"), default="samples", help="of profile")
    return parser


if __name__ == "__main__":
    sys.exit(main())
