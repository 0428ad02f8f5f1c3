"""What processes cost, read from /proc."""

import os
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Stat:
    name: str
    parent: int
    own: float
    children: float


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds so far, by party."""

    seconds: dict[str, float] = field(default_factory=dict)

    def since(self, before: "Cpu") -> dict[str, float]:
        """Return what was used after `before` was taken."""
        return {name: value - before.seconds.get(name, 0) for name, value in self.seconds.items()}


def cpu_seconds(*, postgres: int, service: tuple[int, ...]) -> Cpu:
    """Read the CPU seconds of a PostgreSQL, of services with their Envoys, and of this process.

    postgres, service: process ids; children are found by their parents.
    """
    table = _processes()
    used = {
        "postgres": _with_children(table, postgres),
        "client": table[os.getpid()].own,
        "service": 0.0,
        "envoy": 0.0,
    }
    for pid in _family(table, service):
        party = "envoy" if table[pid].name.startswith("envoy") else "service"
        used[party] += table[pid].own
    return Cpu(used)


def thread_seconds(pid: int) -> dict[str, float]:
    """Return the CPU seconds of a process: of its main thread, and of the others by their names."""
    used: dict[str, float] = {}
    for entry in Path(f"/proc/{pid}/task").iterdir():
        stat = _parse((entry / "stat").read_text())
        name = "main" if int(entry.name) == pid else stat.name
        used[name] = used.get(name, 0.0) + stat.own
    return used


def machine_seconds() -> float:
    """Return the CPU seconds that all of the machine has used, and that were taken from it."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _waiting, hard, soft, stolen = (int(word) for word in words[:8])
    return (user + nice + system + hard + soft + stolen) / _TICKS


def resident_mb(service: tuple[int, ...]) -> dict[str, float]:
    """Return the resident megabytes of services and of their Envoys."""
    table = _processes()
    memory = {"service": 0.0, "envoy": 0.0}
    for pid in _family(table, service):
        party = "envoy" if table[pid].name.startswith("envoy") else "service"
        memory[party] += _resident(pid)
    return memory


def _family(table: dict[int, _Stat], roots: tuple[int, ...]) -> list[int]:
    """Return the ids of processes and of all that descend from them."""
    family = [pid for pid in roots if pid in table]
    for pid in family:
        family.extend(child for child, stat in table.items() if stat.parent == pid)
    return family


def _with_children(table: dict[int, _Stat], pid: int) -> float:
    """Return a process's seconds, those of children that ended, and those of living ones."""
    living = sum(stat.own for stat in table.values() if stat.parent == pid)
    return table[pid].own + table[pid].children + living


def _processes() -> dict[int, _Stat]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = _parse((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def _parse(line: str) -> _Stat:
    """Parse proc(5) stat; the name stands in brackets and may hold spaces."""
    head, _, rest = line.rpartition(")")
    fields = rest.split()
    user, system, children_user, children_system = (int(word) for word in fields[11:15])
    return _Stat(
        name=head.partition("(")[2],
        parent=int(fields[1]),
        own=(user + system) / _TICKS,
        children=(children_user + children_system) / _TICKS,
    )


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
