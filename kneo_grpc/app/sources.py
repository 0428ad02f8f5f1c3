"""Builds what finds specs, and applies what a project decides for the whole process."""

import functools
from datetime import timedelta

from kneo_grpc.app.settings import Settings
from kneo_grpc.domain.errors import InvalidInput, StartRefused
from kneo_grpc.integrations.ed25519 import read_public_key
from kneo_grpc.integrations.spec_files import ConfinedFiles, examples_folder
from kneo_grpc.platform.health import Secret
from kneo_grpc.platform.retention import RetentionSettings
from kneo_grpc.platform.spec_sources import SourceSettings, SpecSources
from kneo_grpc.ports.clock import Clock
from kneo_grpc.ports.upkeep import Kept
from kneo_grpc.spec.bundle import HmacKey, VerifyingKey
from kneo_grpc.spec.environments import choose_environment
from kneo_grpc.spec.project import Project, read_project
from kneo_grpc.spec.secret_names import provider_variable


def build_sources(settings: Settings, clock: Clock) -> SpecSources:
    """Build what finds specs. Raises StartRefused on keys that cannot be used."""
    chosen = SourceSettings(
        environment=settings.environment,
        environments=settings.environments,
        keys=_bundle_keys(settings),
    )
    return SpecSources(_files(settings), clock, chosen)


def skill_files(settings: Settings) -> ConfinedFiles:
    """Return the folder that skills are read from."""
    return ConfinedFiles(settings.skill_root or settings.spec_root, examples=examples_folder())


def retention_settings(settings: Settings) -> RetentionSettings:
    """Return the operator's retention, and the project's where the operator says nothing.

    Raises StartRefused on a project config that cannot be used, and on an environment that it does
    not have.
    """
    project = _project(settings)
    if project is None:
        return settings.retention
    ages = dict(settings.retention.ages)
    for kind in Kept:
        days = getattr(project.config.retention, f"{kind.value}_days")
        if days is not None:
            ages.setdefault(kind, timedelta(days=days))
    return RetentionSettings(ages=ages, statuses=settings.retention.statuses)


def project_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the variables that the project keeps its secrets in.

    Raises StartRefused on a project config that cannot be used.
    """
    project = _project(settings)
    if project is None:
        return ()
    secrets = project.config.secrets
    return (*secrets.provider_env.values(), *secrets.extra_env.values())


def provider_secrets(settings: Settings) -> tuple[Secret, ...]:
    """Return the keys of the providers that the operator wants to be there, in the variables that
    the project names for them.

    Raises StartRefused on a project config that cannot be used.
    """
    project = _project(settings)
    given = project.config.secrets.provider_env if project else {}
    found = ((name, provider_variable(name, given)) for name in settings.health_providers)
    return tuple(
        Secret(name=name, env_var=variable, present=variable in settings.filled)
        for name, variable in found
    )


def _files(settings: Settings) -> ConfinedFiles:
    return ConfinedFiles(
        settings.spec_root, examples=examples_folder(), config=settings.project_config
    )


def _project(settings: Settings) -> Project | None:
    try:
        file = _files(settings).project()
        if file is None:
            return None
        project = _read(file.content, name=file.name)
        choose_environment(settings.environment, project)
        return project
    except InvalidInput as error:
        raise StartRefused(error.message) from None


# Several parts of a process ask for it while they are built.
_read = functools.lru_cache(maxsize=1)(read_project)


def _bundle_keys(settings: Settings) -> tuple[VerifyingKey, ...]:
    keys: list[VerifyingKey] = []
    if settings.spec_signing_key:
        keys.append(HmacKey(settings.spec_signing_key.encode()))
    try:
        keys += [read_public_key(text) for text in settings.spec_verify_keys]
    except InvalidInput as error:
        raise StartRefused(f"KNEO_SERV_SPEC_VERIFY_KEYS: {error.message}") from None
    return tuple(keys)
