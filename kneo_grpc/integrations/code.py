"""Finds users' functions and tools: those registered, those of installed packages, and those of
modules that may be imported.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kneo_grpc.integrations.installed import InstalledCode, installed_code
from kneo_grpc.ports.code import (
    CodeMissing,
    CodeNotAllowed,
    Function,
    RegisteredTool,
    ToolHandler,
)


class CodeRegistry:
    """Code by name and by import path.

    allow: module names; `shop` allows shop and everything below it, `*` allows all modules, which
    is for the command line in the user's own project. Nothing else is ever imported, but for what
    installed packages offer. What is registered wins over what is installed.
    """

    def __init__(
        self,
        allow: Iterable[str],
        tools: Iterable[RegisteredTool] = (),
        installed: InstalledCode | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._tools = {tool.name: tool for tool in tools}
        self._functions: dict[str, Function] = {}
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
        if "*" not in self._allow and not any(
            module_name == name or module_name.startswith(f"{name}.") for name in self._allow
        ):
            raise CodeNotAllowed(
                f"{implementation} is not below a module named by KNEO_SERV_IMPORT_ALLOW"
            )
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise CodeMissing(f"{implementation} does not exist in this process") from error
        if not callable(found):
            raise CodeMissing(f"{implementation} cannot be called")
        result: Callable[..., Any] = found
        return result
