"""The environment policies that stand in the store, as every compile asks for them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from kneo_grpc.domain.change import StoredPolicy
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.store import Store
from kneo_grpc.spec.environment_policy import EnvironmentPolicy

_TRUSTED_FOR = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy that stands. key: equal for equal policies."""

    stored: StoredPolicy
    policy: EnvironmentPolicy
    key: str


class StandingPolicies:
    """Keeps the policies in memory and reads them anew when it is asked a second after it last
    did: at most one query a second, and none while nobody compiles. So what another process put
    holds here a second later at the latest, whether or not any message arrives.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: Mapping[str, Standing] = {}
        self._read_at: datetime | None = None
        self._reading: asyncio.Task[Mapping[str, Standing]] | None = None

    async def known(self) -> Mapping[str, Standing]:
        """Return all policies by environment, as they were a second ago at the earliest.

        Raises StoreUnavailable.
        """
        read_at = self._read_at
        if read_at is not None and timedelta(0) <= self._clock.now() - read_at < _TRUSTED_FOR:
            return self._known
        return await self.read()

    async def read(self) -> Mapping[str, Standing]:
        """Return all policies as they are now; calls that come together share one query."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(self._clock.now()))
            self._reading.add_done_callback(self._ended)
        return await asyncio.shield(self._reading)

    def forget(self) -> None:
        """Read anew at the next call: this process changed a policy."""
        self._read_at = self._reading = None

    async def _read(self, now: datetime) -> Mapping[str, Standing]:
        own = asyncio.current_task()
        known = {
            stored.environment: Standing(stored, read_policy(stored), str(stored.policy))
            for stored in await self._store.load_policies()
        }
        if self._reading is own:  # else what was read may be older than what this process wrote
            self._known, self._read_at = known, now
        return known

    def _ended(self, task: "asyncio.Task[Mapping[str, Standing]]") -> None:
        if self._reading is task:
            self._reading = None
        if not task.cancelled():
            task.exception()  # else it is reported as lost where every caller has gone away


def read_policy(stored: StoredPolicy) -> EnvironmentPolicy:
    """Return a stored policy. One that a later release wrote may say what this one does not know;
    that part does not hold here.
    """
    known = EnvironmentPolicy.model_fields
    return EnvironmentPolicy(**{key: value for key, value in stored.policy.items() if key in known})
