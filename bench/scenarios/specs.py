"""What reading, checking and compiling specs costs in CPU; no service and no database take part."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.stage import Row, Stage, Value
from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import build_platform
from kneo_grpc.domain.plan_codec import encode_plan
from kneo_grpc.platform.spec_sources import SpecSource
from kneo_grpc.spec import compile as compiler
from kneo_grpc.spec.load import load_text
from kneo_grpc.spec.validate import validate

TIMES = 15
STEPS = 200
BYTES = 64 * 1024
FUNCTION = "kneo_grpc.examples.functions.draft_report"


async def measure(stage: Stage) -> list[Row]:
    """Measure parse and validate of 200 steps, compile of 64 KiB, and a repeated run's spec."""
    steps = _spec(STEPS)
    large = _spec(_steps_of(BYTES))
    document = load_text(large)
    rows = [
        _row(f"parse and validate, {STEPS} steps", steps, lambda: validate(load_text(steps))),
        _row("parse, 64 KiB", large, lambda: load_text(large)),
        _row(
            "compile, 64 KiB parsed",
            large,
            lambda: encode_plan(compiler.compile_spec(document).plan),
        ),
        _row(
            "parse and compile, 64 KiB",
            large,
            lambda: encode_plan(compiler.compile_spec(load_text(large)).plan),
        ),
    ]
    return [*rows, await _repeated(stage.folder, large)]


async def _repeated(folder: Path, text: bytes) -> Row:
    """Compile the spec of a file again and again, as creates do; count what is really compiled."""
    root = folder / "specs"
    root.mkdir()
    (root / "large.yaml").write_bytes(text)
    platform = build_platform(Settings(spec_root=root, state_path=root / "policies.sqlite"))
    await platform.start()
    compiled, real = 0, compiler.compile_spec

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal compiled
        compiled += 1
        return real(*arguments, **named)

    compiler.compile_spec = counting
    try:
        begin = time.process_time()
        for _ in range(TIMES):
            await platform.specs.compile(SpecSource(spec_path="large.yaml"))
        used = time.process_time() - begin
    finally:
        compiler.compile_spec = real
        await platform.stop()
    facts: dict[str, Value] = {
        "times": TIMES,
        "compiled": compiled,
        "CPU ms, all": round(used * 1_000, 2),
    }
    return Row(scenario="the same file by 15 runs", facts={**facts, "failed": 0})


def _row(label: str, text: bytes, work: Callable[[], object]) -> Row:
    """Measure the CPU time of work in this process."""
    work()
    used = []
    for _ in range(TIMES):
        begin = time.process_time()
        work()
        used.append((time.process_time() - begin) * 1_000)
    facts: dict[str, Value] = {
        "bytes": len(text),
        "CPU ms, median": round(statistics.median(used), 2),
        "CPU ms, least": round(min(used), 2),
        "failed": 0,
    }
    return Row(scenario=label, facts=facts)


def _spec(steps: int) -> bytes:
    lines = ["version: v1", "agent: {name: writer}", "workflow:", "  name: long"]
    lines += ["  type: sequential", "  steps:"]
    for number in range(steps):
        lines += [f"    - id: step-{number}", "      kind: function", "      ref: draft"]
    lines += ["components:", "  functions:", f"    draft: {{implementation: {FUNCTION}}}"]
    return "\n".join([*lines, ""]).encode()


def _steps_of(size: int) -> int:
    """Return how many steps make a spec of about that many bytes."""
    few, many = len(_spec(100)), len(_spec(1_100))
    return 100 + (size - few) * 1_000 // (many - few)
