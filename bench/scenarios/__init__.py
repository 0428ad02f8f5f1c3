"""The scenarios by name, in the order in which they are run."""

from bench.scenarios import (
    alone,
    backlog,
    door,
    guards,
    kill,
    parallel,
    pause,
    probes,
    queued,
    reads,
    specs,
    storage,
    sync,
    transitions,
)
from bench.stage import Scenario

SCENARIOS: dict[str, Scenario] = {
    "sync": sync.measure,
    "alone": alone.measure,
    "async": queued.measure,
    "dispatch": queued.measure_dispatch,
    "pause": pause.measure,
    "reads": reads.measure,
    "door": door.measure,
    "guards": guards.measure,
    "flat": reads.measure_flatness,
    "backlog": backlog.measure,
    "kill": kill.measure,
    "probes": probes.measure,
    "specs": specs.measure,
    "parallel": parallel.measure,
    "storage": storage.measure,
    "engine": transitions.measure,
}
