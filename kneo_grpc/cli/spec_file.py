"""A spec file as a command names it: how it is sent, and where its diagnostics point."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kneo_grpc.cli.workspace import Workspace, read_content
from kneo_grpc.domain.errors import EnvironmentPolicyBlocked, InvalidInput

if TYPE_CHECKING:
    from kneo_grpc.spec.document import Document

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class SpecFile:
    """A spec in a file, or on standard input when path is None.

    overlays: files laid over it in order; environment: the one that it is meant for. of_project:
    the path is looked up in the project, not in the current folder. agent_alone: the root agent is
    to run without the workflow.
    """

    def __init__(
        self,
        path: Path | None,
        overlays: Sequence[Path] = (),
        environment: str | None = None,
        *,
        of_project: bool = False,
        agent_alone: bool = False,
    ) -> None:
        self._path = path
        self._of_project = of_project
        self._agent_alone = agent_alone
        self._overlays = tuple(overlays)
        self._environment = environment
        self._document: Document | None = None
        self._policy_findings: list[dict[str, Any]] = []
        self.validate_on_run = False
        """Whether the project wants a spec to be checked before it runs; known after fields()."""

    def __str__(self) -> str:
        return str(self._path) if self._path else "<stdin>"

    def fields(self, *, local: bool) -> dict[str, Any]:
        """Return how a request names the spec: by paths here; by its content for a service, and
        where a project has something to add. A bundle is sent as the text that was signed.

        Raises InvalidInput when a file cannot be read, ProjectConfigInvalid, SpecInvalid when it is
        not YAML.
        """
        workspace = Workspace.open()
        environment = workspace.environment(self._environment)
        found = self._by_name() if local and workspace.project is None else None
        if found is None:
            found = self._read(workspace, environment)
        return found | ({"environment": environment} if environment else {})

    def resolved(self, *, signed: bool = False) -> "tuple[Document, str | None]":
        """Return the spec as the project has it, and its environment. Raises as fields does.

        signed: it is about to be signed, which the policy may demand.
        """
        workspace = Workspace.open()
        environment = workspace.environment(self._environment)
        document = self._resolve(workspace, self.content(), environment)
        self._judge(workspace, document, environment, signed=signed)
        return document, environment

    def require_policy(self) -> None:
        """Raise EnvironmentPolicyBlocked where the project's policy has something against the spec
        that fields() or resolved() put together.
        """
        found = self._policy_findings
        if found:
            more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
            text = f"the project's policy does not let it run: {found[0]['message']}{more}"
            raise EnvironmentPolicyBlocked(text, diagnostics=found)

    def judged(self, answer: dict[str, Any], verdict: str = "valid") -> dict[str, Any]:
        """Add the policy's findings to an answer with `diagnostics` and a verdict."""
        given = answer.get("diagnostics") or []
        known = {(item.get("code"), item.get("path")) for item in given}
        own = [
            item for item in self._policy_findings if (item["code"], item.get("path")) not in known
        ]
        return {**answer, verdict: False, "diagnostics": [*own, *given]} if own else answer

    def content(self) -> bytes:
        """Return the file's bytes. Raises InvalidInput when it cannot be read."""
        if self._path is None:
            return sys.stdin.buffer.read()
        if self._of_project:
            return Workspace.open().read(str(self._path)).content
        return read_content(self._path)

    def place(self, finding: Mapping[str, Any]) -> str:
        """Return `file:line:column` of a diagnostic, without numbers where they are not known."""
        file = finding.get("file")
        line, column = finding.get("line"), finding.get("column")
        if line is None and self._document is not None and finding.get("path"):
            # Who was sent the content sees no lines in it, but knows the path.
            steps = _STEP.findall(finding["path"])
            place = self._document.place(
                tuple(int(index) if index else key for index, key in steps)
            )
            line, column, file = place or (None, None, None)
        name = file or str(self)
        return name if line is None else f"{name}:{line}:{column or 1}"

    def _by_name(self) -> dict[str, Any] | None:
        """Return the paths; None for what comes from standard input or a pipe, which only this
        process can read.
        """
        if self._path is None or not all(path.is_file() for path in (self._path, *self._overlays)):
            return None
        found: dict[str, Any] = {"spec_path": str(self._path.resolve())}
        if self._overlays:
            found["overlays"] = [str(path.resolve()) for path in self._overlays]
        return found

    def _read(self, workspace: Workspace, environment: str | None) -> dict[str, Any]:
        # The YAML library is loaded only by commands that read a file.
        from kneo_grpc.spec.bundle import is_bundle, read_bundle
        from kneo_grpc.spec.load import load_object

        content = self.content()
        if not is_bundle(content):
            document = self._resolve(workspace, content, environment)
            self._judge(workspace, document, environment, signed=False)
            return {"spec": dict(document.data)}
        if self._overlays:
            raise InvalidInput("a bundle stands alone: it takes no overlays")
        spec = read_bundle(content).get("spec")
        document = load_object(spec if isinstance(spec, Mapping) else {}, name=str(self))
        # Whoever gets a bundle refuses one whose signature does not hold.
        self._judge(workspace, document, environment, signed=True)
        # The signature is over numbers as they are written, which only the text keeps.
        return {"bundle": {"json": content.decode()}}

    def _resolve(self, workspace: Workspace, content: bytes, environment: str | None) -> "Document":
        # See _read().
        from kneo_grpc.spec.load import load_text

        base = load_text(content, name=str(self))
        overlays = [load_text(read_content(path), name=str(path)) for path in self._overlays]
        self._document = workspace.resolve(base, overlays, environment)
        return self._document

    def _judge(
        self, workspace: Workspace, document: "Document", environment: str | None, *, signed: bool
    ) -> None:
        # See _read().
        from kneo_grpc.spec.findings import diagnostic_data

        against = workspace.policy_findings(
            document, environment, signed=signed, alone=self._agent_alone
        )
        self._policy_findings = [diagnostic_data(item) for item in against]
        project = workspace.project
        self.validate_on_run = project is not None and project.config.specs.validate_on_run
