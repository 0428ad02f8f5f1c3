"""Codes about agents and what they use: (what it means, how to mend it)."""

AGENTS: dict[str, tuple[str, str]] = {
    "W_AGENT_MODEL": (
        "The strategy works on a model, and the agent has none; the dummy model answers.",
        "Give it a `model`.",
    ),
    "W_SECRET_IN_SPEC": (
        "A key stands in the spec, and so in every plan that is stored of it.",
        "Name the secret with `api_key_ref`.",
    ),
    "E_RUNTIME_PREFERRED_NOT_ALLOWED": (
        "`preferred_mode`, or `bridge` in its place, is not one of `allowed_modes`.",
        "Add it, or prefer another.",
    ),
    "E_RUNTIME_FALLBACK_NOT_ALLOWED": (
        "`fallback_mode` is not one of `allowed_modes`.",
        "Add it, or remove the fallback.",
    ),
    "W_RUNTIME_NATIVE_PROVIDER": (
        "Native mode is preferred without `native_provider`; the model's provider is taken.",
        "Name the provider.",
    ),
    "W_RUNTIME_ADAPTER_REF": (
        "Adapter mode is preferred without `adapter_ref`.",
        "Name the adapter.",
    ),
    "E_UNKNOWN_TOOL": (
        "An agent includes a tool that is neither declared under `tools` nor registered.",
        "Declare it, have it registered, or correct the name.",
    ),
    "E_TOOL_CONFLICT": (
        "A tool is included and excluded, or allowed and denied.",
        "Remove it from one of the two.",
    ),
    "W_TOOL_POLICY_UNRESTRICTED": (
        "The agent has tools, and nothing says what they may touch.",
        "Add `tools.permissions` or `policies.tool`.",
    ),
    "W_TOOL_NETWORK_UNRESTRICTED": (
        "The agent's tools may reach any host.",
        "Name `allowed_domains`.",
    ),
    "W_TOOL_SHELL_ALLOWED": (
        "The agent's tools may run commands.",
        "Set `allow_shell: false` unless they must.",
    ),
    "W_TOOL_FILESYSTEM_WRITE_ALLOWED": (
        "The agent's tools may write files.",
        "Set `allow_filesystem_write: false` unless they must.",
    ),
    "W_TOOL_FILESYSTEM_READ_ALLOWED": (
        "The agent's tools may read files.",
        "Set `allow_filesystem_read: false` unless they must.",
    ),
    "E_SKILL_REF": (
        "An agent has a skill that is not declared under `skills`.",
        "Declare it, or correct the name.",
    ),
    "E_SKILL_SOURCE": (
        "The file or folder of a skill that an agent has cannot be read below the spec root.",
        "Correct `source`: a text file, or a folder with a SKILL.md, of at most 64 KiB.",
    ),
    "E_AS_AGENT_UNKNOWN_WORKFLOW": (
        "`as_agent` names a workflow that `components.workflows` does not have.",
        "Declare it, or correct the name.",
    ),
    "E_AS_AGENT_FIELDS": (
        "An agent that is a workflow has fields that only a model has a use for.",
        "Remove them; the agents in the workflow have their own.",
    ),
    "E_MEMORY_POLICY_REQUIRED": (
        "`memory` does not say which policy it follows.",
        "Add `policy`: full, sliding_window, summary or retrieval.",
    ),
    "E_MEMORY_FIELDS": (
        "The policy lacks what it needs: `summary` a summarizer, `retrieval` a retriever.",
        "Name a function or an agent of the components.",
    ),
    "E_MEMORY_REF": (
        "The summarizer or retriever is neither a function nor an agent of the components.",
        "Declare it, or correct the name.",
    ),
    "E_GUARDRAIL_MODE_UNSUPPORTED": (
        "A guardrail has another mode than `middleware`.",
        "Leave `mode` out.",
    ),
    "E_GUARDRAIL_ACTION_UNSUPPORTED": (
        "The stage does not know this action.",
        "Use one that the suggestion names.",
    ),
    "E_GUARDRAIL_FIELDS": (
        "A guardrail lacks what its type needs, has an unknown type, or a pattern that is none.",
        "`keyword` needs config.keywords, `regex` config.patterns, `function` and `agent` a ref.",
    ),
    "E_GUARDRAIL_REF": (
        "A guardrail refers to a function or agent that the components do not have.",
        "Declare it, or correct the name.",
    ),
}

COMPONENTS: dict[str, tuple[str, str]] = {
    "E_TOOL_NO_BACKING": (
        "A tool has no `implementation`, `mcp` or `agent`, and no such tool is registered.",
        "Give it one of the three.",
    ),
    "E_TOOL_MULTIPLE_BACKINGS": (
        "A tool has more than one of `implementation`, `mcp` and `agent`.",
        "Keep one.",
    ),
    "E_AGENT_TOOL_UNKNOWN_AGENT": (
        "A tool is an agent that `components.agents` does not have.",
        "Declare it, or correct the name.",
    ),
    "W_AGENT_TOOL_PARAMETERS_IGNORED": (
        "A tool that is an agent takes one text; its `parameters` have no effect.",
        "Remove them.",
    ),
    "E_MCP_TOOL_NO_SERVER": ("A tool of an MCP server does not name the server.", "Name it."),
    "E_MCP_UNKNOWN_SERVER": (
        "A tool names an MCP server that `mcp_servers` does not have.",
        "Declare it, or correct the name.",
    ),
    "E_MCP_MISSING_FIELD": (
        "A transport lacks its address: `stdio` needs command, `http` url, `sse` sse_url.",
        "Add the field.",
    ),
    "W_MCP_TLS_VERIFY_DISABLED": (
        "An MCP server's certificate is not checked; anybody may answer in its place.",
        "Name its certificate as `ca_bundle` instead.",
    ),
    "E_UNSAFE_TOOL_IMPORT": (
        "A tool's `implementation` is a part of Python that can do anything, such as `os`.",
        "Write a function for what it must do.",
    ),
    "E_UNSAFE_FUNCTION_IMPORT": (
        "A function's `implementation` is a part of Python that can do anything, such as `os`.",
        "Write a function for what it must do.",
    ),
}
