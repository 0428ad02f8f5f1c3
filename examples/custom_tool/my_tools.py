"""The tool: a function from the arguments, as the model gives them, to a text."""

from typing import Any

USERS = {
    "u-001": "alice@example.com",
    "u-002": "bob@example.com",
    "u-003": "carol@example.com",
}


def lookup_user(arguments: dict[str, Any]) -> str:
    """Return the email for a user id, or a text that says why there is none."""
    user_id = arguments.get("user_id")
    if not user_id:
        return "unknown: user_id is required"
    return USERS.get(user_id, f"unknown: {user_id}")
