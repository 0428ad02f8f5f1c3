"""Counts findings for those who want a spec without any."""

from collections.abc import Mapping, Sequence
from typing import Any


def lint(diagnostics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return clean, warning_count, error_count and the diagnostics, given and returned as JSON.

    Infos do not make a spec unclean.
    """
    severities = [item.get("severity") for item in diagnostics]
    warnings, errors = severities.count("warning"), severities.count("error")
    return {
        "clean": not warnings and not errors,
        "warning_count": warnings,
        "error_count": errors,
        "diagnostics": list(diagnostics),
    }
