"""kneo spec migrate and schema: they work on texts, so they need neither service nor store."""

from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.config import render
from kneo_grpc.cli.session import told_failures
from kneo_grpc.cli.spec_options import Environment, Output, Overlays, SpecPath, chosen

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def migrate(
    path: SpecPath = None,
    output: Output = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only tell; exit with 1 when changes are needed.")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """Rewrite a spec from before version v1. Comments are lost where something changes."""
    # What reads and writes YAML takes a while to load, which help does without.
    from kneo_grpc.spec.load import load_text
    from kneo_grpc.spec.migrate import migration
    from kneo_grpc.spec.render import to_yaml

    spec_file = chosen(path)
    with told_failures(spec_file):
        content = spec_file.content()
        document = load_text(content, name=str(spec_file))
        migrated, applied = migration(document)
        _require_v1(migrated.data.get("version"))
        facts = {
            "source_version": document.data.get("version"),
            "target_version": "v1",
            "changed": bool(applied),
            "applied": applied,
        }
        text = to_yaml(migrated.data) if applied else content.decode()
        if output is not None and not check:
            show.write(text, output)
    if as_json:
        given = {} if check else {"output": str(output)} if output else {"spec": migrated.data}
        show.as_json({**facts, **given})
    elif check or output is not None:
        for item in applied:
            show.line(item)
        show.line(f"{spec_file} {_outcome(bool(applied), check)}.")
    else:
        show.write(text, None)
    if check and applied:
        raise typer.Exit(1)


def resolve(
    path: SpecPath = None, output: Output = None, env: Environment = None, overlay: Overlays = None
) -> None:
    """Print the spec as the project has it in an environment: overlays and defaults in place."""
    render(chosen(path, overlay, env), output)


def schema(output: Output = None) -> None:
    """Print the JSON Schema of the language, for editors."""
    # See migrate().
    from kneo_grpc.spec.json_schema import json_schema

    with told_failures():
        show.write(show.json_text(json_schema()), output)


def _require_v1(version: object) -> None:
    # See migrate().
    from kneo_grpc.spec.findings import refusal, shown

    if version != "v1":
        text = f"the version {shown(version)} is not known to this release"
        raise refusal("E_VERSION", text, path=("version",))


def _outcome(changed: bool, check: bool) -> str:
    if not changed:
        return "needs no change"
    return "needs these changes" if check else "was rewritten"
