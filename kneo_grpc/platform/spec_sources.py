"""Where specs come from: gathers what one is made of, as its project and environment have it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from kneo_grpc.domain.errors import EnvironmentPolicyBlocked, InvalidInput
from kneo_grpc.platform.file_memory import FileMemory, Reading
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.spec_files import SourceFile, SpecFiles
from kneo_grpc.spec.bundle import (
    KIND,
    VerifyingKey,
    bundle_given,
    is_bundle,
    read_bundle,
    verified_spec,
)
from kneo_grpc.spec.document import Document
from kneo_grpc.spec.environment_policy import EnvironmentPolicy
from kneo_grpc.spec.environments import choose_environment, policy_of, resolve
from kneo_grpc.spec.findings import refusal
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.project import Project, config_fault, read_project
from kneo_grpc.spec.skill_overlay import SkillOverlay, with_skills

FILES_BYTES_MAX = 1024 * 1024
"""Of a spec file and its overlays together."""

_TRUSTED_FOR = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecSource:
    """Where a spec comes from. bundle (a signed one) stands alone; spec wins over spec_path.

    overlays: paths of specs merged over it in order, after those of the project; environment: whose
    defaults fill what is left out and whose policy must hold; overrides are merged last, and
    skills go to the agents of the result. A spec or a file that is a bundle is taken as one.
    """

    spec_path: str | None = None
    spec: Mapping[str, Any] | None = None
    overrides: Mapping[str, Any] | None = None
    environment: str | None = None
    overlays: tuple[str, ...] = ()
    bundle: Mapping[str, Any] | None = None
    skills: SkillOverlay | None = None

    def to_data(self) -> dict[str, Any]:
        """Return it as runs keep it, JSON-ready: by the names of a call's fields, without what is
        left out.
        """
        skills = self.skills and {"add": [*self.skills.add], "disable": [*self.skills.disable]}
        data = {
            "spec_path": self.spec_path,
            "spec": self.spec,
            "environment": self.environment,
            "overrides": self.overrides,
            "overlays": [*self.overlays],
            "skills_overlay": skills,
            "bundle": self.bundle,
        }
        return {key: value for key, value in data.items() if value not in (None, {}, [])}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "SpecSource":
        """Return what to_data described; other fields are passed over."""
        skills = data.get("skills_overlay")
        return cls(
            spec_path=data.get("spec_path"),
            spec=data.get("spec"),
            environment=data.get("environment"),
            overrides=data.get("overrides"),
            overlays=tuple(data.get("overlays", ())),
            skills=skills
            and SkillOverlay(add=tuple(skills["add"]), disable=tuple(skills["disable"])),
            bundle=data.get("bundle"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """The operator's choice. environment: of calls that name none; None leaves it to the project.
    environments: the only ones that calls may run in; empty for any. keys: verify bundles.
    """

    environment: str | None = None
    environments: tuple[str, ...] = ()
    keys: tuple[VerifyingKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a spec is made of, read but not put together.

    base: a file, or data; signed: base is data from a bundle that may run here. key: tells equal
    material, which makes equal documents under an equal policy.
    """

    key: str
    base: SourceFile | Mapping[str, Any]
    overlays: tuple[SourceFile, ...]
    overrides: Mapping[str, Any] | None
    project: Project | None
    environment: str
    signed: bool
    skills: SkillOverlay | None = None

    @property
    def policy(self) -> EnvironmentPolicy | None:
        """What the environment demands."""
        return policy_of(self.project, self.environment)

    def document(self) -> Document:
        """Put it together. Raises SpecInvalid, whose diagnostics name an overlay they are about."""
        if isinstance(self.base, SourceFile):
            base = load_text(self.base.content, name=self.base.name)
        else:
            base = load_object(self.base)
        if self.signed:
            return base
        document = resolve(
            base,
            overlays=[load_text(file.content, name=file.name) for file in self.overlays],
            project=self.project,
            environment=self.environment,
            overrides=load_object(self.overrides) if self.overrides else None,
        )
        return document if self.skills is None else with_skills(document, self.skills)


class SpecSources:
    """Gathers what specs are made of. Methods block: they read files."""

    def __init__(
        self, files: SpecFiles, clock: Clock, settings: SourceSettings | None = None
    ) -> None:
        self._files = files
        self._clock = clock
        self._settings = settings or SourceSettings()
        self._seen: _Seen | None = None
        self._memory: FileMemory[Material] = FileMemory(files, clock)

    def project(self) -> Project | None:
        """Return the project. Raises ProjectConfigInvalid, InvalidInput."""
        return self._project()[1]

    def default_environment(self) -> str:
        """Return the environment of calls that name none. Raises what gather raises for it."""
        return self._place(SpecSource(), *self._project()).environment

    def gather(self, source: SpecSource) -> Material:
        """Read what the source names.

        Raises InvalidInput, SpecPathConfined, ProjectConfigInvalid; SpecInvalid for a bundle that
        may not be used; EnvironmentUnknown for an environment that the project does not have;
        EnvironmentPolicyBlocked for one that calls must not name.
        """
        stamps = self._memory.look(_files_of(source))
        config, project = self._project()
        material = self._gathered(source, self._place(source, config, project))
        base = material.base
        if isinstance(base, SourceFile) and not source.overrides:
            names = (base.name, *(file.name for file in material.overlays))
            folders = project.config.specs.include_paths if project else ()
            self._memory.keep(_files_of(source), Reading(names, tuple(folders)), material, stamps)
        return material

    def gather_known(self, source: SpecSource) -> Material | None:
        """Return what gather does without opening any file, None when that takes more: of files
        that stayed as they were; of an inline spec while the project was looked at a moment ago
        and has no overlays.
        """
        if source.spec is None:
            plain = source.bundle is None and not source.overrides
            return self._memory.find(_files_of(source)) if plain else None
        seen = self._seen
        if (
            seen is None
            or source.overlays
            or source.bundle is not None
            or source.spec.get("kind") == KIND
            or not timedelta(0) <= self._clock.now() - seen.at < _TRUSTED_FOR
        ):
            return None
        place = self._place(source, seen.config, seen.project)
        project = place.project
        if project is not None and project.config.specs.overlays.get(place.environment):
            return None
        return self._gathered(source, place)

    def _place(self, source: SpecSource, config: bytes, project: Project | None) -> "_Place":
        chosen = source.environment or self._settings.environment
        environment = choose_environment(chosen, project)
        allowed = self._settings.environments
        if allowed and environment not in allowed:
            text = f"this service runs nothing in the environment {environment[:128]!r}"
            raise EnvironmentPolicyBlocked(text, environment=environment[:128])
        return _Place(config, project, environment)

    def _gathered(self, source: SpecSource, place: "_Place") -> Material:
        project = place.project
        folders = project.config.specs.include_paths if project else ()
        base = self._base(source, folders)
        bundle = base if isinstance(base, _Bundle) else _bundle_in(base)
        if bundle is not None:
            if source.overlays or source.overrides or source.skills:
                text = "a bundle stands alone: it takes no overlays, overrides or skills"
                raise InvalidInput(text)
            now = self._clock.now()
            spec = verified_spec(
                bundle.data, self._settings.keys, now=now, environment=place.environment
            )
            return _material(place, spec, (), None, None, signed=True)
        assert not isinstance(base, _Bundle)
        overlays = [*self._project_overlays(place, folders)]
        overlays += [self._files.read(name, folders) for name in source.overlays]
        return _material(
            place, base, tuple(overlays), source.overrides, source.skills, signed=False
        )

    def _project(self) -> tuple[bytes, Project | None]:
        """Return the config as it is now; it is parsed again only when it has changed."""
        now = self._clock.now()
        file = self._files.project()
        if file is None:
            self._seen = _Seen(now, b"", None)
            return b"", None
        seen = self._seen
        if seen is None or seen.project is None or seen.config != file.content:
            project = read_project(file.content, name=file.name)
        else:
            project = seen.project
        self._seen = _Seen(now, file.content, project)
        return file.content, project

    def _project_overlays(self, place: "_Place", folders: Sequence[str]) -> Iterator[SourceFile]:
        if place.project is None:
            return
        names = place.project.config.specs.overlays.get(place.environment, [])
        for index, name in enumerate(names):
            try:
                yield self._files.read(name, folders)
            except InvalidInput as error:
                # The caller did not name it: whoever runs the service must mend it.
                path = ("specs", "overlays", place.environment, index)
                raise config_fault(place.project, path, error.message) from error

    def _base(
        self, source: SpecSource, folders: Sequence[str]
    ) -> "SourceFile | Mapping[str, Any] | _Bundle":
        if source.bundle is not None:
            if source.spec is not None or source.spec_path is not None:
                raise InvalidInput("a bundle stands alone: leave spec and spec_path out")
            return _Bundle(bundle_given(source.bundle))
        if source.spec is not None:
            return source.spec
        if not source.spec_path:
            raise InvalidInput("one of spec and spec_path is required")
        return self._files.read(source.spec_path, folders)


class _Seen(NamedTuple):
    """The project as it was at an instant."""

    at: datetime
    config: bytes
    project: Project | None


class _Bundle(NamedTuple):
    data: Mapping[str, Any]


class _Place(NamedTuple):
    """Where a spec is to run. config: the text of the project's config."""

    config: bytes
    project: Project | None
    environment: str


def _material(
    place: _Place,
    base: SourceFile | Mapping[str, Any],
    overlays: tuple[SourceFile, ...],
    overrides: Mapping[str, Any] | None,
    skills: SkillOverlay | None,
    *,
    signed: bool,
) -> Material:
    files = [base, *overlays] if isinstance(base, SourceFile) else [*overlays]
    if sum(len(file.content) for file in files) > FILES_BYTES_MAX:
        raise refusal("E_LIMIT", f"a spec and its overlays hold more than {FILES_BYTES_MAX} bytes")
    data = None if isinstance(base, SourceFile) else base
    # Without a project the environment changes nothing.
    environment = place.environment if place.project else None
    head: list[Any] = [data, overrides, environment, signed, [file.name for file in files]]
    if skills is not None:
        head.append([skills.add, skills.disable])
    parts = [json.dumps(head, sort_keys=True, default=repr).encode(), place.config]
    digest = hashlib.sha256()
    for part in (*parts, *(file.content for file in files)):
        digest.update(len(part).to_bytes(8) + part)
    return Material(
        key=digest.hexdigest(),
        base=base,
        overlays=overlays,
        overrides=overrides,
        project=place.project,
        environment=place.environment,
        signed=signed,
        skills=skills,
    )


def _files_of(source: SpecSource) -> tuple[object, ...]:
    """Return what decides which files a source without overrides is made of, and the skills that
    its material has besides.
    """
    return source.spec_path, source.environment, source.overlays, source.skills


def _bundle_in(base: SourceFile | Mapping[str, Any]) -> _Bundle | None:
    """Return the bundle that a file or an inline spec is; None where it is none."""
    if isinstance(base, SourceFile):
        return _Bundle(read_bundle(base.content)) if is_bundle(base.content) else None
    return _Bundle(base) if base.get("kind") == KIND else None
