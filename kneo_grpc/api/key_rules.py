"""What keys must be like, so that everybody can tell who called and with which rights."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.domain.principal import Principal

logger = logging.getLogger("kneo_grpc.app")

CARRIED = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Somebody who may call. where: the entry that says so, for messages. digest: of the key, None
    for a certificate. admin: by the admin key, which may repeat an entry.
    """

    where: str
    principal: Principal
    digest: bytes | None = None
    admin: bool = False


def check_key(where: str, key: str) -> None:
    """Raises StartRefused for a key that no caller can present."""
    if not CARRIED.fullmatch(key):
        raise StartRefused(
            f"{where}: the key holds characters that a header does not carry; use printable ASCII"
        )


def check_holders(holders: Iterable[Holder]) -> None:
    """Check entries against each other: a name has one set of rights, a key has one name.

    A name may have several keys, which is how keys are rotated. The admin key may repeat an entry
    that grants all, which is told in the log. Raises StartRefused, without any key's content.
    """
    by_name: dict[str, Holder] = {}
    by_key: dict[bytes, Holder] = {}
    for holder in holders:
        name, digest = holder.principal.name, holder.digest
        twin = by_key.setdefault(digest, holder) if digest is not None else holder
        if twin is not holder and holder.admin and "*" in twin.principal.scopes:
            logger.warning("%s repeats the key of %s", holder.where, twin.where)
            continue
        if twin.principal.name != name:
            raise StartRefused(
                f"{twin.where} ({twin.principal.name}) and {holder.where} ({name}) "
                "have the same key"
            )
        if twin is not holder:
            logger.warning("%s repeats the key of %s", holder.where, twin.where)
        known = by_name.setdefault(name, holder)
        if known.principal.scopes != holder.principal.scopes:
            raise StartRefused(
                f"{known.where} and {holder.where} are both named {name} and grant different "
                "rights; the keys of one name grant the same, so give one of them another name"
            )
