"""One form for the two ways in which a spec limits an agent's tools."""

from typing import Any

from kneo_grpc.spec.model import Agent


def permissions(agent: Agent) -> dict[str, Any] | None:
    """Return what the agent's tools may touch; None where the spec says nothing.

    Keys, each only where the spec says something: allow, deny (lists of tool names);
    allow_network, allow_filesystem_read, allow_filesystem_write, allow_shell (booleans);
    allowed_domains, denied_domains (lists). Where `tools.permissions` and `policies.tool` differ,
    the stricter one holds.
    """
    given = agent.tools.permissions if agent.tools else None
    policy = agent.policies.tool if agent.policies else None
    if given is None and policy is None:
        return None
    rights: dict[str, Any] = {}
    if given is not None:
        rights = {
            key: value for key, value in given.model_dump().items() if value not in (None, [])
        }
    if policy is not None:
        if policy.allow:
            rights["allow"] = list(policy.allow)
        if policy.deny:
            rights["deny"] = list(policy.deny)
        for key, value in (
            ("allow_network", policy.network),
            ("allow_filesystem_read", policy.filesystem),
            ("allow_filesystem_write", policy.filesystem),
            ("allow_shell", policy.shell),
        ):
            if value is not None:
                rights[key] = value and rights.get(key, True)
    return rights
