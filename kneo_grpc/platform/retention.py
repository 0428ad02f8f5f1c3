"""What may go: old runs and what belongs to them, in small batches that never stall the hot
path.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from kneo_grpc.domain.principal import Principal
from kneo_grpc.domain.run import TERMINAL, RunStatus
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.sealer import Sealer
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.upkeep import Kept, Upkeep


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """ages: how old each kind may become; a kind that is missing is kept for ever.

    statuses: of the runs that may go. pause: between two batches, left to other commits.
    """

    ages: Mapping[Kept, timedelta] = field(default_factory=dict)
    statuses: frozenset[RunStatus] = TERMINAL
    batch: int = 200
    pause: timedelta = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """How many of each kind were removed."""

    removed: Mapping[Kept, int]


class Retention:
    """Removes what is older than the settings allow."""

    def __init__(
        self,
        upkeep: Upkeep,
        sealer: Sealer,
        audit: Audit,
        clock: Clock,
        settings: RetentionSettings,
    ) -> None:
        self._upkeep = upkeep
        self._sealer = sealer
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._untold: list[tuple[str | None, dict[str, int]]] = []

    @property
    def keeps_all(self) -> bool:
        """Whether no age is set, so that nothing is ever removed."""
        return not self._settings.ages

    async def run_once(self, caller: Principal | None = None) -> RetentionReport:
        """Remove everything that is too old now, batch by batch, and leave an audit record of it,
        also where it fails midway. While the store takes no record it is kept for the next time.

        caller: who asked for it; None for the service itself.
        """
        # What has no number yet stays, and so do the runs that it is about.
        await self._sealer.run_once()
        removed: dict[Kept, int] = {}
        try:
            for kind, age in self._settings.ages.items():
                removed[kind] = 0
                async for count in self._batches(kind, age):
                    removed[kind] += count
        finally:
            if any(removed.values()):
                facts = {kind.value: count for kind, count in removed.items()}
                self._untold.append((caller.name if caller else None, facts))
            await self._tell()
        return RetentionReport(removed)

    async def _batches(self, kind: Kept, age: timedelta) -> AsyncIterator[int]:
        """Remove what is too old; yield how much each batch removed."""
        before = self._clock.now() - age
        while True:
            count = await self._upkeep.prune(
                kind, before, statuses=self._settings.statuses, limit=self._settings.batch
            )
            yield count
            if count < self._settings.batch:
                return
            await self._clock.sleep(self._settings.pause)

    async def _tell(self) -> None:
        """Write the records that are not written yet."""
        while self._untold:
            actor, facts = told = self._untold.pop(0)
            try:
                await self._audit.record(actor, "retention.pruned", facts)
            except BaseException:
                self._untold.insert(0, told)
                raise
