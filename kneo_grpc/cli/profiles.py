"""Saved services: a JSON file that only its owner may read."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import typer

from kneo_grpc.domain.errors import InvalidInput, NotFound

_VERSION = 1
PROFILES_PATH_OPTION = typer.Option(envvar="KNEO_SERV_PROFILES_PATH", hidden=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A service's address without end slash, and the key to it."""

    service_url: str
    api_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """The file's content: `{schema_version, active, profiles: {name: {service_url, api_key}}}`.

    A file without schema_version is of before there was one, and reads the same.
    """

    path: Path
    active: str | None = None
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read the file; none is as an empty one. path: None for ~/.kneo_serv/profiles.json.

        Raises InvalidInput when it cannot be read or understood.
        """
        path = path or Path.home() / ".kneo_serv" / "profiles.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(path=path)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"cannot read the profiles in {path}: {error}") from None
        try:
            return cls(path=path, active=data.get("active"), by_name=_profiles(data))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InvalidInput(f"{path} is not a profiles file of version {_VERSION}") from None

    def get(self, name: str) -> Profile:
        """Return a profile. Raises NotFound."""
        if name not in self.by_name:
            raise NotFound(f"there is no profile {name!r} in {self.path}")
        return self.by_name[name]

    def write(self) -> None:
        """Replace the file at once, readable for its owner only. Raises InvalidInput."""
        content = {
            "schema_version": _VERSION,
            "active": self.active,
            "profiles": {
                name: {"service_url": item.service_url, "api_key": item.api_key}
                for name, item in self.by_name.items()
            },
        }
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            draft.unlink(missing_ok=True)
            # Created for its owner only, so the keys are never open to others.
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=2)
            draft.replace(self.path)
        except OSError as error:
            raise InvalidInput(f"cannot write the profiles to {self.path}: {error}") from None


def _profiles(data: Mapping[str, Any]) -> dict[str, Profile]:
    if data.get("schema_version", _VERSION) != _VERSION:
        raise ValueError("another version")
    return {
        name: Profile(service_url=str(item["service_url"]), api_key=item.get("api_key"))
        for name, item in data.get("profiles", {}).items()
    }
