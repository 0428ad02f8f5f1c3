"""One form for the two ways in which a spec limits an agent's tools, and what is wide in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.plan import AgentPlan
from kneo_grpc.spec.model import Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """What an agent's tools may touch that a reviewer wants to know. unrestricted: the words for
    it where it counts as that, else None.
    """

    code: str
    text: str
    hint: str | None = None
    unrestricted: str | None = None


NO_PERMISSIONS = Touch(
    code="W_TOOL_POLICY_UNRESTRICTED",
    text="the agent has tools without permissions",
    hint="add tools.permissions or policies.tool",
    unrestricted="no `permissions`",
)
_NETWORK = Touch(
    code="W_TOOL_NETWORK_UNRESTRICTED",
    text="the tools may reach any host",
    hint="name allowed_domains",
    unrestricted="`allow_network` without `allowed_domains`",
)
_TOUCHES: Mapping[str, Touch] = {
    "allow_shell": Touch(
        code="W_TOOL_SHELL_ALLOWED",
        text="the tools may run shell commands",
        unrestricted="`allow_shell`",
    ),
    "allow_filesystem_write": Touch(
        code="W_TOOL_FILESYSTEM_WRITE_ALLOWED",
        text="the tools may write files",
        unrestricted="`allow_filesystem_write`",
    ),
    "allow_filesystem_read": Touch(
        code="W_TOOL_FILESYSTEM_READ_ALLOWED", text="the tools may read files"
    ),
}


def touches(rights: Mapping[str, Any] | None, *, tools: bool) -> Iterator[Touch]:
    """Yield what an agent's tools may touch. rights: as permissions gives them; tools: whether the
    agent has any.
    """
    if rights is None:
        if tools:
            yield NO_PERMISSIONS
        return
    if rights.get("allow_network") and not rights.get("allowed_domains"):
        yield _NETWORK
    for right, touch in _TOUCHES.items():
        if rights.get(right):
            yield touch


def unrestricted(rights: Mapping[str, Any] | None, *, tools: bool) -> tuple[str, ...]:
    """Return in words what makes an agent's tools unrestricted: a shell, writing files, reaching
    any host, or no permissions at all; see touches.
    """
    return tuple(
        touch.unrestricted
        for touch in touches(rights, tools=tools)
        if touch.unrestricted is not None
    )


def planned_permissions(agent: AgentPlan) -> Mapping[str, Any] | None:
    """Return what permissions gave for the agent of a plan."""
    return agent.tool_permissions or ({} if agent.permits_nothing else None)


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
