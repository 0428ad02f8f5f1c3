"""Workflow functions: each takes the text of the step before and returns the text for the next."""


def compress_history(text: str) -> str:
    """Mark a text as compressed."""
    return f"[compressed] {text}"


def draft_report(text: str) -> str:
    """Draft a report on a subject."""
    return f"Draft report for: {text}"


def publish_report(text: str) -> str:
    """Publish a report."""
    return f"Published: {text}"


def check_facts(text: str) -> str:
    """Pretend to look up what a text states."""
    return f"Facts checked: {text}"


def check_style(text: str) -> str:
    """Pretend to read a text for its style."""
    return f"Style checked: {text}"
