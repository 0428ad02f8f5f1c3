"""Views of a run's checkpoints: the timeline, and what changed between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.errors import InvalidInput, NotFound
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import Checkpoint, Run
from kneo_grpc.platform.feed import Feed
from kneo_grpc.platform.recovery import Recovery, RecoveryView
from kneo_grpc.ports.store import PageRequest

TIMELINE_MAX = 1000
CHANGES_MAX = 200

Change = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A run's history. timeline: its last 1,000 checkpoints, oldest first."""

    recovery: RecoveryView
    timeline: tuple[Checkpoint, ...]

    @property
    def run(self) -> Run:
        """The run."""
        return self.recovery.run


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointDiff:
    """What changed. added, removed: {path, value}; changed: {path, before, after}; at most 200 in
    all. change_count: of all changes.
    """

    run_id: RunId
    before: Checkpoint
    after: Checkpoint
    change_count: int
    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    changed: tuple[Change, ...]

    @property
    def truncated(self) -> bool:
        """Whether more changes exist than are listed."""
        return self.change_count > len(self.added) + len(self.removed) + len(self.changed)


class Replays:
    """Reads histories for people who ask what happened; nothing is executed."""

    def __init__(self, feed: Feed, recovery: Recovery) -> None:
        self._feed = feed
        self._recovery = recovery

    async def replay(self, run_id: RunId) -> Replay:
        """Return a run's timeline. Raises NotFound."""
        view = await self._recovery.view(run_id)
        page = PageRequest(limit=TIMELINE_MAX, sort_by="sequence", descending=True)
        found = await self._feed.checkpoints(run_id, None, page)
        return Replay(recovery=view, timeline=tuple(reversed(found.items)))

    async def diff(self, run_id: RunId, first: int | None, last: int | None) -> CheckpointDiff:
        """Return what changed between two checkpoints; without numbers between the last two.

        Raises NotFound for a run or a checkpoint, InvalidInput for fewer than two or twice the
        same.
        """
        view = await self._recovery.view(run_id)
        newest = view.run.checkpoint_sequence
        if newest < 2:
            raise InvalidInput("the run has fewer than two checkpoints", run_id=run_id)
        last = newest if last is None else last
        first = last - 1 if first is None else first
        if first == last:
            raise InvalidInput("a checkpoint does not differ from itself", run_id=run_id)
        before = await self._checkpoint(run_id, first)
        after = await self._checkpoint(run_id, last)
        return _difference(run_id, before, after)

    async def _checkpoint(self, run_id: RunId, sequence: int) -> Checkpoint:
        if sequence >= 1:
            page = PageRequest(limit=1, offset=sequence - 1, sort_by="sequence")
            found = await self._feed.checkpoints(run_id, None, page)
            if found.items and found.items[0].sequence == sequence:
                return found.items[0]
        raise NotFound(f"the run has no checkpoint {sequence}", run_id=run_id)


def _difference(run_id: RunId, before: Checkpoint, after: Checkpoint) -> CheckpointDiff:
    old = _flat({"state": before.state, "metadata": before.metadata})
    new = _flat({"state": after.state, "metadata": after.metadata})
    added = [{"path": path, "value": new[path]} for path in new if path not in old]
    removed = [{"path": path, "value": old[path]} for path in old if path not in new]
    changed = [
        {"path": path, "before": old[path], "after": new[path]}
        for path in new
        if path in old and (old[path] != new[path] or type(old[path]) is not type(new[path]))
    ]
    room = CHANGES_MAX
    parts: list[tuple[Change, ...]] = []
    for part in (added, removed, changed):
        parts.append(tuple(part[:room]))
        room -= len(parts[-1])
    return CheckpointDiff(
        run_id=run_id,
        before=before,
        after=after,
        change_count=len(added) + len(removed) + len(changed),
        added=parts[0],
        removed=parts[1],
        changed=parts[2],
    )


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a JSON value by path, such as `state.visited_steps[0]`."""
    if isinstance(value, Mapping) and value:
        leaves: dict[str, Any] = {}
        for key, item in value.items():
            leaves |= _flat(item, f"{path}.{key}" if path else str(key))
        return leaves
    if isinstance(value, (list, tuple)) and value:
        leaves = {}
        for index, item in enumerate(value):
            leaves |= _flat(item, f"{path}[{index}]")
        return leaves
    return {path: value}
