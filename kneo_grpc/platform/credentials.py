"""Credentials: which secrets this process finds, never what they are."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from kneo_grpc.domain.principal import Principal
from kneo_grpc.platform.audit import Audit
from kneo_grpc.platform.spec_sources import SpecSources
from kneo_grpc.spec.credentials import Credential, Inventory, take_inventory
from kneo_grpc.spec.secret_names import PROVIDER_VARIABLES


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
        found = take_inventory(
            project.config.secrets if project else None,
            self._is_set,
            providers=providers or tuple(PROVIDER_VARIABLES),
            extras=extras,
            with_service_keys=with_service_keys,
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


def _present(found: Mapping[str, Credential]) -> list[str]:
    return [name for name, credential in found.items() if credential.present]
