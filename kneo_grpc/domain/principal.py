"""Who is calling."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller. name: the audit actor; scopes: what it may do, `*` grants all."""

    name: str
    roles: frozenset[str]
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Tell whether the caller holds a scope such as `runs:read`."""
        return "*" in self.scopes or scope in self.scopes


ANONYMOUS = Principal(name="anonymous", roles=frozenset({"anonymous"}), scopes=frozenset({"*"}))
"""The caller where no keys are configured: the service is open on loopback only."""
