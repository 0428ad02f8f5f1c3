"""Named SQL statements, read once from the .sql files beside this module."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\$(\d+)")


@cache
def load_statements(database: str) -> Mapping[str, str]:
    """Return the statements of `sqlite` or `postgres`, the shared ones among them, by name.

    Placeholders are `$1` for PostgreSQL and `?1` for SQLite; a name given twice is refused with
    ValueError.
    """
    statements: dict[str, str] = {}
    for folder in ("shared", database):
        for name, text in read_folder(folder).items():
            if name in statements:
                raise ValueError(f"statement {name} is defined twice")
            statements[name] = _PLACEHOLDER.sub(r"?\1", text) if database == "sqlite" else text
    return MappingProxyType(statements)


def read_folder(folder: str) -> dict[str, str]:
    """Return the named statements of one folder below `sql`, as written."""
    statements: dict[str, str] = {}
    for file in sorted(sql_folder(folder).iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql") or file.name == "schema.sql":
            continue
        _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"statement {name} is defined twice")
            statements[name] = text.strip().rstrip(";")
    return statements


def sql_folder(*names: str) -> Traversable:
    """Return a folder of the package's SQL files."""
    return resources.files("kneo_grpc.stores").joinpath("sql", *names)
