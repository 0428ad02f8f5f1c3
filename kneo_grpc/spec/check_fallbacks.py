"""Checks where a step goes that failed or was rejected."""

from collections.abc import Iterable, Mapping

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import Step


def fallback(
    path: Path, step: Step, by_id: Mapping[str, Step], code: str, noun: str, findings: Findings
) -> Step | None:
    """Return the step that takes over; code is E_STEP_FALLBACK or E_GRAPH_NODE_FALLBACK."""
    if step.fallback_ref is None:
        text = "on_error is `fallback`, but fallback_ref is missing"
        findings.error(f"{code}_REF", (*path, "fallback_ref"), text, f"name another {noun}")
        return None
    target = by_id.get(step.fallback_ref)
    if target is None:
        findings.error(
            f"{code}_UNKNOWN",
            (*path, "fallback_ref"),
            f"{shown(step.fallback_ref)} is not a {noun} of this workflow",
            Near(step.fallback_ref, by_id),
        )
    return target


def check_fallback_cycles(
    placed: Iterable[tuple[Path, Step]], by_id: Mapping[str, Step], findings: Findings
) -> None:
    """Note fallbacks that lead back to where they started."""
    done: set[str] = set()
    paths = {step.id: path for path, step in placed}
    for start in by_id:
        trail: dict[str, None] = {}
        current: str | None = start
        while current is not None and current in by_id and current not in done:
            if current in trail:
                text = f"the fallbacks of {shown(current)} lead back to it"
                findings.error("E_STEP_FALLBACK_CYCLE", (*paths[current], "fallback_ref"), text)
                break
            trail[current] = None
            step = by_id[current]
            current = step.fallback_ref if step.on_error == "fallback" else None
        done.update(trail)


def check_goto(
    path: Path, step: Step, by_id: Mapping[str, Step], noun: str, findings: Findings
) -> None:
    """Note a rejection that leads nowhere, and one of a step that nobody can reject."""
    here = (*path, "goto_ref")
    if step.kind != "human":
        for field in ("on_reject", "goto_ref"):
            if getattr(step, field) is not None:
                text = f"only a person rejects, and {shown(step.id)} asks nobody"
                findings.warning("W_FIELD_IGNORED", (*path, field), text)
    elif step.on_reject != "goto":
        if step.goto_ref is not None:
            text = "goto_ref counts only with `on_reject: goto`"
            findings.warning("W_FIELD_IGNORED", here, text)
    elif step.goto_ref is None:
        text = "on_reject is `goto`, but goto_ref is missing"
        findings.error("E_STEP_GOTO_REF", here, text, f"name another {noun}")
    elif step.goto_ref not in by_id:
        text = f"{shown(step.goto_ref)} is not a {noun} of this workflow"
        findings.error("E_STEP_GOTO_UNKNOWN", here, text, Near(step.goto_ref, by_id))
    elif not by_id[step.goto_ref].enabled:
        text = f"the {noun} {shown(step.goto_ref)} is disabled"
        findings.error("E_STEP_GOTO_UNKNOWN", here, text, "enable it")
