"""Texts that the engine makes."""

from collections.abc import Sequence

from kneo_grpc.domain.human import Decision as HumanChoice
from kneo_grpc.engine.messages import HumanAnswered
from kneo_grpc.engine.state import Said

PREVIEW_CHARS = 500
WORD_CHARS_MAX = 128
OUTPUT_CHARS_MAX = 16_777_216
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


class MergedTooLarge(ValueError):
    """Texts are too much to be one: in a loop that forks, they grow like a power."""


def merged(rule: str, texts: Sequence[str]) -> str:
    """Return the texts of branches as one. rule: all, a blank line between them; or last.

    Raises MergedTooLarge.
    """
    if rule == "last":
        return texts[-1] if texts else ""
    if sum(map(len, texts)) > OUTPUT_CHARS_MAX:
        raise MergedTooLarge(f"texts of branches come to more than {OUTPUT_CHARS_MAX} characters")
    return "\n\n".join(texts)


def chosen_word(answer: str) -> str:
    """Return whom an agent that chooses means: its last line that says something, without marks
    around it.
    """
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return lines[-1].strip("`*\"'. ") if lines else ""


def selector_text(names: Sequence[str], said: Sequence[Said], text: str) -> str:
    """Return what an agent is asked that chooses who comes next."""
    talk = "\n".join(f"{item.name or item.role}: {item.text}" for item in said) or text
    return (
        "Choose who works next.\n"
        f"Participants: {', '.join(names)}\n"
        "Answer with one name of these alone, or with DONE when the work is done.\n\n"
        f"{talk}"
    )


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
