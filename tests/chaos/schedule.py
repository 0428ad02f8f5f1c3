"""Which fault comes when: everything follows from the seed."""

import random
from dataclasses import dataclass, replace

SLOTS = 4
"""Processes that faults may hit: two API processes and two workers."""

GAPS = {"kill": (1.0, 4.0), "stop": (20.0, 40.0), "backend": (13.0, 27.0), "restart": (90.0, 150.0)}
"""Seconds between two faults of a kind."""

KINDS = tuple(GAPS)

START_SECONDS = 3.0
"""In which a process has most likely come up."""

STARTING_SHARE = 0.1
"""Of the kills that take no notice of that."""

WAKE_SECONDS = 2.0
"""For a process that was frozen to go wrong in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. at: seconds since the faults began; seconds: how long a stop lasts.

    slot: the process of a kill or stop. share: of PostgreSQL's backends, 0 for a single one.
    mode: of PostgreSQL's shutdown. number: counts the faults of a kind, and picks backends.
    """

    kind: str
    at: float
    number: int
    slot: int = 0
    seconds: float = 0.0
    share: float = 0.0
    mode: str = ""


def schedule(
    seed: int, seconds: float, kinds: tuple[str, ...], lease_seconds: float
) -> tuple[Fault, ...]:
    """Return the faults in order. Each kind has its own dice, so that leaving one out changes no
    other.
    """
    by_kind = {kind: _of_kind(seed, seconds, kind, lease_seconds) for kind in KINDS}
    by_kind["kill"] = _spared(by_kind["kill"], by_kind["stop"])
    faults = [fault for kind in kinds for fault in by_kind[kind]]
    return tuple(sorted(faults, key=lambda fault: (fault.at, fault.kind)))


def _of_kind(seed: int, seconds: float, kind: str, lease_seconds: float) -> list[Fault]:
    dice = random.Random(f"{seed} {kind}")
    shortest, longest = GAPS[kind]
    at = dice.uniform(0.1, 0.5) * (shortest + longest) / 2
    faults: list[Fault] = []
    while True:
        fault = Fault(
            kind=kind,
            at=round(at, 3),
            number=len(faults),
            slot=_slot(dice, at, faults),
            seconds=round(dice.uniform(1.5, 3.0) * lease_seconds, 3) if kind == "stop" else 0.0,
            share=dice.choice((0.0, 0.0, 0.5, 1.0)),
            mode=dice.choice(("immediate", "fast")),
        )
        if fault.at + fault.seconds > seconds:
            return faults
        faults.append(fault)
        at += dice.uniform(shortest, longest)


def _slot(dice: random.Random, at: float, faults: list[Fault]) -> int:
    """Mostly a process that is not just starting after an earlier fault."""
    starting = {fault.slot for fault in faults if at - fault.at < START_SECONDS}
    slot, anyway = dice.randrange(SLOTS), dice.random() < STARTING_SHARE
    while slot in starting and not anyway:
        slot = (slot + 1) % SLOTS
    return slot


def _spared(kills: list[Fault], stops: list[Fault]) -> list[Fault]:
    """Have kills pass by a process that is to be frozen, is, or has just woken up."""

    def frozen(kill: Fault, slot: int) -> bool:
        return any(
            stop.slot == slot
            and stop.at - START_SECONDS < kill.at < stop.at + stop.seconds + WAKE_SECONDS
            for stop in stops
        )

    return [
        replace(kill, slot=(kill.slot + 1) % SLOTS) if frozen(kill, kill.slot) else kill
        for kill in kills
    ]
