"""Checks what agents and workflows are made of: tools, MCP servers and functions."""

import re
from collections.abc import Collection

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import McpServer, Spec, Tool
from kneo_grpc.spec.names import Known

_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")

# A first fence only: what may be imported at all is a list that the operator keeps.
_UNSAFE_MODULES = frozenset(
    {
        "builtins",
        "code",
        "codeop",
        "ctypes",
        "fcntl",
        "importlib",
        "marshal",
        "mmap",
        "multiprocessing",
        "nt",
        "os",
        "pathlib",
        "pdb",
        "pickle",
        "platform",
        "posix",
        "pty",
        "runpy",
        "shutil",
        "signal",
        "socket",
        "subprocess",
        "sys",
        "tty",
    }
)
_UNSAFE_NAMES = frozenset({"eval", "exec", "open", "compile", "__import__", "breakpoint"})

_MCP_NEEDS = {"stdio": "command", "http": "url", "sse": "sse_url"}


def check_components(spec: Spec, known: Known, findings: Findings) -> None:
    """Note what is wrong with tools, MCP servers and functions."""
    for name, tool in spec.tools.items():
        _check_tool(("tools", name), name, tool, spec, known, findings)
    for name, server in spec.mcp_servers.items():
        _check_server(("mcp_servers", name), server, findings)
    for name, function in spec.components.functions.items():
        path: Path = ("components", "functions", name, "implementation")
        _check_import(path, function.implementation, "FUNCTION", known.functions, findings)


def _check_tool(
    path: Path, name: str, tool: Tool, spec: Spec, known: Known, findings: Findings
) -> None:
    backings = [
        field for field in ("implementation", "mcp", "agent") if getattr(tool, field) is not None
    ]
    if len(backings) > 1:
        text = f"a tool has one backing, this one has {' and '.join(backings)}"
        findings.error("E_TOOL_MULTIPLE_BACKINGS", path, text)
    if not backings and name not in known.tools:
        text = f"the tool {shown(name)} has no implementation and is not registered"
        findings.error("E_TOOL_NO_BACKING", path, text, "give it an `implementation`")
    if tool.implementation is not None:
        here = (*path, "implementation")
        _check_import(here, tool.implementation, "TOOL", frozenset(), findings)
    if tool.mcp is not None:
        here = (*path, "mcp", "server")
        if not tool.mcp.server:
            findings.error("E_MCP_TOOL_NO_SERVER", here, "the tool does not name its MCP server")
        elif tool.mcp.server not in spec.mcp_servers:
            text = f"mcp_servers does not have {shown(tool.mcp.server)}"
            hint = Near(tool.mcp.server, spec.mcp_servers)
            findings.error("E_MCP_UNKNOWN_SERVER", here, text, hint)
    if tool.agent is not None:
        if tool.agent not in spec.components.agents:
            text = f"components.agents does not have {shown(tool.agent)}"
            hint = Near(tool.agent, spec.components.agents)
            findings.error("E_AGENT_TOOL_UNKNOWN_AGENT", (*path, "agent"), text, hint)
        if tool.parameters:
            text = "a tool that is an agent takes one text; parameters are ignored"
            findings.warning("W_AGENT_TOOL_PARAMETERS_IGNORED", (*path, "parameters"), text)


def _check_server(path: Path, server: McpServer, findings: Findings) -> None:
    needed = _MCP_NEEDS[server.transport]
    if not getattr(server, needed):
        text = f"the transport {server.transport} needs `{needed}`"
        findings.error("E_MCP_MISSING_FIELD", (*path, needed), text)
    if not server.verify:
        text = "the server's certificate is not verified"
        findings.warning("W_MCP_TLS_VERIFY_DISABLED", (*path, "verify"), text)


def _check_import(
    path: Path, implementation: str, noun: str, registered: Collection[str], findings: Findings
) -> None:
    first, dot, _ = implementation.partition(".")
    if (dot and first in _UNSAFE_MODULES) or implementation in _UNSAFE_NAMES:
        findings.error(
            f"E_UNSAFE_{noun}_IMPORT", path, f"{shown(implementation)} must not be imported"
        )
    elif not _DOTTED.fullmatch(implementation) and implementation not in registered:
        text = "`implementation` must be a dotted path such as `package.module.name`"
        findings.error("E_SCHEMA", path, text)
