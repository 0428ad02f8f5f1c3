"""API keys: read from the operator's setting, held as digests, compared in constant time."""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kneo_grpc.api.key_rules import Holder, check_holders, check_key
from kneo_grpc.api.policy import ROLES, SCOPES
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.domain.principal import Principal
from kneo_grpc.spec.spelling import closest

KEYS = "KNEO_SERV_API_KEYS"
ADMIN_KEY = "KNEO_SERV_ADMIN_API_KEY"
CLIENTS = "KNEO_SERV_TLS_CLIENTS"

_NOUNS = frozenset(scope.partition(":")[0] for scope in SCOPES)

ADMIN = Principal(name="admin", roles=frozenset({"admin"}), scopes=frozenset({"*"}))
"""Who holds the admin key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key and who holds it. digest: SHA-256 of the key's UTF-8."""

    digest: bytes
    principal: Principal


class ApiKeys:
    """All keys and certificates of a service's callers. Without any, the service is open.

    clients: who calls with a client certificate, by the one URI or DNS name in it.
    """

    def __init__(
        self, keys: Iterable[ApiKey], clients: Mapping[str, Principal] | None = None
    ) -> None:
        self._keys: Sequence[ApiKey] = tuple(keys)
        self._clients = dict(clients or {})

    def __bool__(self) -> bool:
        return bool(self._keys or self._clients)

    @property
    def clients(self) -> Collection[str]:
        """The names of certificates that are somebody's."""
        return self._clients.keys()

    def find_client(self, uri: str, dns: str) -> Principal | None:
        """Return whose certificate it is; uri, dns: its names, separated by commas.

        The URI counts where there is one. Of several names none counts: nobody can tell which one
        the authority meant.
        """
        return self._clients.get(uri or dns)

    def find(self, presented: str) -> Principal | None:
        """Return who holds a key. Every key is compared, whatever came before."""
        digest = _digest(presented)
        found: Principal | None = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest) and found is None:
                found = key.principal
        return found


def read_keys(setting: str, admin_key: str, clients: str = "") -> ApiKeys:
    """Read `name:key:role_or_scope[,…];…`, the admin key, and the clients of read_clients.

    Raises StartRefused, naming the entry by its number and never by its content.
    """
    holders = []
    entries = [entry.strip() for entry in setting.split(";")]
    for number, entry in enumerate((entry for entry in entries if entry), start=1):
        parts = [part.strip() for part in entry.split(":", 2)]
        if len(parts) != 3 or not all(parts):
            raise StartRefused(f"{KEYS}: entry {number} is not of the form name:key:role_or_scope")
        name, key, grants = parts
        where = f"{KEYS}: entry {number}"
        check_key(where, key)
        principal = _principal(name, grants, number)
        holders.append(Holder(where=where, principal=principal, digest=_digest(key)))
    if admin := admin_key.strip():
        check_key(ADMIN_KEY, admin)
        holders.append(Holder(where=ADMIN_KEY, principal=ADMIN, digest=_digest(admin), admin=True))
    certified = read_clients(clients)
    named = (Holder(where=CLIENTS, principal=principal) for principal in certified.values())
    check_holders([*holders, *named])
    keys = [
        ApiKey(digest=holder.digest, principal=holder.principal)
        for holder in holders
        if holder.digest is not None
    ]
    return ApiKeys(keys, certified)


def read_clients(setting: str) -> dict[str, Principal]:
    """Read `certificate name=role_or_scope[,…];…`. Raises StartRefused as read_keys does."""
    found: dict[str, Principal] = {}
    entries = [entry.strip() for entry in setting.split(";")]
    for number, entry in enumerate((entry for entry in entries if entry), start=1):
        name, _, grants = entry.rpartition("=")
        name = name.strip()
        if not name or "," in name:
            raise StartRefused(
                f"{CLIENTS}: entry {number} is not of the form certificate_name=role_or_scope"
            )
        principal = _principal(name, grants, number, CLIENTS)
        if found.setdefault(name, principal).scopes != principal.scopes:
            raise StartRefused(f"{CLIENTS}: entry {number} grants {name} other rights than before")
    return found


def _principal(name: str, grants: str, number: int, setting: str = KEYS) -> Principal:
    words = [word.strip() for word in grants.split(",") if word.strip()]
    roles = frozenset(word for word in words if word in ROLES)
    scopes = frozenset(word for word in words if word not in ROLES)
    unknown = sorted(scopes - SCOPES)
    if unknown or not words:
        named = ", ".join(map(_told, unknown)) or "nothing"
        raise StartRefused(f"{setting}: entry {number} grants {named}, which is no role or scope")
    expanded = frozenset[str]().union(*(ROLES[role] for role in roles))
    return Principal(name=name, roles=roles, scopes=scopes | expanded)


def _told(word: str) -> str:
    """Return what is told of a word that grants nothing: itself where it is a misspelt role or
    scope, for the rest of a key with a colon in it stands in the same place.
    """
    noun, colon, verb = word.partition(":")
    if colon:
        ours = closest(noun, _NOUNS) is not None and verb.isascii() and verb.isalpha()
    else:
        ours = closest(word, ROLES) is not None
    return word if ours else "something"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
