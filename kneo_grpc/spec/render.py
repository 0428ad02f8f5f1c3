"""Writes a spec as YAML that this language reads back as the same data."""

from collections.abc import Mapping
from typing import Any

import yaml

from kneo_grpc.spec.scalars import ScalarRefused, plain

# Line breaks of YAML 1.1 that are none for anybody else.
_BREAKS = ("\r", "\x85", "\u2028", "\u2029", "\ufeff")


class _Dumper(yaml.SafeDumper):
    """Quotes what would be read as something else than text, and repeats nothing by alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=_style(value))


def _style(value: str) -> str | None:
    """Return how a text is written: `"`, `|` for several lines, None to leave it to PyYAML."""
    if any(mark in value for mark in _BREAKS):
        return '"'
    if "\n" in value and value.strip("\n"):
        return None if any(line.endswith(" ") for line in value.split("\n")) else "|"
    try:
        return None if plain(value) == value and value != "<<" else '"'
    except ScalarRefused:
        return '"'


_Dumper.add_representer(str, _text)


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return block YAML with keys in their order."""
    return yaml.dump(
        dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )
