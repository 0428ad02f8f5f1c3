"""Saved services: a JSON file that only its owner may read."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
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

    A file without schema_version is of before there was one: it reads the same, and has one after
    the next change.
    """

    path: Path
    active: str | None = None
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read the file; none is as an empty one. path: None for ~/.kneo_serv/profiles.json.

        Raises InvalidInput when it cannot be read or understood.
        """
        path = path or _default_path()
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

    @classmethod
    def change(cls, path: Path | None, act: Callable[[Self], Self]) -> Self:
        """Read the file, let act change what is in it, and write that; return it.

        Commands that do so at once wait for each other, so that none undoes another. Raises what
        act raises, and InvalidInput when the file cannot be read or written.
        """
        path = path or _default_path()
        with _locked(path):
            changed = act(cls.read(path))
            changed._write()
        return changed

    def _write(self) -> None:
        """Replace the file at once, readable for its owner only."""
        content = {
            "schema_version": _VERSION,
            "active": self.active,
            "profiles": {
                name: {"service_url": item.service_url, "api_key": item.api_key}
                for name, item in self.by_name.items()
            },
        }
        try:
            # A link, such as into a folder under version control, stays one.
            target = self.path.resolve()
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            draft.unlink(missing_ok=True)
            # Created for its owner only, so the keys are never open to others.
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=2)
                file.flush()
                os.fsync(handle)
            draft.replace(target)
        except OSError as error:
            raise InvalidInput(f"cannot write the profiles to {self.path}: {error}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a profiles file: one beside it, because the file itself is replaced."""
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif path == _default_path():
            # The folder is ours alone; any other may be anybody's.
            path.parent.chmod(0o700)
        lock = path.with_name(f".{path.name}.lock")
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInput(f"cannot write the profiles to {path}: {error}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _default_path() -> Path:
    return Path.home() / ".kneo_serv" / "profiles.json"


def _profiles(data: Mapping[str, Any]) -> dict[str, Profile]:
    if data.get("schema_version", _VERSION) != _VERSION:
        raise ValueError("another version")
    if not isinstance(data.get("active"), (str, NoneType)):
        raise TypeError("active is no name")
    return {name: _profile(item) for name, item in data.get("profiles", {}).items()}


def _profile(item: Mapping[str, Any]) -> Profile:
    service_url, api_key = item["service_url"], item.get("api_key")
    if not isinstance(service_url, str) or not isinstance(api_key, (str, NoneType)):
        raise TypeError("not the texts of a profile")
    return Profile(service_url=service_url.rstrip("/"), api_key=api_key)
