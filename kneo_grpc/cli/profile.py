"""kneo config profile: saved services."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.profiles import PROFILES_PATH_OPTION, Profile, Profiles
from kneo_grpc.cli.session import told_failures
from kneo_grpc.domain.errors import InvalidInput

app = typer.Typer(help="Saved services: address and key under a name.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="Name of the profile.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_ProfilesPath = Annotated[Path | None, PROFILES_PATH_OPTION]


@app.command("set")
def set_profile(
    name: _Name,
    service_url: Annotated[str, typer.Option(metavar="URL", help="The service's address.")],
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key for the service; kept in the file.")
    ] = None,
    activate: Annotated[
        bool, typer.Option(help="Use the profile where no other service is named.")
    ] = True,
    as_json: _AsJson = False,
    profiles_path: _ProfilesPath = None,
) -> None:
    """Save a service under a name."""
    with told_failures():
        _require_usable(name, service_url, api_key)
        saved = Profile(service_url=service_url.rstrip("/"), api_key=api_key)
        Profiles.change(
            profiles_path,
            lambda profiles: replace(
                profiles,
                active=name if activate else profiles.active,
                by_name={**profiles.by_name, name: saved},
            ),
        )
        _print(name, saved, as_json)


@app.command("use")
def use_profile(name: _Name, as_json: _AsJson = False, profiles_path: _ProfilesPath = None) -> None:
    """Use a saved service where no other is named."""

    def activated(profiles: Profiles) -> Profiles:
        profiles.get(name)
        return replace(profiles, active=name)

    with told_failures():
        profiles = Profiles.change(profiles_path, activated)
        _print(name, profiles.get(name), as_json)


@app.command("list")
def list_profiles(as_json: _AsJson = False, profiles_path: _ProfilesPath = None) -> None:
    """List the saved services; keys are not shown."""
    with told_failures():
        profiles = Profiles.read(profiles_path)
    items = [_shown(name, item) for name, item in profiles.by_name.items()]
    if as_json:
        show.as_json({"active": profiles.active, "profiles": items, "path": str(profiles.path)})
    elif items:
        show.table(
            ("name", "service", "key", "active"),
            [
                (
                    item["name"],
                    item["service_url"],
                    item["authenticated"],
                    item["name"] == profiles.active,
                )
                for item in items
            ],
        )
    else:
        show.line("No profiles.")


@app.command("show")
def show_profile(
    named: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the profile; the active one when left out."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The same.")] = None,
    as_json: _AsJson = False,
    profiles_path: _ProfilesPath = None,
) -> None:
    """Show a saved service; its key is not shown."""
    if named is not None and name is not None and named != name:
        raise typer.BadParameter("give the name once")
    with told_failures():
        profiles = Profiles.read(profiles_path)
        chosen = named or name or profiles.active
        if chosen is None:
            raise typer.BadParameter("no profile is active; give a name")
        _print(chosen, profiles.get(chosen), as_json)


@app.command("delete")
def delete_profile(name: _Name, profiles_path: _ProfilesPath = None) -> None:
    """Forget a saved service."""

    def without(profiles: Profiles) -> Profiles:
        profiles.get(name)
        return replace(
            profiles,
            active=None if profiles.active == name else profiles.active,
            by_name={key: item for key, item in profiles.by_name.items() if key != name},
        )

    with told_failures():
        Profiles.change(profiles_path, without)
        show.line(f"Deleted profile {name}.")


def _require_usable(name: str, service_url: str, api_key: str | None) -> None:
    """Raises InvalidInput on what no later command could use."""
    # The client loads what it speaks with, which help does without.
    from kneo_grpc.client.target import parse_target, require_header_text

    if not name.strip() or not name.isprintable():
        raise InvalidInput("a profile's name has at least one character, and only printable ones")
    try:
        parse_target(service_url)
        require_header_text(api_key)
    except ValueError as error:
        raise InvalidInput(f"cannot use the service {service_url}: {error}") from None


def _shown(name: str, item: Profile) -> show.Json:
    return {
        "name": name,
        "service_url": item.service_url,
        "authenticated": item.api_key is not None,
    }


def _print(name: str, item: Profile, as_json: bool) -> None:
    if as_json:
        show.as_json(_shown(name, item))
    else:
        show.facts({"profile": name, "service": item.service_url, "key": item.api_key is not None})
