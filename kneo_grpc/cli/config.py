"""kneo config: the project that a folder belongs to, and saved services."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kneo_grpc.cli import profile, show
from kneo_grpc.cli.session import told_failures
from kneo_grpc.cli.spec_file import SpecFile
from kneo_grpc.cli.spec_options import Environment, Overlays, chosen
from kneo_grpc.cli.workspace import Workspace
from kneo_grpc.domain.errors import InvalidInput

if TYPE_CHECKING:
    from kneo_grpc.spec.credentials import Credential
    from kneo_grpc.spec.project import Project

app = typer.Typer(help="The project's config, and saved services.", no_args_is_help=True)
app.add_typer(profile.app, name="profile")

_CONFIG = Path(".kneo/config.yaml")
_NONE_FOUND = "no project config here or above; `kneo config init` writes one"
_NAMES_ONLY = ("secrets",)

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_Spec = Annotated[
    Path | None,
    typer.Option("--spec", help="The spec file; the project's default one when left out."),
]


@app.command("init")
def init(
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the project; the folder's when left out."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a config that exists.")] = False,
) -> None:
    """Write a project config for this folder, .kneo/config.yaml, to start from."""
    # What reads and writes YAML takes a while to load, which help does without.
    from kneo_grpc.cli.project_template import project_template
    from kneo_grpc.spec.project import read_project

    with told_failures():
        text = project_template(_folder_name() if name is None else name)
        read_project(text.encode(), name=str(_CONFIG))
        if _CONFIG.exists() and not force:
            raise InvalidInput(f"{_CONFIG} exists; --force replaces it")
        try:
            for folder in ("artifacts", "logs", "cache"):
                (_CONFIG.parent / folder).mkdir(parents=True, exist_ok=True)
            _CONFIG.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InvalidInput(f"cannot write {_CONFIG}: {error.strerror or error}") from None
        show.line(f"Wrote {_CONFIG}.")


@app.command("show")
def show_config(as_json: _AsJson = False) -> None:
    """Show the project config with its defaults."""
    with told_failures():
        project = Workspace.open().project
        if project is None:
            show.line(f"warning: {_NONE_FOUND}", err=True)
            if as_json:
                show.as_json({})
            return
        # See init().
        from kneo_grpc.spec.render import to_yaml

        data = show.safe(project.config.model_dump(exclude_none=True), keep=_NAMES_ONLY)
        if as_json:
            show.as_json(data, keep=_NAMES_ONLY)
        else:
            show.line(f"# {project.name}")
            show.write(to_yaml(data), None)


@app.command("resolve")
def resolve(env: Environment = None, spec: _Spec = None, as_json: _AsJson = False) -> None:
    """Show what commands here work with: environment, spec, overlays, paths, service."""
    # See init().
    from kneo_grpc.spec.environments import DEFAULT_ENVIRONMENT

    with told_failures():
        workspace = Workspace.open()
        project = workspace.project
        environment = workspace.environment(env) or DEFAULT_ENVIRONMENT
        spec_path = str(spec) if spec else workspace.default_spec
        facts = {
            "root_dir": str(workspace.folder),
            "config_path": str(workspace.config) if workspace.config else None,
            "environment": environment,
            "spec_path": spec_path,
            "overlay_paths": [file.name for file in workspace.overlays(environment)],
            **{
                setting: str(workspace.path(setting))
                for setting in ("state_path", "artifact_path", "log_path", "cache_path")
            },
            "service_url": project.config.service.default_url if project else None,
            "has_config": project is not None,
            "secrets": _variables(project),
        }
    facts = show.safe(facts, keep=_NAMES_ONLY)
    if as_json:
        show.as_json(facts, keep=_NAMES_ONLY)
    else:
        show.facts({key.replace("_", " "): value for key, value in facts.items()})


@app.command("secrets")
def secrets(env: Environment = None, as_json: _AsJson = False) -> None:
    """Show which secrets are set in the environment. No value is ever shown."""
    # See init().
    from kneo_grpc.integrations.variables import environment as variables
    from kneo_grpc.spec.credentials import take_inventory
    from kneo_grpc.spec.secret_names import PROVIDER_VARIABLES

    with told_failures():
        workspace = Workspace.open()
        workspace.environment(env)
    project = workspace.project
    named = project.config.secrets if project else None
    present = {name for name, value in variables().items() if value.strip()}
    found = take_inventory(
        named,
        present.__contains__,
        providers=dict.fromkeys((*PROVIDER_VARIABLES, *(named.provider_env if named else ()))),
        extras=named.extra_env if named else (),
    )
    tables = {
        "providers": found.providers,
        "extra": found.extra,
        "service_tokens": found.service,
    }
    if as_json:
        show.as_json(
            {
                table: {name: _entry(credential) for name, credential in entries.items()}
                for table, entries in tables.items()
            }
        )
    else:
        show.table(
            ("name", "variable", "set"),
            [
                (credential.name, credential.env_var, credential.present)
                for entries in tables.values()
                for credential in entries.values()
            ],
        )


@app.command("render-spec")
def render_spec(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    env: Environment = None,
    spec: _Spec = None,
    overlay: Overlays = None,
) -> None:
    """Write the spec as the project has it in an environment: overlays and defaults in place."""
    render(chosen(spec, overlay, env), output)


def render(spec_file: SpecFile, output: Path | None) -> None:
    """Write a spec as the project has it, to stdout without output."""
    # See init().
    from kneo_grpc.spec.render import to_yaml

    with told_failures(spec_file):
        document, environment = spec_file.resolved()
        show.write(to_yaml(document.data), output)
        if output is not None:
            show.line(f"Wrote {output}{f' for {environment}' if environment else ''}.")


def _entry(credential: "Credential") -> show.Json:
    """Return a credential as the service shows it."""
    return {
        "name": credential.name,
        "env_var": credential.env_var,
        "present": credential.present,
        "value": credential.value,
        "status": credential.status,
    }


def _folder_name() -> str:
    # A folder's name may hold bytes that are no text.
    return Path.cwd().name.encode("utf-8", "replace").decode() or "project"


def _variables(project: "Project | None") -> show.Json:
    """Return the names of variables that the project's secrets are in."""
    if project is None:
        return {}
    secrets = project.config.secrets
    return {"provider_env": dict(secrets.provider_env), "extra_env": dict(secrets.extra_env)}
