"""Functions and tools of installed packages, by the entry points `kneo.functions`, `kneo.tools`."""

import functools
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from kneo_grpc.domain.errors import KneoError
from kneo_grpc.integrations.callables import make_function, make_tool
from kneo_grpc.ports.code import Function, RegisteredTool

T = TypeVar("T")

logger = logging.getLogger("kneo_grpc.code")

FUNCTIONS = "kneo.functions"
TOOLS = "kneo.tools"

Find = Callable[[str], Iterable[EntryPoint]]
"""Returns the entry points of a group."""


class InstalledCode:
    """What packages offer. It is looked for once, at the first question.

    An entry point that cannot be used is logged by its name and left out.
    """

    def __init__(self, find: Find | None = None) -> None:
        self._find = find or (lambda group: entry_points(group=group))
        # A package may well ask while it is being loaded; it then sees what is not yet there.
        self._lock = threading.RLock()
        self._functions: Mapping[str, Function] | None = None
        self._tools: Mapping[str, RegisteredTool] | None = None

    def functions(self) -> Mapping[str, Function]:
        """Return the functions, each by its name and by the dotted path that it stands for."""
        with self._lock:
            if self._functions is None:
                self._functions = {}
                found: dict[str, Function] = {}
                for point, function in self._loaded(FUNCTIONS, _function):
                    found.setdefault(point.name, function)
                    found.setdefault(_path(point), function)
                self._functions = found
            return self._functions

    def tools(self) -> Mapping[str, RegisteredTool]:
        """Return the tools by name, which is the entry point's."""
        with self._lock:
            if self._tools is None:
                self._tools = {}
                self._tools = {tool.name: tool for _, tool in self._loaded(TOOLS, _tool)}
            return self._tools

    def _loaded(
        self, group: str, make: Callable[[EntryPoint, Any], T]
    ) -> list[tuple[EntryPoint, T]]:
        found: dict[str, tuple[EntryPoint, T]] = {}
        for point in self._find(group):
            if point.name in found:
                facts = {"group": group, "entry_point": point.name, "value": point.value}
                logger.warning("an entry point's name is taken; it is left out", extra=facts)
                continue
            try:
                found[point.name] = (point, make(point, point.load()))
            except (Exception, SystemExit) as error:
                # The code of others: whatever it raises must not stop the start.
                facts = {"group": group, "entry_point": point.name, "value": point.value}
                reason = error.message if isinstance(error, KneoError) else repr(error)
                text = f"the entry point {point.name} of {group} cannot be used: {reason}"
                logger.error(text, extra=facts)
        return list(found.values())


@functools.cache
def installed_code() -> InstalledCode:
    """Return what is installed beside this process."""
    return InstalledCode()


def _path(point: EntryPoint) -> str:
    return f"{point.module}.{point.attr}"


def _function(point: EntryPoint, loaded: Any) -> Function:
    return make_function(loaded, _path(point))[1]


def _tool(point: EntryPoint, loaded: Any) -> RegisteredTool:
    if isinstance(loaded, RegisteredTool) and loaded.name == point.name:
        return make_tool(loaded)
    if isinstance(loaded, RegisteredTool):
        raise ValueError(f"it is a tool of the name {loaded.name}")
    return make_tool(loaded, name=point.name)
