"""Skills that one run's agents have more, or less, than the spec says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kneo_grpc.spec.document import Document
from kneo_grpc.spec.findings import refusal, shown
from kneo_grpc.spec.merge import merge
from kneo_grpc.spec.migrate import migrate
from kneo_grpc.spec.spelling import closest


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillOverlay:
    """Names of skills that the spec declares: those to add to every agent but for one that is a
    workflow, and those to take from every agent.
    """

    add: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()


def with_skills(document: Document, overlay: SkillOverlay) -> Document:
    """Return the document with other skills for its agents.

    Raises SpecInvalid for a skill that the spec does not declare, or that is both added and taken
    away: nobody knows what a run without it, or with it, was meant to be.
    """
    document = migrate(document)
    declared = document.data.get("skills")
    for field, names in (("add", overlay.add), ("disable", overlay.disable)):
        for name in names:
            _check(name, field, declared if isinstance(declared, Mapping) else {})
    both = set(overlay.add) & set(overlay.disable)
    if both:
        text = f"the call both adds and disables the skill {shown(min(both))}"
        raise refusal("E_SKILL_REF", text)
    over: dict[str, Any] = {}
    agent = _changed(document.data.get("agent"), overlay)
    if agent is not None:
        over["agent"] = agent
    components = document.data.get("components")
    agents = components.get("agents") if isinstance(components, Mapping) else None
    if isinstance(agents, Mapping):
        changed = {name: _changed(item, overlay) for name, item in agents.items()}
        over["components"] = {"agents": {key: item for key, item in changed.items() if item}}
    return merge(document, over)


def _check(name: str, field: str, declared: Mapping[str, Any]) -> None:
    if name not in declared:
        meant = closest(name, map(str, declared))
        hint = f"; did you mean `{meant}`?" if meant else ""
        text = f"skills.{field}: the spec declares no skill {shown(name)}{hint}"
        raise refusal("E_SKILL_REF", text)


def _changed(agent: Any, overlay: SkillOverlay) -> dict[str, Any] | None:
    """Return an agent's other skills; None where it keeps its own or is not an agent at all."""
    if not isinstance(agent, Mapping) or agent.get("as_agent") is not None:
        return None
    own = agent.get("skills") or []
    if not isinstance(own, list):
        return None
    after = [name for name in (*own, *overlay.add) if name not in overlay.disable]
    return {"skills": list(dict.fromkeys(after))} if after != own else None
