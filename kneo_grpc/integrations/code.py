"""Finds users' functions and tools: those registered, those of installed packages, and those of
modules that may be imported.
"""

import importlib
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kneo_grpc.integrations.installed import InstalledCode, installed_code
from kneo_grpc.ports.code import (
    CodeMissing,
    CodeNotAllowed,
    Function,
    RegisteredTool,
    ToolHandler,
)
from kneo_grpc.spec.spelling import closest

logger = logging.getLogger("kneo_grpc.code")


class CodeRegistry:
    """Code by name and by import path.

    allow: module names; `shop` allows shop and everything below it, `*` allows all modules, which
    is for the command line in the user's own project, whose user is told everything about a failed
    import. Nothing else is ever imported, but for what
    installed packages offer. What is registered wins over what is installed.
    """

    def __init__(
        self,
        allow: Iterable[str],
        tools: Iterable[RegisteredTool] = (),
        installed: InstalledCode | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._own = "*" in self._allow
        self._tools = {tool.name: tool for tool in tools}
        self._functions: dict[str, Function] = {}
        self._imported: set[str] = set()
        self._installed = installed or installed_code()

    def register_tool(self, tool: RegisteredTool) -> None:
        """Make a tool known by name, in the place of one that had it."""
        self._tools[tool.name] = tool

    def remove_tool(self, name: str) -> None:
        """Forget a registered tool, if there is one of that name."""
        self._tools.pop(name, None)

    def register_function(self, implementation: str, function: Function) -> None:
        """Make a function known under an implementation path, without an import."""
        self._functions[implementation] = function

    def function(self, implementation: str) -> Function:
        """Return the callable at `module.attribute`."""
        known = self._functions.get(implementation)
        if known is not None:
            return known
        try:
            return self._import(implementation)
        except (CodeMissing, CodeNotAllowed):
            # Last, because the first look at what is installed takes a while.
            known = self._installed.functions().get(implementation)
            if known is None:
                raise
            return known

    def tool(self, name: str, implementation: str | None) -> ToolHandler:
        """Return a tool's handler by its implementation, else by its registered name."""
        if implementation is not None:
            return self._import(implementation)
        tool = self._tools.get(name) or self._installed.tools().get(name)
        if tool is None:
            raise CodeMissing(f"tool {name} is not registered in this process")
        return tool.handler

    def tools(self) -> Mapping[str, RegisteredTool]:
        """Return the tools known by name."""
        return {**self._installed.tools(), **self._tools}

    def _import(self, implementation: str) -> Callable[..., Any]:
        module_name, _, attribute = implementation.rpartition(".")
        if module_name in self._imported:
            # Each step comes here, and what was allowed and imported once still is.
            found = getattr(sys.modules.get(module_name), attribute, None)
            if callable(found):
                return found  # type: ignore[no-any-return] # whatever a module holds
        if not self._own and not any(
            module_name == name or module_name.startswith(f"{name}.") for name in self._allow
        ):
            raise CodeNotAllowed(
                f"{implementation} is not below a module named by KNEO_SERV_IMPORT_ALLOW"
            )
        try:
            module = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:
            # The code of others: a module may raise anything while it is imported.
            raise CodeMissing(self._why(implementation, module_name, error)) from error
        if not hasattr(module, attribute):
            meant = closest(attribute, vars(module)) if self._own else None
            hint = f"; did you mean `{meant}`?" if meant else ""
            text = f"the module {module_name} has no `{attribute}`{hint}"
            raise CodeMissing(f"{implementation} does not exist: {text}")
        found = getattr(module, attribute)
        if not callable(found):
            raise CodeMissing(f"{implementation} cannot be called")
        self._imported.add(module_name)
        result: Callable[..., Any] = found
        return result

    def _why(self, implementation: str, module: str, error: BaseException) -> str:
        """Tell why a module cannot be imported; in a service without the error's own text, which
        may hold what is not for callers.
        """
        name = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if name and (module == name or module.startswith(f"{name}.")):
            where = f" in or below {Path.cwd()}" if self._own else ""
            return f"{implementation} does not exist: there is no module {name}{where}"
        kind = type(error).__name__
        text = f"{implementation} cannot be imported: the module {module}"
        if self._own:
            return f"{text} fails with {kind}: {error}{_place(error)}"
        logger.warning("a module cannot be imported", extra={"module_name": module}, exc_info=error)
        needs = f"needs the module {name}, which is not there" if name else f"fails with {kind}"
        return f"{text} {needs}"


def _place(error: BaseException) -> str:
    """Return where in somebody's module an import failed."""
    frames = traceback.extract_tb(error.__traceback__)
    # What stands above is this file and the import system.
    own = [frame for frame in frames if not frame.filename.startswith("<frozen ")]
    if not own or own[-1].filename in (__file__, importlib.__file__):
        return ""
    return f" ({own[-1].filename}:{own[-1].lineno})"
