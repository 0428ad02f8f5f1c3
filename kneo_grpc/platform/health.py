"""Can the service do its work: the eight checks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.errors import KneoError
from kneo_grpc.ports.code import Code
from kneo_grpc.ports.store import HumanTaskFilter, PageRequest, Store

RUNTIMES = ("adapter", "bridge", "native")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A credential that the operator wants to be there. env_var: where it is looked for."""

    name: str
    env_var: str
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """checks: by name, each with `name`, `ok` and further facts."""

    ready: bool
    checks: Mapping[str, Mapping[str, Any]]


class Health:
    """Runs the checks. check_seconds: how long one may take."""

    def __init__(
        self,
        *,
        store: Store,
        code: Code,
        providers: tuple[Secret, ...] = (),
        mcp: tuple[Secret, ...] = (),
        check_seconds: float = 2.0,
    ) -> None:
        self._store = store
        self._code = code
        self._providers = providers
        self._mcp = mcp
        self._check_seconds = check_seconds
        self._draining = False

    def drain(self) -> None:
        """Be not ready from now on: the process is about to stop."""
        self._draining = True

    async def readiness(self) -> Readiness:
        """Run all checks at once."""
        probes: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
            "api": self._api,
            "run_state_store": self._run_store,
            "continuation_store": self._continuation_store,
            "queue": self._queue,
            "runtime_registry": self._runtimes,
            "tool_registry": self._tools,
            "providers": self._provider_secrets,
            "mcp": self._mcp_secrets,
        }
        results = await asyncio.gather(*(self._run(name, probe) for name, probe in probes.items()))
        checks = dict(zip(probes, results, strict=True))
        return Readiness(ready=all(check["ok"] for check in results), checks=checks)

    async def _run(
        self, name: str, probe: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._check_seconds):
                facts = await probe()
        except (KneoError, TimeoutError):
            # What went wrong stands in the log; strangers may read this answer.
            return {"name": name, "ok": False, "error": "check_failed"}
        return {"name": name, "ok": True, **facts}

    async def _api(self) -> dict[str, Any]:
        return {"ok": not self._draining, "status": "draining" if self._draining else "ready"}

    async def _run_store(self) -> dict[str, Any]:
        await self._store.check()
        return {"kind": self._store.name}

    async def _continuation_store(self) -> dict[str, Any]:
        await self._store.list_human_tasks(HumanTaskFilter(), PageRequest(limit=1, sort_by="id"))
        return {}

    async def _queue(self) -> dict[str, Any]:
        counts = await self._store.count_jobs()
        return {"kind": self._store.name, "durable": True, **counts}

    async def _runtimes(self) -> dict[str, Any]:
        return {"count": len(RUNTIMES), "names": list(RUNTIMES)}

    async def _tools(self) -> dict[str, Any]:
        names = sorted(self._code.tools())
        return {"ok": bool(names), "count": len(names), "names": names}

    async def _provider_secrets(self) -> dict[str, Any]:
        return _secrets(self._providers)

    async def _mcp_secrets(self) -> dict[str, Any]:
        return _secrets(self._mcp)


def _secrets(wanted: tuple[Secret, ...]) -> dict[str, Any]:
    if not wanted:
        return {"configured": False}
    items = {
        secret.name: {"name": secret.name, "env_var": secret.env_var, "ok": secret.present}
        for secret in wanted
    }
    return {"ok": all(secret.present for secret in wanted), "items": items}
