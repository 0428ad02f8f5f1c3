"""Tools that a model may call: each takes its arguments as one object and returns a text."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc.examples import functions


def web_search(arguments: dict[str, Any]) -> str:
    """Pretend to search. arguments: query."""
    return f"Search result for: {arguments['query']}"


def summarize(arguments: dict[str, Any]) -> str:
    """Pretend to summarise. arguments: text."""
    return f"Summary: {arguments['text']}"


def compress_history(arguments: dict[str, Any]) -> str:
    """Mark a text as compressed. arguments: text."""
    return functions.compress_history(str(arguments["text"]))


def publish_report(arguments: dict[str, Any]) -> str:
    """Publish a report. arguments: text."""
    return functions.publish_report(str(arguments["text"]))


def _one_text(name: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": description}},
        "required": [name],
        "additionalProperties": False,
    }


TOOLS: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "compress_history": (
        "Shorten a conversation.",
        _one_text("text", "The conversation."),
        "kneo_grpc.examples.tools.compress_history",
    ),
    "publish_report": (
        "Publish a finished report.",
        _one_text("text", "The report."),
        "kneo_grpc.examples.tools.publish_report",
    ),
    "summarize": (
        "Summarise a text.",
        _one_text("text", "The text."),
        "kneo_grpc.examples.tools.summarize",
    ),
    "web_search": (
        "Search the web.",
        _one_text("query", "What to look for."),
        "kneo_grpc.examples.tools.web_search",
    ),
}
"""Name → (description, JSON Schema of the arguments, dotted path of the handler)."""
