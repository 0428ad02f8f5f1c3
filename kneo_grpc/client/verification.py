"""The verification of a whole audit trail, put together from its parts."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

BREAKS_MAX = 1_000
"""Breaks that are listed; `breaks_total` counts them all."""


async def whole_verification(verify: Callable[[Json], Awaitable[Json]]) -> Json:
    """Ask for part after part and return the whole: `valid`, `checked`, `pruned`, `breaks`,
    `breaks_total`, and the end of the chain as the last part saw it. verify: one call; see
    Client.verify_audit.
    """
    token: str | None = None
    checked = pruned = total = 0
    breaks: list[Json] = []
    while True:
        part = await verify({} if token is None else {"page_token": token})
        # The second phase looks at the same events again.
        if part.get("phase") != "records":
            checked += part.get("checked", 0)
            pruned += part.get("pruned", 0)
        found = part.get("breaks") or []
        total += len(found)
        breaks += found[: BREAKS_MAX - len(breaks)]
        token = part.get("next_page_token")
        if not token:
            end = ("head_number", "head_digest", "unsealed", "oldest_unsealed_at")
            return {
                "valid": total == 0,
                "checked": checked,
                "pruned": pruned,
                "breaks": breaks,
                "breaks_total": total,
                **{name: part[name] for name in end if name in part},
            }
