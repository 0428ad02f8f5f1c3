"""The shapes of what agents and workflows use: tools, MCP servers, skills, functions, people."""

# ruff: noqa: RUF012 # pydantic gives each object a copy of a default
import itertools
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kneo_grpc.spec.shapes import TIMEOUT_MAX, Implementation, InsidePath, Ref, Shape

MCP_NEEDS = {"stdio": "command", "http": "url", "sse": "sse_url"}
"""The field that a transport cannot do without."""

_BACKINGS = ("implementation", "mcp", "agent")


def _one_backing(schema: dict[str, Any]) -> None:
    """Say in a tool's JSON Schema that no two of the backings stand together."""
    given = {"not": {"type": "null"}}
    schema["not"] = {
        "anyOf": [
            {"required": [one, other], "properties": {one: given, other: given}}
            for one, other in itertools.combinations(_BACKINGS, 2)
        ]
    }


class ToolMcp(Shape):
    """A tool of an MCP server."""

    model_config = ConfigDict(json_schema_extra={"required": ["server"]})

    server: str | None = None
    """Required. Name under `mcp_servers`."""
    name: str | None = None
    """What the server calls the tool; the same name where it is left out."""


class Tool(Shape):
    """Something that a model can call. One of `implementation`, `mcp` and `agent` does the work; a
    tool that the platform has registered needs none.
    """

    model_config = ConfigDict(json_schema_extra=_one_backing)

    description: str
    """What it does, for the model."""
    parameters: dict[str, Any] = {}
    """JSON Schema of its arguments; they are checked before the call."""
    implementation: Implementation | None = None
    """Python code, as `package.module.name`: takes an object and returns a text."""
    mcp: ToolMcp | None = None
    """A tool of an MCP server."""
    agent: Ref | None = None
    """An agent of the components; it is given one text and answers with one."""


class McpServer(Shape):
    """How to reach an MCP server. It is connected on the first call; times are in seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": {"properties": {"transport": {"const": transport}}},
                    "then": {
                        "required": [field],
                        "properties": {field: {"type": "string", "minLength": 1}},
                    },
                }
                for transport, field in MCP_NEEDS.items()
            ]
        }
    )

    transport: Literal["stdio", "http", "sse"]
    """`stdio` starts a command; `http` and `sse` call a URL."""
    command: str | None = None
    """`stdio`, required: the program."""
    args: list[str] = []
    """`stdio`: its arguments."""
    env: dict[str, str] = {}
    """`stdio`: its environment, beside the least that a program needs."""
    cwd: InsidePath | None = None
    """`stdio`: the folder it starts in."""
    url: str | None = None
    """`http`, required: the server's address."""
    sse_url: str | None = None
    """`sse`, required: where events come from."""
    message_url: str | None = None
    """`sse`: where messages go; the server says it where it is left out."""
    headers: dict[str, str] = {}
    """`http` and `sse`: headers of each request."""
    timeout: Annotated[float, Field(gt=0)] | None = None
    """How long a call may take."""
    max_response_bytes: Annotated[int, Field(gt=0)] | None = None
    """Largest answer."""
    sse_read_timeout: Annotated[float, Field(gt=0)] | None = None
    """`sse`: how long nothing may come."""
    verify: bool = True
    """Whether the server's certificate is checked."""
    ca_bundle: InsidePath | None = None
    """File of the certificates to trust."""
    client_cert: InsidePath | None = None
    """File of the certificate to show."""
    client_key: InsidePath | None = None
    """File of its key."""
    client_key_ref: str | None = None
    """Name of the secret that holds the key's passphrase or the key."""


class Skill(Shape):
    """Instructions that agents share."""

    source: InsidePath
    """A file, or a folder with a SKILL.md, below the folder of specs."""
    description: str | None = None
    """What it is for."""


class Function(Shape):
    """Code that a step runs: takes a text and returns one."""

    implementation: Implementation
    """Python code, as `package.module.name`; or the name of a registered function."""
    input_schema: dict[str, Any] | None = None
    """Kept for specs that have it; has no effect."""
    output_schema: dict[str, Any] | None = None
    """Kept for specs that have it; has no effect."""


class Human(Shape):
    """Somebody to ask."""

    description: str | None = None
    """What is asked; title and text of the request."""
    assignee: str | None = None
    """Whom it is meant for."""
    timeout_seconds: Annotated[int, Field(ge=0, le=TIMEOUT_MAX)] | None = None
    """How long to wait; 0 waits for ever, as does leaving it out."""
    on_timeout: Literal["fail", "continue", "escalate"] = "fail"
    """What follows when the time is up: the run fails; goes on; waits, and somebody is told."""
    default_on_timeout: bool = False
    """Take `default_option` for the answer when the time is up, whatever `on_timeout` says."""
    on_reject: Literal["continue", "fail"] = "continue"
    """What follows from a rejection: the workflow goes on with it as text, or fails. A step can say
    otherwise.
    """
    request_type: Literal["approval", "review", "correction", "selection", "freeform"] = "approval"
    """What kind of answer is asked for."""
    options: list[str] | None = None
    """What can be chosen; a selection needs them."""
    default_option: str | None = None
    """The option to suggest."""
    context: dict[str, Any] | None = None
    """More for the person to see."""
    response_role: Literal["user", "assistant", "system"] | None = None
    """Adds the answer to the messages, in this role."""
