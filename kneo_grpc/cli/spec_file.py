"""A spec file as a command names it: how it is sent, and where its diagnostics point."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kneo_grpc.domain.errors import InvalidInput

if TYPE_CHECKING:
    from kneo_grpc.spec.document import Document

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class SpecFile:
    """A spec in a file, or on standard input when path is None."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._document: Document | None = None

    def __str__(self) -> str:
        return str(self._path) if self._path else "<stdin>"

    def fields(self, *, local: bool) -> dict[str, Any]:
        """Return how a request names the spec: its path here, its content for a service.

        Raises InvalidInput when the file cannot be read, SpecInvalid when it is not YAML.
        """
        if local and self._path is not None:
            return {"spec_path": str(self._path.resolve())}
        # The YAML library is loaded only by commands that read a file.
        from kneo_grpc.spec.load import load_text

        try:
            content = self._path.read_bytes() if self._path else sys.stdin.buffer.read()
        except OSError as error:
            raise InvalidInput(f"cannot read {self}: {error.strerror or error}") from None
        self._document = load_text(content, name=str(self))
        return {"spec": dict(self._document.data)}

    def place(self, finding: Mapping[str, Any]) -> str:
        """Return `file:line:column` of a diagnostic, without numbers where they are not known."""
        line, column = finding.get("line"), finding.get("column")
        if line is None and self._document is not None and finding.get("path"):
            # A service sees no lines in what it was sent, but knows the path.
            steps = _STEP.findall(finding["path"])
            line, column = self._document.position(
                tuple(int(index) if index else key for index, key in steps)
            ) or (None, None)
        return str(self) if line is None else f"{self}:{line}:{column or 1}"
