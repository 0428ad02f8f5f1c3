"""Environments: how a spec is put together for one of them."""

from collections.abc import Sequence
from typing import Any

from kneo_grpc.domain.errors import EnvironmentUnknown
from kneo_grpc.spec.document import Document, Mark
from kneo_grpc.spec.environment_policy import EnvironmentPolicy
from kneo_grpc.spec.merge import fill, in_v1_shape, merge
from kneo_grpc.spec.migrate import migrate
from kneo_grpc.spec.names import DEFAULT_PROVIDER
from kneo_grpc.spec.project import Project
from kneo_grpc.spec.spelling import closest

DEFAULT_ENVIRONMENT = "dev"
_SHOWN_CHARS = 128
_SHOWN_NAMES = 20


def choose_environment(named: str | None, project: Project | None) -> str:
    """Return the named environment, else the project's default one, else `dev`.

    Raises EnvironmentUnknown for a name that the project gives to none of its environments: a slip
    of the pen would run without the overlays and the policy that are meant. A project that says
    nothing about any environment takes every name.
    """
    if project is None:
        return named or DEFAULT_ENVIRONMENT
    default = project.config.project.default_environment
    if not named or named == default:
        return default
    config = project.config
    places = (config.environments, config.specs.overlays, config.model_defaults)
    if any(places) and not any(named in place for place in places):
        raise _unknown(named, sorted({default}.union(*places)))
    return named


def _unknown(named: str, known: list[str]) -> EnvironmentUnknown:
    meant = closest(named, known)
    hint = f"did you mean `{meant}`? " if meant else ""
    names = ", ".join(known[:_SHOWN_NAMES]) + (", …" if len(known) > _SHOWN_NAMES else "")
    shown = named[:_SHOWN_CHARS]
    text = f"the project has no environment `{shown}`: {hint}it has {names}"
    return EnvironmentUnknown(text, environment=shown, known=known)


def policy_of(project: Project | None, environment: str) -> EnvironmentPolicy | None:
    """Return what the project demands in an environment; None where it demands nothing."""
    known = project.config.environments.get(environment) if project else None
    return known.policy_enforcement if known else None


def resolve(
    base: Document,
    *,
    overlays: Sequence[Document] = (),
    project: Project | None = None,
    environment: str = DEFAULT_ENVIRONMENT,
    overrides: Document | None = None,
) -> Document:
    """Return the spec that is meant: base, overlays in order, the project's defaults for the
    environment under them, overrides. The defaults never change what the spec says.
    """
    legacy = base.data.get("version") in (None, "v0")
    document = merge(base, *overlays)
    if project is not None:
        document = _with_defaults(migrate(document), project, environment)
    if overrides is not None:
        document = merge(document, in_v1_shape(overrides) if legacy else overrides)
    return document


def _with_defaults(document: Document, project: Project, environment: str) -> Document:
    """Fill in the environment's own defaults first, so that they win over those of all."""
    config = project.config
    known = config.environments.get(environment)
    shorthand = _model_of(document)
    if isinstance(shorthand, str):
        # A text names a model and leaves all else open.
        document = _with_model_as(document, {"name": shorthand})
    if known is not None and known.defaults:
        path = ("environments", environment, "defaults")
        document = fill(document, _part(project, known.defaults, path))
    metadata = {"project": config.project.name, "environment": environment}
    document = fill(document, Document(name=project.name, data={"metadata": metadata}))
    agent = document.data.get("agent")
    if isinstance(agent, dict) and agent.get("as_agent") is None:
        document = _with_runtime(document, project, agent)
        document = _with_model(document, project, environment, agent)
    if isinstance(shorthand, str):
        model = _model_of(document)
        closed = {"provider": DEFAULT_PROVIDER, **model} if len(model) > 1 else shorthand
        document = _with_model_as(document, closed)
    policies = config.policy_defaults.model_dump(exclude_none=True)
    here = ("policies", "project_defaults")
    return fill(document, _part(project, policies, ("policy_defaults",), *here))


def _model_of(document: Document) -> Any:
    agent = document.data.get("agent")
    return agent.get("model") if isinstance(agent, dict) else None


def _with_model_as(document: Document, model: Any) -> Document:
    data = {**document.data, "agent": {**document.data["agent"], "model": model}}
    return Document(name=document.name, data=data, mark=document.mark)


def _with_runtime(document: Document, project: Project, agent: dict[str, Any]) -> Document:
    """Preferences that a spec has are left whole: modes of two sources contradict each other."""
    if "runtime_preferences" in agent:
        return document
    given = project.config.runtime_defaults.model_dump(exclude_none=True)
    here = ("agent", "runtime_preferences")
    return fill(document, _part(project, given, ("runtime_defaults",), *here))


def _with_model(
    document: Document, project: Project, environment: str, agent: dict[str, Any]
) -> Document:
    defaults = project.config.model_defaults.get(environment)
    if defaults is None:
        return document
    given = defaults.model_dump(exclude_none=True, exclude_unset=True)
    if "model" not in agent and not {"provider", "name"} <= given.keys():
        # Settings for a model that nobody names.
        return document
    path = ("model_defaults", environment)
    return fill(document, _part(project, given, path, "agent", "model"))


def _part(project: Project, data: Any, path: tuple[str, ...], *target: str) -> Document:
    """Return a part of the project config, from path, as a spec fragment below the target keys."""
    mark: Mark | None = project.document.mark
    for key in path:
        children = mark.children if mark is not None else None
        mark = children.get(key) if isinstance(children, dict) else None
    for key in reversed(target):
        data = {key: data}
        mark = Mark(0, 0, {key: mark}) if mark is not None else None
    return Document(name=project.name, data=data, mark=mark)
