"""Credentials: which secrets this process finds, never what they are."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kneo_grpc.domain.principal import Principal
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.spec_sources import SpecSources
from kneo_grpc.spec.secret_names import PROVIDER_VARIABLES, extra_variable, provider_variable

SERVICE_KEYS = ("KNEO_SERV_API_KEY", "KNEO_SERV_API_KEYS", "KNEO_SERV_ADMIN_API_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A secret by reference. name: kind and name; env_var: the variable that holds it."""

    name: str
    env_var: str
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Secrets by the names under which they were asked for."""

    providers: Mapping[str, Credential]
    extra: Mapping[str, Credential]
    service: Mapping[str, Credential]


class Credentials:
    """The credential use case. is_set: tells whether a variable of the process holds anything."""

    def __init__(
        self,
        *,
        audit: Audit,
        sources: SpecSources,
        is_set: Callable[[str], bool],
    ) -> None:
        self._audit = audit
        self._sources = sources
        self._is_set = is_set

    async def inventory(
        self,
        caller: Principal,
        *,
        providers: Sequence[str],
        extras: Sequence[str],
        with_service_keys: bool,
    ) -> Inventory:
        """Return which secrets are there, once the audit record of the call is stored.

        providers: the five that everybody knows when empty. The project's config may say which
        variables hold them. Raises ProjectConfigInvalid.
        """
        project = await asyncio.to_thread(self._sources.project)
        named = project.config.secrets if project else None
        variables = named.provider_env if named else {}
        others = named.extra_env if named else {}
        found = Inventory(
            providers={
                name: self._credential("provider", name, provider_variable(name, variables))
                for name in providers or tuple(PROVIDER_VARIABLES)
            },
            extra={
                name: self._credential("extra", name, extra_variable(name, others))
                for name in extras
            },
            service={
                name: self._credential("service", name, name)
                for name in (SERVICE_KEYS if with_service_keys else ())
            },
        )
        facts = {
            "providers_requested": list(providers),
            "extras_requested": list(extras),
            "include_service_references": with_service_keys,
            "provider_count": len(found.providers),
            "extra_count": len(found.extra),
            "service_reference_count": len(found.service),
            "providers_present": _present(found.providers),
            "extras_present": _present(found.extra),
            "service_references_present": _present(found.service),
        }
        await self._audit.record(caller.name, "credential.inventory_accessed", facts)
        return found

    def _credential(self, kind: str, name: str, variable: str) -> Credential:
        return Credential(name=f"{kind}:{name}", env_var=variable, present=self._is_set(variable))


def _present(found: Mapping[str, Credential]) -> list[str]:
    return [name for name, credential in found.items() if credential.present]
