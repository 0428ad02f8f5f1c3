"""Runs the `kneo` command under a profiler: `python -m bench.profiled HOW FILE service serve …`.

HOW: `samples` takes the main thread's stack each 2 ms of CPU time of the process, and costs little;
`calls` counts calls with cProfile, which slows small functions down more than large ones.
"""

import contextlib
import cProfile
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

PERIOD_SECONDS = 0.002
DEPTH_MAX = 60


@contextlib.contextmanager
def sampling(path: Path) -> Iterator[None]:
    """Count the stacks seen; write [[[frame, …], count], …] as JSON, innermost frame first."""
    stacks: Counter[tuple[str, ...]] = Counter()

    def note(_number: int, frame: FrameType | None) -> None:
        names: list[str] = []
        while frame is not None and len(names) < DEPTH_MAX:
            code = frame.f_code
            names.append(f"{code.co_filename}:{code.co_firstlineno}:{code.co_qualname}")
            frame = frame.f_back
        stacks[tuple(names)] += 1

    assert threading.current_thread() is threading.main_thread()
    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, PERIOD_SECONDS, PERIOD_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.write_text(json.dumps([[list(stack), count] for stack, count in stacks.items()]))


@contextlib.contextmanager
def counting(path: Path) -> Iterator[None]:
    """Profile calls of the main thread; write cProfile's file."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        yield
    finally:
        profiler.disable()
        profiler.dump_stats(path)


def main() -> None:
    """Profile the command that follows."""
    from kneo_grpc.cli import main as command

    how, file = sys.argv[1:3]
    sys.argv = ["kneo", *sys.argv[3:]]
    with (sampling if how == "samples" else counting)(Path(file)):
        command()


if __name__ == "__main__":
    main()
