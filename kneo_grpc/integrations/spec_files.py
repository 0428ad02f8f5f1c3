"""Reads the files of specs from one folder and never from outside of it."""

import contextlib
import importlib.resources
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kneo_grpc.domain.errors import InvalidInput, SpecPathConfined
from kneo_grpc.integrations.project_folder import CONFIG_NAMES
from kneo_grpc.ports.spec_files import SETTLED_NS, SourceFile, Stamp

# Bundles may be larger than specs, whose own limit the loader sets.
_BYTES_MAX = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK opening a FIFO waits for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class ConfinedFiles:
    """Files below root: links may lead about inside of it, not out; devices and the like are none.

    examples: folder that `examples/…` means where the root has no such file. config: the project
    config, wherever it lies; None looks for one in the root. bytes_max: no more than one byte
    beyond it is read of any file.
    """

    def __init__(
        self,
        root: Path,
        *,
        examples: Path | None = None,
        config: Path | None = None,
        bytes_max: int = _BYTES_MAX,
    ) -> None:
        self._root = root.resolve()
        self._examples = examples
        self._config = config
        self._bytes_max = bytes_max
        self._configs = tuple(self._root / name for name in CONFIG_NAMES)
        self._config_folders = tuple(dict.fromkeys(path.parent for path in self._configs))
        # Folders, and which configs there are as long as these stay as they are.
        self._present: tuple[dict[Path, Stamp], tuple[Path, ...]] | None = None

    def read(self, name: str, folders: Sequence[str] = ()) -> SourceFile:
        """See SpecFiles."""
        for folder in ("", *folders):
            path = _below(name) if not folder else _below(folder) / _below(name)
            found = self._locate(path, name)
            if found is not None:
                return SourceFile(name, self._content(found, name))
        relative = Path(name)
        if self._examples and relative.parts[:1] == ("examples",):
            shipped = self._examples.joinpath(*relative.parts[1:])
            if shipped.is_file():
                return SourceFile(name, shipped.read_bytes())
        raise _missing(name)

    def project(self) -> SourceFile | None:
        """See SpecFiles."""
        if self._config is not None:
            try:
                with self._config.open("rb") as file:
                    return SourceFile(str(self._config), file.read(self._bytes_max + 1))
            except OSError as error:
                text = f"cannot read the project config {self._config}: {error.strerror or error}"
                raise InvalidInput(text) from None
        for name in CONFIG_NAMES:
            # Most folders have none: one look at each name, before all the care.
            if os.path.lexists(self._root / name):
                return self.read(name)
        return None

    def stamp(self, name: str, folders: Sequence[str] = ()) -> Stamp | None:
        """See SpecFiles. A few calls to the system, which answers from memory."""
        for folder in ("", *folders):
            found = _look(os.path.join(self._root, folder, name))  # noqa: PTH118 # see _look
            if found is not None:
                return found
        if self._examples and name.startswith("examples/"):
            return _look(self._examples / name.removeprefix("examples/"))
        return None

    def project_stamp(self) -> Stamp | None:
        """See SpecFiles. A folder changes when something appears in it."""
        if self._config is not None:
            return _look(self._config)
        known, configs = self._present or ({}, ())
        # An absent folder would change the one above it by appearing.
        if known and _found(known) == known:
            stamps = (*known.values(), *_found(configs).values())
        else:
            stamps = self._all_stamps()
        return Stamp(stamps, max(stamp.changed_at for stamp in stamps)) if stamps else None

    def _all_stamps(self) -> tuple[Stamp, ...]:
        """Look at every place, and remember where something is if that can be relied on."""
        settled_at = time.time_ns() - SETTLED_NS
        folders, configs = _found(self._config_folders), _found(self._configs)
        absent = {*self._config_folders, *self._configs} - folders.keys() - configs.keys()
        # A link to nowhere leads somewhere as soon as that appears, wherever it is.
        settled = all(stamp.changed_at < settled_at for stamp in folders.values())
        reliable = settled and not any(map(os.path.lexists, absent))
        self._present = (folders, tuple(configs)) if reliable else None
        return (*folders.values(), *configs.values())

    def _locate(self, path: Path, name: str) -> tuple[str, ...] | None:
        """Return the way from the root to what the path really is; None where nothing is."""
        try:
            real = (self._root / path).resolve(strict=True)
        except (FileNotFoundError, NotADirectoryError):
            real = None
        except (OSError, RuntimeError):
            # Python says RuntimeError to a circle of links.
            text = f"the spec path {name} cannot be followed: its links go in a circle"
            raise SpecPathConfined(text, spec_path=name) from None
        if real is None:
            # A link to nowhere must not tell what there is outside.
            if not (self._root / path).resolve().is_relative_to(self._root):
                raise _confined(name)
            return None
        if not real.is_relative_to(self._root):
            raise _confined(name)
        return real.relative_to(self._root).parts

    def _content(self, parts: tuple[str, ...], name: str) -> bytes:
        """Read the file without following any link: one put there meanwhile leads nowhere."""
        if not parts:
            raise _missing(name)
        try:
            with self._folder(parts[:-1]) as folder:
                # Opening a device may already do something, so it is looked at before; and after,
                # because it may have been put there meanwhile.
                _check_plain(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False), name)
                handle = os.open(parts[-1], _FILE, dir_fd=folder)
                with os.fdopen(handle, "rb") as file:
                    _check_plain(os.fstat(handle), name)
                    return file.read(self._bytes_max + 1)
        except OSError as error:
            text = f"the spec file {name} cannot be read"
            raise InvalidInput(text, spec_path=name) from error

    @contextlib.contextmanager
    def _folder(self, parts: tuple[str, ...]) -> Iterator[int]:
        """Open a folder, step by step from the root."""
        handle = os.open(self._root, _FOLDER)
        try:
            for part in parts:
                inner = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)


def _found(paths: Iterable[Path]) -> dict[Path, Stamp]:
    return {path: stamp for path in paths if (stamp := _look(path)) is not None}


def _look(path: Path | str) -> Stamp | None:
    """Return the stamp of what is there. With os and not with pathlib, which takes twice as long:
    each run asks.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 # see above
    except (OSError, ValueError):
        return None
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    return Stamp((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, changed), changed)


def _below(name: str) -> Path:
    path = Path(name)
    if "\0" in name or name.startswith("~") or ".." in path.parts:
        raise _confined(name)
    return path


def _check_plain(found: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise _missing(name)
    if not stat.S_ISREG(found.st_mode):
        raise SpecPathConfined(f"the spec path {name} is no plain file", spec_path=name)


def _missing(name: str) -> InvalidInput:
    return InvalidInput(f"there is no spec file {name}", spec_path=name)


def _confined(name: str) -> SpecPathConfined:
    return SpecPathConfined("the spec path leaves the spec root", spec_path=name)


def examples_folder() -> Path:
    """Return the folder of the shipped example specs."""
    return Path(str(importlib.resources.files("kneo_grpc.examples")))
