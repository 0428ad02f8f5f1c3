"""Denied calls, counted together so that no flood of them can fill the audit trail."""

from dataclasses import dataclass
from datetime import datetime

from kneo_grpc.domain.change import AuditRecord
from kneo_grpc.domain.ids import AuditId
from kneo_grpc.ports.audit import AuditTrail
from kneo_grpc.ports.clock import Clock, IdSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A call that was refused. principal: None when the key was missing or wrong; the key itself is
    never kept. method: the rpc as `Service/Method`. reason: of the error; scope: that was missing.
    """

    principal: str | None
    method: str
    reason: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class DenialReport:
    """What one look wrote: how many records, for how many calls."""

    records: int = 0
    calls: int = 0


@dataclass(slots=True)
class _Count:
    calls: int
    first: datetime
    last: datetime
    client_ip: str | None


class Denials:
    """Counts denied calls in memory and writes one record for equal ones. kinds_max: different ones
    between two looks; what is beyond them is counted without its particulars.
    """

    def __init__(
        self, trail: AuditTrail, clock: Clock, ids: IdSource, *, kinds_max: int = 100
    ) -> None:
        self._trail = trail
        self._clock = clock
        self._ids = ids
        self._kinds_max = kinds_max
        self._counts: dict[Denial | None, _Count] = {}

    def note(self, denial: Denial, client_ip: str | None) -> None:
        """Count a denied call. client_ip: kept for the last one of its kind."""
        key = denial if denial in self._counts or len(self._counts) < self._kinds_max else None
        now = self._clock.now()
        known = self._counts.get(key)
        if known is None:
            self._counts[key] = _Count(1, now, now, client_ip)
            return
        known.calls += 1
        known.last = now
        known.client_ip = client_ip

    async def run_once(self) -> DenialReport:
        """Write what was counted. When the store does not answer it is kept for the next look."""
        if not self._counts:
            return DenialReport()
        taken, self._counts = self._counts, {}
        try:
            await self._trail.append_audit(
                [self._record(key, count) for key, count in taken.items()]
            )
        except BaseException:
            self._put_back(taken)
            raise
        return DenialReport(len(taken), sum(count.calls for count in taken.values()))

    def _put_back(self, taken: dict[Denial | None, _Count]) -> None:
        newer, self._counts = self._counts, taken
        for denial, count in newer.items():
            key = denial if denial in taken or len(taken) < self._kinds_max else None
            known = taken.get(key)
            if known is None:
                taken[key] = count
                continue
            known.calls += count.calls
            known.last, known.client_ip = count.last, count.client_ip

    def _record(self, denial: Denial | None, count: _Count) -> AuditRecord:
        facts = {
            "count": count.calls,
            "first_at": count.first.isoformat(),
            "last_at": count.last.isoformat(),
            "client_ip": count.client_ip,
        }
        if denial is None:
            facts["dropped"] = True
        else:
            facts |= {
                "method": denial.method,
                "reason": denial.reason,
                "required_scope": denial.scope,
            }
        return AuditRecord(
            id=AuditId(self._ids.new("audit")),
            event_type="call.denied",
            actor=None if denial is None else denial.principal,
            metadata={key: value for key, value in facts.items() if value is not None},
            created_at=self._clock.now(),
        )
