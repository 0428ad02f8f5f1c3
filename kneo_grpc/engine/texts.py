"""Texts that the engine makes."""

from kneo_grpc.domain.human import Decision as HumanChoice
from kneo_grpc.engine.messages import HumanAnswered

PREVIEW_CHARS = 500
WORD_CHARS_MAX = 128
REJECTED = "Rejected by human reviewer: "


def preview(text: str) -> str:
    """Return the first 500 characters of a text, marked where it was cut.

    A word that the cut would split is left out: half a secret is not known as one any more.
    """
    if len(text) <= PREVIEW_CHARS:
        return text
    kept = text[:PREVIEW_CHARS]
    if not (kept[-1].isspace() or text[PREVIEW_CHARS].isspace()):
        head, *last = kept.rsplit(None, 1)
        if last and len(last[0]) <= WORD_CHARS_MAX:
            kept = head + kept[len(head) : len(kept) - len(last[0])]
    return kept + "… (truncated)"


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
