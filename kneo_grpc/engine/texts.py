"""Texts that the engine makes."""

from kneo_grpc.domain.human import Decision as HumanChoice
from kneo_grpc.engine.messages import HumanAnswered

PREVIEW_CHARS = 500
REJECTED = "Rejected by human reviewer: "


def preview(text: str) -> str:
    """Return the first 500 characters of a text, marked where it was cut."""
    return text if len(text) <= PREVIEW_CHARS else text[:PREVIEW_CHARS] + "… (truncated)"


def answer_text(event: HumanAnswered, given: str) -> str:
    """Return the text that a decision hands on: given is what the step was asked about."""
    match event.decision:
        case HumanChoice.APPROVED:
            return given
        case HumanChoice.REJECTED:
            return REJECTED + (event.content or "")
        case HumanChoice.SELECTED:
            return event.selected_option or event.content or given
        case _:
            return given if event.content is None else event.content
