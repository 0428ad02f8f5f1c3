"""Finds the project that a folder belongs to. Loads nothing, so that every command can ask."""

from pathlib import Path

CONFIG_NAMES = (".kneo/config.yaml", ".kneo/config.yml", "kneo_serv.yaml", "kneo_serv.yml")
"""Where a project config lies in the project's folder; the first one found is taken."""


def find_config(start: Path) -> Path | None:
    """Return the project config of the nearest folder from start upwards that has one."""
    for folder in (start, *start.parents):
        for name in CONFIG_NAMES:
            path = folder / name
            if path.is_file():
                return path
    return None


def project_folder(config: Path) -> Path:
    """Return the project's folder: where its config lies, or the one above `.kneo`."""
    folder = config.absolute().parent
    return folder.parent if folder.name == ".kneo" else folder
