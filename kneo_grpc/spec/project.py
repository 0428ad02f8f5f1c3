"""The project config, `.kneo/config.yaml`: its sections, their defaults, what is wrong in one."""

# ruff: noqa: RUF012 # pydantic gives each object a copy of a default

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from kneo_grpc.domain.errors import ProjectConfigInvalid, SpecInvalid
from kneo_grpc.spec.document import Document, Path
from kneo_grpc.spec.environment_policy import EnvironmentPolicy
from kneo_grpc.spec.findings import Findings, diagnostic_data, shown
from kneo_grpc.spec.load import load_text
from kneo_grpc.spec.model import Shape
from kneo_grpc.spec.spelling import closest

_FAULTS_MAX = 100


def _inside(path: str) -> str:
    if path.startswith("~") or "\0" in path or ".." in path.replace("\\", "/").split("/"):
        raise PydanticCustomError("outside", "must not start with `~` or hold `..`")
    return path


Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
SpecPath = Annotated[Text, AfterValidator(_inside)]
EnvironmentName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Variable = Annotated[
    str, StringConstraints(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]
Mode = Literal["bridge", "native", "adapter"]
Days = Annotated[int, Field(ge=0, le=36_500)]


class ProjectSection(Shape):
    """Who and what."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    owner: str | None = None
    description: str | None = None
    default_environment: EnvironmentName = "dev"
    tags: list[str] = []


class ServiceSection(Shape):
    """Where the project's service is. timeout_seconds: of one call. headers: kept, not sent."""

    default_url: Text | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 120
    headers: dict[str, str] = {}


class LocalSection(Shape):
    """Where local commands keep things, relative to the project's folder."""

    state_path: Text = ".kneo/kneo_runs.sqlite"
    artifact_path: Text = ".kneo/artifacts"
    log_path: Text = ".kneo/logs"
    cache_path: Text = ".kneo/cache"
    create_missing_dirs: bool = True


class SpecsSection(Shape):
    """The specs. overlays: per environment, laid over every spec. include_paths: folders that a
    path is looked up in when the project's folder has no such file.
    """

    default_spec: SpecPath | None = None
    overlays: dict[EnvironmentName, Annotated[list[SpecPath], Field(max_length=100)]] = {}
    include_paths: Annotated[list[SpecPath], Field(max_length=100)] = []
    validate_on_run: bool = True


class RuntimeDefaults(Shape):
    """Where agents run that do not say it."""

    preferred_mode: Mode = "bridge"
    allowed_modes: list[Mode] = ["bridge"]
    fallback_mode: Mode | None = None
    native_provider: str | None = None
    adapter_ref: str | None = None
    bridge_provider: str | None = None


class ModelDefaults(Shape):
    """The model of a root agent that does not say it."""

    provider: Text | None = None
    name: Text | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    timeout_seconds: Annotated[int, Field(gt=0)] | None = None
    extra: dict[str, Any] = {}


class CheckpointingDefaults(Shape):
    """How often a run is saved; for information."""

    enabled: bool = True
    mode: Literal["none", "run", "step", "node"] = "step"


class LoggingDefaults(Shape):
    """How much is logged; for information."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class TracingDefaults(Shape):
    """What is traced; for information."""

    enabled: bool = True
    include_messages: bool = False
    include_tool_results: bool = True


class GuardrailDefaults(Shape):
    """Which guardrails are meant to be everywhere; for information."""

    enable_default_input_filter: bool = False
    enable_default_output_review: bool = False


class PolicyDefaults(Shape):
    """What the project means to do everywhere. Specs carry it; it binds nothing."""

    checkpointing: CheckpointingDefaults = CheckpointingDefaults()
    logging: LoggingDefaults = LoggingDefaults()
    tracing: TracingDefaults = TracingDefaults()
    guardrails: GuardrailDefaults = GuardrailDefaults()


class SecretsSection(Shape):
    """Names of environment variables with secrets, by provider and by other name. Never values."""

    provider_env: dict[Text, Variable] = {}
    extra_env: dict[Text, Variable] = {}


class RetentionSection(Shape):
    """Days after which things go; the environment's variables win."""

    runs_days: Days | None = None
    checkpoints_days: Days | None = None
    queue_days: Days | None = None
    continuations_days: Days | None = None
    artifacts_days: Days | None = None
    logs_days: Days | None = None
    audit_days: Days | None = None
    idempotency_days: Days | None = None


class Environment(Shape):
    """One environment: what it demands of specs, and a spec fragment laid under them."""

    policy_enforcement: EnvironmentPolicy | None = None
    defaults: dict[str, Any] = {}


class ProjectConfig(Shape):
    """All sections."""

    project: ProjectSection
    service: ServiceSection = ServiceSection()
    local: LocalSection = LocalSection()
    specs: SpecsSection = SpecsSection()
    runtime_defaults: RuntimeDefaults = RuntimeDefaults()
    model_defaults: dict[EnvironmentName, ModelDefaults] = {}
    policy_defaults: PolicyDefaults = PolicyDefaults()
    secrets: SecretsSection = SecretsSection()
    retention: RetentionSection = RetentionSection()
    environments: dict[EnvironmentName, Environment] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project config that was read. document: with its positions."""

    config: ProjectConfig
    document: Document

    @property
    def name(self) -> str:
        """What the config's file is called in messages."""
        return self.document.name


def read_project(text: bytes, *, name: str) -> Project:
    """Read a project config. Raises ProjectConfigInvalid (details: diagnostics, with name as their
    file) on what is no YAML, on unknown fields and on wrong values; none of them is repeated.
    """
    try:
        document = load_text(text, name=name)
    except SpecInvalid as error:
        diagnostics = error.details["diagnostics"]
        raise _invalid([{**item, "file": name} for item in diagnostics]) from None
    # A section without a field is written `service:`, which YAML reads as null.
    data = {key: value for key, value in document.data.items() if value is not None}
    try:
        return Project(config=ProjectConfig.model_validate(data), document=document)
    except ValidationError as error:
        findings = Findings(document)
        faults = error.errors(include_url=False, include_context=True, include_input=False)
        for fault in faults[:_FAULTS_MAX]:
            _note(fault, findings)
        ordered = [replace(item, file=name) for item in findings.ordered()]
        raise _invalid([diagnostic_data(item) for item in ordered]) from None


def config_fault(project: Project, path: Path, message: str) -> ProjectConfigInvalid:
    """Return the exception for a part of a config that turned out to be wrong in use."""
    findings = Findings(project.document)
    findings.error("E_CONFIG", path, message)
    ordered = [replace(item, file=project.name) for item in findings.ordered()]
    return _invalid([diagnostic_data(item) for item in ordered])


def _invalid(diagnostics: Sequence[dict[str, Any]]) -> ProjectConfigInvalid:
    first = diagnostics[0]
    line = f":{first['line']}:{first['column']}" if first.get("line") else ""
    at = f"{first['path']}: " if first.get("path") else ""
    more = f" (and {len(diagnostics) - 1} more)" if len(diagnostics) > 1 else ""
    return ProjectConfigInvalid(
        f"{first['file']}{line}: {at}{first['message']}{more}", diagnostics=list(diagnostics)
    )


_WORDS = {
    "missing": "is required",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    # The value may be the secret itself, so it is not shown.
    "string_pattern_mismatch": "must be the name of an environment variable, never a secret itself",
}


def _note(fault: ErrorDetails, findings: Findings) -> None:
    path: Path = tuple(key for key in fault["loc"] if key != "[key]")
    kind, last = fault["type"], path[-1] if path else "the config"
    hint = None
    if kind == "extra_forbidden":
        text, hint = f"the field {shown(last)} is not known here", _near(str(last), path)
    else:
        words = _WORDS.get(kind) or fault["msg"].replace("Input should be", "must be")
        text = f"{shown(last) if isinstance(last, str) else 'the item'} {words}"
    findings.error("E_CONFIG", path, text.replace("'", "`"), hint)


def _near(word: str, path: Path) -> str | None:
    shape: Any = ProjectConfig
    for key in path[:-1]:
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            field = shape.model_fields.get(str(key))
            shape = field.annotation if field else None
        else:
            arguments = getattr(shape, "__args__", ())
            shape = arguments[-1] if arguments else None
    for candidate in (shape, *getattr(shape, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            fields = list(candidate.model_fields)
            close = closest(word, fields)
            return f"did you mean `{close}`?" if close else f"known: {', '.join(fields)}"
    return None
