"""Environment policies: get, list, put and preview."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from kneo_grpc.domain.change import Act, AuditRecord, OutcomeKind, PolicyPut
from kneo_grpc.domain.errors import FieldsInvalid, KneoError, ResourceLocked
from kneo_grpc.domain.ids import AuditId, RunId
from kneo_grpc.domain.principal import Principal
from kneo_grpc.platform.idempotency import Idempotency
from kneo_grpc.platform.spec_sources import SpecSource
from kneo_grpc.platform.specs import Specs
from kneo_grpc.platform.standing_policies import Standing, StandingPolicies
from kneo_grpc.ports.clock import Clock, IdSource
from kneo_grpc.ports.store import PageRequest, RunFilter, Store
from kneo_grpc.spec.environment_policy import EnvironmentPolicy

SCOPE = "policies:put"
PREVIEWED_RUNS = 500
ENVIRONMENTS_MAX = 1_000
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PutPolicy:
    """What a put brought about. replayed: it is the first call's answer."""

    environment: str
    policy: EnvironmentPolicy
    previous: EnvironmentPolicy | None
    updated_at: datetime
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a policy would change. diff: field to (value now, value then); the value now is None
    where there is no policy. refused, newly_refused: runs, newest first. unreadable: runs whose
    material cannot be read any more.
    """

    environment: str
    diff: Mapping[str, tuple[Any, Any]]
    refused: tuple[RunId, ...] = ()
    newly_refused: tuple[RunId, ...] = ()
    evaluated: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class _Tally:
    refused: list[RunId] = field(default_factory=list)
    newly_refused: list[RunId] = field(default_factory=list)
    evaluated: int = 0
    unreadable: int = 0


class Policies:
    """The environment policy use cases."""

    def __init__(
        self,
        *,
        store: Store,
        specs: Specs,
        standing: StandingPolicies,
        idempotency: Idempotency,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._store = store
        self._specs = specs
        self._standing = standing
        self._idempotency = idempotency
        self._clock = clock
        self._ids = ids

    async def list(self) -> Mapping[str, Standing]:
        """Return all policies by environment, as they are now."""
        return await self._standing.read()

    async def get(self, environment: str) -> Standing | None:
        """Return the policy of an environment as it is now, None where it has none."""
        return (await self.list()).get(environment)

    async def put(
        self,
        caller: Principal,
        environment: str,
        policy: EnvironmentPolicy,
        idempotency_key: str | None = None,
    ) -> PutPolicy:
        """Replace the policy of an environment; the audit record lands in the same transaction.

        Raises ResourceLocked where others change it faster than this call can.
        """
        data = policy.model_dump()
        request = {"environment": environment, "policy": data}
        for _ in range(_TRIES):
            record, known = await self._idempotency.look(
                caller.name, SCOPE, idempotency_key, request
            )
            if known is not None:
                return _replayed(known.response)
            now = self._clock.now()
            standing = await self.list()
            before = standing.get(environment)
            if before is None and len(standing) >= ENVIRONMENTS_MAX:
                text = f"{ENVIRONMENTS_MAX} environments have policies, and no more may have"
                raise FieldsInvalid([("environment", text)])
            previous = None if before is None else before.policy
            if record is not None:
                response = _response(environment, policy, previous, now)
                record = replace(record, response=response)
            version = 0 if before is None else before.stored.version
            put = PolicyPut(environment=environment, version=version, policy=data, at=now)
            audit = self._audit(caller, environment, policy, previous, now)
            outcome = await self._store.act(Act(policy=put, audit=(audit,), idempotency=record))
            self._standing.forget()
            if outcome is OutcomeKind.APPLIED:
                return PutPolicy(
                    environment=environment, policy=policy, previous=previous, updated_at=now
                )
        raise ResourceLocked("the policy is being changed by others", resource=environment)

    async def preview(self, environment: str, policy: EnvironmentPolicy) -> Preview:
        """Tell what a policy would change, for the newest runs of the environment as if they were
        asked for again now.
        """
        standing = await self.get(environment)
        present = None if standing is None else standing.policy
        page = PageRequest(limit=PREVIEWED_RUNS, sort_by="created_at", descending=True)
        where = RunFilter(environment=environment, or_unnamed=await self._is_default(environment))
        found = await self._store.list_runs(where, page)
        tally, verdicts = _Tally(), dict[bytes, tuple[bool, bool] | None]()
        for summary in found.items:
            run = await self._store.load_run(summary.id)
            if run is None:
                continue
            source = SpecSource.from_data(run.source)
            key = _key(source, run.target)
            if key not in verdicts:
                verdicts[key] = await self._verdict(source, run.target, present, policy)
            _count(tally, run.id, verdicts[key])
        return Preview(
            environment=environment,
            diff=_diff(present, policy),
            refused=tuple(tally.refused),
            newly_refused=tuple(tally.newly_refused),
            evaluated=tally.evaluated,
            unreadable=tally.unreadable,
        )

    async def _verdict(
        self,
        source: SpecSource,
        target: str,
        present: EnvironmentPolicy | None,
        policy: EnvironmentPolicy,
    ) -> tuple[bool, bool] | None:
        """Return whether the present and the other policy refuse a run; None where what it was made
        of cannot be read.
        """
        try:
            now, then = await self._specs.judged(source, target, (present, policy))
        except KneoError:
            return None
        return bool(now), bool(then)

    async def _is_default(self, environment: str) -> bool:
        """Tell whether calls that name no environment run in this one."""
        try:
            return await self._specs.default_environment() == environment
        except KneoError:
            return False  # such calls are refused at present, whatever a policy says

    def _audit(
        self,
        caller: Principal,
        environment: str,
        policy: EnvironmentPolicy,
        previous: EnvironmentPolicy | None,
        now: datetime,
    ) -> AuditRecord:
        before = {} if previous is None else {"previous": previous.model_dump()}
        return AuditRecord(
            id=AuditId(self._ids.new("audit")),
            event_type="policy.changed",
            actor=caller.name,
            metadata={
                "surface": "environment_policy_enforcement",
                "environment": environment,
                **before,
                "current": policy.model_dump(),
                "changed_fields": sorted(_diff(previous, policy)),
            },
            created_at=now,
        )


def _key(source: SpecSource, target: str) -> bytes:
    """Return what is equal for runs that a policy judges alike, whatever else they were given."""
    text = json.dumps([target, source.to_data()], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).digest()


def _count(tally: _Tally, run_id: RunId, verdict: tuple[bool, bool] | None) -> None:
    if verdict is None:
        tally.unreadable += 1
        return
    tally.evaluated += 1
    refused_now, refused_then = verdict
    if refused_then:
        tally.refused.append(run_id)
        if not refused_now:
            tally.newly_refused.append(run_id)


def _diff(
    present: EnvironmentPolicy | None, policy: EnvironmentPolicy
) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ; all of them where there is no policy yet."""
    before = {} if present is None else present.model_dump()
    return {
        name: (before.get(name), value)
        for name, value in policy.model_dump().items()
        if name not in before or before[name] != value
    }


def _response(
    environment: str, policy: EnvironmentPolicy, previous: EnvironmentPolicy | None, at: datetime
) -> dict[str, Any]:
    return {
        "environment": environment,
        "policy": policy.model_dump(),
        "previous": None if previous is None else previous.model_dump(),
        "updated_at": at.isoformat(),
    }


def _replayed(response: Mapping[str, Any] | None) -> PutPolicy:
    assert response is not None  # a put writes its answer with its effect
    previous = response["previous"]
    return PutPolicy(
        environment=response["environment"],
        policy=EnvironmentPolicy(**response["policy"]),
        previous=None if previous is None else EnvironmentPolicy(**previous),
        updated_at=datetime.fromisoformat(response["updated_at"]),
        replayed=True,
    )
