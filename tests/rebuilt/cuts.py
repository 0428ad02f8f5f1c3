"""A store that cuts a process off at a commit of a run: nothing that it does afterwards lands."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.change import Change, Outcome
from kneo_grpc.domain.ids import RunId


@dataclass(frozen=True)
class Cut:
    """number: of the run's commit, from 1; landed: whether that one still lands."""

    number: int
    landed: bool


class CutStore:
    """Stands before a store. cuts: by the run's input; reached: the cuts that came; ids: of
    runs, by their inputs.
    """

    def __init__(self, store: Any, cuts: Mapping[str, Cut], ids: dict[str, RunId]) -> None:
        self.ids = ids
        self.store = store
        self.commits: Counter[str] = Counter()
        self.reached = {run: asyncio.Event() for run in cuts}
        self._cuts = cuts
        self._end = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def commit(self, changes: Sequence[Change]) -> tuple[Outcome, ...]:
        (change,) = changes
        run = change.run.input_text
        self.ids[run] = change.run_id
        self.commits[run] += 1
        cut = self._cuts.get(run)
        if cut is not None and self.commits[run] >= cut.number:
            if cut.landed and self.commits[run] == cut.number:
                await self.store.commit(changes)
            self.reached[run].set()
            await self._end.wait()
        if self._end.is_set():
            raise asyncio.CancelledError("this process is dead")
        outcomes: tuple[Outcome, ...] = await self.store.commit(changes)
        return outcomes

    def die(self) -> None:
        """End whatever waits at a cut, and let nothing land any more."""
        self._end.set()
