"""Credentials by reference: which secrets an environment holds, and in which variables."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kneo_grpc.domain.redaction import MARKER
from kneo_grpc.spec.project import SecretsSection
from kneo_grpc.spec.secret_names import extra_variable, provider_variable

SERVICE_KEYS = ("KNEO_SERV_API_KEY", "KNEO_SERV_API_KEYS", "KNEO_SERV_ADMIN_API_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A secret by reference. name: kind and name; env_var: the variable that holds it."""

    name: str
    env_var: str
    present: bool

    @property
    def value(self) -> str | None:
        """What is shown in place of the secret; None where there is none."""
        return MARKER if self.present else None

    @property
    def status(self) -> str:
        """`present` or `missing`."""
        return "present" if self.present else "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Secrets by the names under which they were asked for."""

    providers: Mapping[str, Credential]
    extra: Mapping[str, Credential]
    service: Mapping[str, Credential]


def take_inventory(
    named: SecretsSection | None,
    is_set: Callable[[str], bool],
    *,
    providers: Iterable[str],
    extras: Iterable[str],
    with_service_keys: bool = True,
) -> Inventory:
    """Return which of these secrets are there. named: where the project says that they are; is_set:
    tells whether a variable holds anything.
    """

    def credential(kind: str, name: str, variable: str) -> Credential:
        return Credential(name=f"{kind}:{name}", env_var=variable, present=is_set(variable))

    variables = named.provider_env if named else {}
    others = named.extra_env if named else {}
    return Inventory(
        providers={
            name: credential("provider", name, provider_variable(name, variables))
            for name in providers
        },
        extra={name: credential("extra", name, extra_variable(name, others)) for name in extras},
        service={
            name: credential("service", name, name)
            for name in (SERVICE_KEYS if with_service_keys else ())
        },
    )
