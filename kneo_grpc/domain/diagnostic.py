"""What is wrong with a spec, and where."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """An error stops the compiler, a warning and an info do not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding.

    path: such as `workflow.steps[0].ref`; None when the document as a whole is meant.
    line, column: 1-based position in the source text; None when the spec came as an object.
    file: where the position is, when it is another file than the spec's own: an overlay, or the
    project config; else None.
    """

    code: str
    severity: Severity
    message: str
    path: str | None = None
    suggestion: str | None = None
    line: int | None = None
    column: int | None = None
    file: str | None = None


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Tell whether one of the findings stops the compiler."""
    return any(item.severity is Severity.ERROR for item in diagnostics)
