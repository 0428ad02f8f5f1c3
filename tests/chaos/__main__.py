"""python -m tests.chaos: run the service under faults and hold it against its promises."""

import argparse
import asyncio
import random
import signal
import sys
from pathlib import Path
from typing import Any

from tests.chaos import report
from tests.chaos.campaign import Campaign, Options, open_campaign
from tests.chaos.schedule import KINDS
from tests.chaos.verdict import Verdict


def main() -> int:
    """Run a campaign; 0 when every promise was kept, else 1."""
    options, path, untimed = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    print(f"seed {options.seed}; replay: {_replay(options)}", flush=True)
    with open_campaign(options) as campaign:
        verdict, content = asyncio.run(_guarded(campaign))
        print(f"\n{report.table(verdict)}\n")
        for title in ("kinds", "error_answers", "logged", "keys_left_open", "not_ended_by_sigterm"):
            print(f"{title}: {content[title]}")
        print(f"ended by themselves: {len(content['ended_by_themselves'])}")
        for line in verdict.lines:
            if not line.ok:
                report.print_details(line, content["offences"].get(line.name, []))
        if path is not None:
            report.write_json(path, content)
            print(f"report: {path}")
    kept = verdict.ok_but_for_times if untimed else verdict.ok
    if not kept:
        print(f"\nbroken; replay the faults: {_replay(options)}")
    return 0 if kept else 1


async def _guarded(campaign: Campaign) -> tuple[Verdict, dict[str, Any]]:
    """Run to the end; a signal breaks it off, with everything cleaned up."""
    task = asyncio.ensure_future(campaign.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _replay(options: Options) -> str:
    return (
        f"python -m tests.chaos --seconds {options.seconds:g} --seed {options.seed} "
        f"--faults {','.join(options.kinds)} --clients {options.clients}"
    )


def _arguments() -> tuple[Options, Path | None, bool]:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long faults come")
    parser.add_argument("--seed", type=int, help="of the faults; drawn and printed if left out")
    parser.add_argument("--faults", default="kill,stop,backend", help=", ".join(KINDS))
    parser.add_argument("--clients", type=int, default=16, help="closed-loop clients")
    parser.add_argument("--report", type=Path, help="JSON file to write")
    parser.add_argument("--keep", type=Path, help="folder to copy logs and the ledger to")
    parser.add_argument(
        "--untimed", action="store_true", help="tell times, but fail for broken promises only"
    )
    given = parser.parse_args()
    kinds = tuple(kind for kind in given.faults.split(",") if kind)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"unknown faults: {', '.join(sorted(unknown))}")
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    options = Options(
        seconds=given.seconds, seed=seed, kinds=kinds, clients=given.clients, keep=given.keep
    )
    return options, given.report, given.untimed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("broken off")
