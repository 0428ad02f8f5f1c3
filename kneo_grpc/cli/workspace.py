"""The project that a command works in: the nearest one from the current folder upwards, or none."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.integrations.project_folder import find_config, project_folder
from kneo_grpc.integrations.variables import environment as variables

if TYPE_CHECKING:
    from kneo_grpc.domain.diagnostic import Diagnostic
    from kneo_grpc.ports.spec_files import SourceFile
    from kneo_grpc.spec.document import Document
    from kneo_grpc.spec.project import Project

_BYTES_MAX = 1024 * 1024
OF_THE_PLATFORM = frozenset({"E_UNKNOWN_TOOL", "E_PROVIDER_UNSUPPORTED"})
"""Findings that depend on who executes the spec, and are for that one to judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A folder and its project. Without a project the folder is the current one."""

    folder: Path
    config: Path | None = None
    project: "Project | None" = None

    @classmethod
    def open(cls) -> "Workspace":
        """Find and read the project. Raises ProjectConfigInvalid; InvalidInput when
        KNEO_PROJECT_CONFIG names no file.
        """
        named = variables().get("KNEO_PROJECT_CONFIG", "").strip()
        config = Path(named) if named else find_config(Path.cwd())
        if config is None:
            return cls(folder=Path.cwd())
        # The YAML library is loaded only where there is something to read.
        from kneo_grpc.spec.project import read_project

        content = read_content(config, what="the project config ")
        project = read_project(content, name=_shown(config))
        return cls(folder=project_folder(config), config=config, project=project)

    def environment(self, named: str | None = None) -> str | None:
        """Return the environment: named, of KNEO_ENV, of the project; None without any of them.

        Raises EnvironmentUnknown for one that the project does not have.
        """
        chosen = named or variables().get("KNEO_ENV", "").strip() or None
        if self.project is None:
            return chosen
        # See open().
        from kneo_grpc.spec.environments import choose_environment

        return choose_environment(chosen, self.project)

    @property
    def default_spec(self) -> str | None:
        """The path of the spec to take where none is named."""
        return self.project.config.specs.default_spec if self.project else None

    def read(self, name: str) -> "SourceFile":
        """Read a file of the project by its path. Raises InvalidInput, SpecPathConfined."""
        # See open().
        from kneo_grpc.integrations.spec_files import ConfinedFiles, examples_folder
        from kneo_grpc.ports.spec_files import SourceFile

        folders = self.project.config.specs.include_paths if self.project else ()
        found = ConfinedFiles(self.folder, examples=examples_folder()).read(name, folders)
        path = self.folder / name
        return SourceFile(_shown(path) if path.exists() else name, found.content)

    def overlays(self, environment: str) -> "list[SourceFile]":
        """Read the project's overlays. Raises ProjectConfigInvalid for one that is not there."""
        if self.project is None:
            return []
        # See open().
        from kneo_grpc.spec.project import config_fault

        files = []
        for index, name in enumerate(self.project.config.specs.overlays.get(environment, [])):
            try:
                files.append(self.read(name))
            except InvalidInput as error:
                path = ("specs", "overlays", environment, index)
                raise config_fault(self.project, path, error.message) from None
        return files

    def resolve(
        self, base: "Document", overlays: "Sequence[Document]", environment: str | None
    ) -> "Document":
        """Lay the project's overlays and those given over a spec, and its defaults under it."""
        # See open().
        from kneo_grpc.spec.environments import DEFAULT_ENVIRONMENT, resolve
        from kneo_grpc.spec.load import load_text

        chosen = environment or DEFAULT_ENVIRONMENT
        own = [load_text(file.content, name=file.name) for file in self.overlays(chosen)]
        return resolve(base, overlays=[*own, *overlays], project=self.project, environment=chosen)

    def policy_findings(
        self,
        document: "Document",
        environment: str | None,
        *,
        signed: bool = False,
        alone: bool = False,
    ) -> "list[Diagnostic]":
        """Return what the environment's policy demands and the spec does not have.

        alone: its root agent is to run without the workflow.
        """
        # See open().
        from kneo_grpc.spec.environment_policy import agent_findings, policy_findings
        from kneo_grpc.spec.environments import DEFAULT_ENVIRONMENT, policy_of
        from kneo_grpc.spec.names import Known
        from kneo_grpc.spec.validate import examine

        chosen = environment or DEFAULT_ENVIRONMENT
        policy = policy_of(self.project, chosen)
        if policy is None or not policy.enabled:
            return []
        spec, found = examine(document, Known())
        found = [item for item in found if item.code not in OF_THE_PLATFORM]
        against = policy_findings(policy, chosen, document, spec, found, signed=signed)
        return [*against, *agent_findings(policy, chosen, document)] if alone else against

    def path(self, setting: str) -> Path:
        """Return a path of the config's section `local` as a path from anywhere."""
        # See open().
        from kneo_grpc.spec.project import LocalSection

        local = self.project.config.local if self.project else LocalSection()
        given: Any = getattr(local, setting)
        return self.folder / Path(given).expanduser()


def read_content(path: Path, *, what: str = "") -> bytes:
    """Read the start of a file, more of it than a spec may have. Raises InvalidInput."""
    try:
        with path.open("rb") as file:
            return file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {what}{path}: {error.strerror or error}") from None


def _shown(path: Path) -> str:
    """Return a path as it is shortest to read from the current folder."""
    relative = os.path.relpath(path.absolute())
    return str(path.absolute()) if relative.startswith("../../../") else relative
