"""Collects diagnostics while a spec is checked, and puts them in order."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from kneo_grpc.domain.diagnostic import Diagnostic, Severity
from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.spec.document import Document, Path, format_path
from kneo_grpc.spec.spelling import closest

FINDINGS_MAX = 1000
"""More findings than anybody reads; the rest is only counted."""

_CANDIDATES_MAX = 200
# Comparing words is slow: a document full of faults gets hints for the first ones only.
_HINTS_MAX = 20
_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Near(NamedTuple):
    """A suggestion still to be made: the candidate closest to a word, else another text."""

    word: object
    candidates: Iterable[str]
    otherwise: str | None = None

    def text(self) -> str | None:
        """Compare with the first 200 candidates."""
        if not isinstance(self.word, str) or not self.word:
            return self.otherwise
        pool = itertools.islice(self.candidates, _CANDIDATES_MAX)
        close = closest(self.word, pool)
        return f"did you mean `{close}`?" if close else self.otherwise


Suggestion = str | Near | None


class Findings:
    """The diagnostics of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: list[_Finding] = []

    def error(self, code: str, path: Path, message: str, suggestion: Suggestion = None) -> None:
        """Note a fault that stops the compiler."""
        self._add(code, Severity.ERROR, path, message, suggestion)

    def warning(self, code: str, path: Path, message: str, suggestion: Suggestion = None) -> None:
        """Note something that works but is probably not meant."""
        self._add(code, Severity.WARNING, path, message, suggestion)

    def codes(self) -> frozenset[str]:
        """Return the codes noted so far."""
        return frozenset(finding.code for finding in self._found)

    def ordered(self) -> list[Diagnostic]:
        """Return errors first, each severity in document order; at most FINDINGS_MAX of them."""
        order = _DocumentOrder(self._document.data)
        found = sorted(self._found, key=lambda item: (_RANK[item.severity], order.key(item.path)))
        kept = [
            self._placed(finding, hint=index < _HINTS_MAX)
            for index, finding in enumerate(found[:FINDINGS_MAX])
        ]
        if len(found) > FINDINGS_MAX:
            more = f"{len(found) - FINDINGS_MAX} more findings are not shown"
            kept.append(
                Diagnostic(code="I_FINDINGS_TRUNCATED", severity=Severity.INFO, message=more)
            )
        return kept

    def _add(
        self, code: str, severity: Severity, path: Path, message: str, suggestion: Suggestion
    ) -> None:
        self._found.append(_Finding(code, severity, path, message, suggestion))

    def _placed(self, finding: "_Finding", *, hint: bool) -> Diagnostic:
        line, column, file = self._document.place(finding.path) or (None, None, None)
        suggestion = finding.suggestion
        if isinstance(suggestion, Near):
            suggestion = suggestion.text() if hint else suggestion.otherwise
        return Diagnostic(
            code=finding.code,
            severity=finding.severity,
            message=finding.message,
            path=format_path(finding.path),
            suggestion=suggestion,
            line=line,
            column=column,
            file=file,
        )


class _Finding(NamedTuple):
    code: str
    severity: Severity
    path: Path
    message: str
    suggestion: Suggestion


class _DocumentOrder:
    """Sort keys by place in the document, for sources with and without line numbers."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._places: dict[int, dict[str, int]] = {}

    def key(self, path: Path) -> tuple[int, ...]:
        value, places = self._data, []
        for step in path:
            if isinstance(value, dict) and isinstance(step, str):
                known = self._places.get(id(value))
                if known is None:
                    known = {key: index for index, key in enumerate(value)}
                    self._places[id(value)] = known
                places.append(known.get(step, len(known)))
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                places.append(step)
                value = value[step]
            else:
                break
        return tuple(places)


def shown(word: object) -> str:
    """Return a name from a spec for a message: short, on one line, in back quotes."""
    text = str(word)
    return f"`{text[:60]}…`" if len(text) > 60 else f"`{text}`"


def diagnostic_data(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return the JSON form: code, severity, message; path, suggestion, line, column, file where
    known.
    """
    data = {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "path": diagnostic.path,
        "suggestion": diagnostic.suggestion,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "file": diagnostic.file,
    }
    return {key: value for key, value in data.items() if value is not None}


def spec_invalid(diagnostics: Sequence[Diagnostic]) -> SpecInvalid:
    """Return the exception for findings of which at least one is an error."""
    errors = [item for item in diagnostics if item.severity is Severity.ERROR]
    first = errors[0]
    where = f" at {first.path}" if first.path else ""
    file = f"{first.file}, " if first.file else ""
    line = f" ({file}line {first.line})" if first.line else ""
    more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
    return SpecInvalid(
        f"{first.code}{where}{line}: {first.message}{more}",
        diagnostics=[diagnostic_data(item) for item in diagnostics],
    )


def refusal(
    code: str,
    message: str,
    *,
    path: Path = (),
    position: tuple[int, int] | None = None,
    suggestion: str | None = None,
) -> SpecInvalid:
    """Return the exception for a document that cannot even be read, with its one diagnostic."""
    line, column = position or (None, None)
    return spec_invalid(
        [
            Diagnostic(
                code=code,
                severity=Severity.ERROR,
                message=message,
                path=format_path(path),
                suggestion=suggestion,
                line=line,
                column=column,
            )
        ]
    )
