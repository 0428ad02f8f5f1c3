from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from kneo_grpc._gen.kneo.v1 import run_result_pb2 as _run_result_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValidateSpecRequest(_message.Message):
    __slots__ = ("spec_path", "spec", "overrides", "environment", "overlays", "bundle")
    SPEC_PATH_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OVERLAYS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    spec_path: str
    spec: _struct_pb2.Struct
    overrides: _struct_pb2.Struct
    environment: str
    overlays: _containers.RepeatedScalarFieldContainer[str]
    bundle: _struct_pb2.Struct
    def __init__(self, spec_path: _Optional[str] = ..., spec: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., environment: _Optional[str] = ..., overlays: _Optional[_Iterable[str]] = ..., bundle: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ValidateSpecResponse(_message.Message):
    __slots__ = ("valid", "diagnostics")
    VALID_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    diagnostics: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    def __init__(self, valid: _Optional[bool] = ..., diagnostics: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ...) -> None: ...

class Diagnostic(_message.Message):
    __slots__ = ("code", "severity", "message", "path", "suggestion", "line", "column", "file")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SUGGESTION_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    code: str
    severity: str
    message: str
    path: str
    suggestion: str
    line: int
    column: int
    file: str
    def __init__(self, code: _Optional[str] = ..., severity: _Optional[str] = ..., message: _Optional[str] = ..., path: _Optional[str] = ..., suggestion: _Optional[str] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., file: _Optional[str] = ...) -> None: ...

class CompileSpecRequest(_message.Message):
    __slots__ = ("spec_path", "spec", "overrides", "environment", "overlays", "bundle", "strict")
    SPEC_PATH_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OVERLAYS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    spec_path: str
    spec: _struct_pb2.Struct
    overrides: _struct_pb2.Struct
    environment: str
    overlays: _containers.RepeatedScalarFieldContainer[str]
    bundle: _struct_pb2.Struct
    strict: bool
    def __init__(self, spec_path: _Optional[str] = ..., spec: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., environment: _Optional[str] = ..., overlays: _Optional[_Iterable[str]] = ..., bundle: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., strict: _Optional[bool] = ...) -> None: ...

class CompileSpecResponse(_message.Message):
    __slots__ = ("ok", "diagnostics", "summary")
    OK_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    diagnostics: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    summary: CompileSummary
    def __init__(self, ok: _Optional[bool] = ..., diagnostics: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ..., summary: _Optional[_Union[CompileSummary, _Mapping]] = ...) -> None: ...

class CompileSummary(_message.Message):
    __slots__ = ("has_root_agent", "has_root_workflow", "component_agents")
    HAS_ROOT_AGENT_FIELD_NUMBER: _ClassVar[int]
    HAS_ROOT_WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_AGENTS_FIELD_NUMBER: _ClassVar[int]
    has_root_agent: bool
    has_root_workflow: bool
    component_agents: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, has_root_agent: _Optional[bool] = ..., has_root_workflow: _Optional[bool] = ..., component_agents: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainSpecRequest(_message.Message):
    __slots__ = ("spec_path", "spec", "overrides", "environment", "overlays", "bundle")
    SPEC_PATH_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OVERLAYS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    spec_path: str
    spec: _struct_pb2.Struct
    overrides: _struct_pb2.Struct
    environment: str
    overlays: _containers.RepeatedScalarFieldContainer[str]
    bundle: _struct_pb2.Struct
    def __init__(self, spec_path: _Optional[str] = ..., spec: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., environment: _Optional[str] = ..., overlays: _Optional[_Iterable[str]] = ..., bundle: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ExplainSpecResponse(_message.Message):
    __slots__ = ("summary",)
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    summary: SpecSummary
    def __init__(self, summary: _Optional[_Union[SpecSummary, _Mapping]] = ...) -> None: ...

class SpecSummary(_message.Message):
    __slots__ = ("root_agent", "root_workflow", "component_agents", "agents", "workflows", "tools", "humans", "functions", "skills", "mcp_servers")
    ROOT_AGENT_FIELD_NUMBER: _ClassVar[int]
    ROOT_WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_AGENTS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    HUMANS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    MCP_SERVERS_FIELD_NUMBER: _ClassVar[int]
    root_agent: str
    root_workflow: str
    component_agents: _containers.RepeatedScalarFieldContainer[str]
    agents: _containers.RepeatedCompositeFieldContainer[AgentSummary]
    workflows: _containers.RepeatedCompositeFieldContainer[WorkflowSummary]
    tools: _containers.RepeatedCompositeFieldContainer[ToolSummary]
    humans: _containers.RepeatedCompositeFieldContainer[HumanSummary]
    functions: _containers.RepeatedScalarFieldContainer[str]
    skills: _containers.RepeatedScalarFieldContainer[str]
    mcp_servers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, root_agent: _Optional[str] = ..., root_workflow: _Optional[str] = ..., component_agents: _Optional[_Iterable[str]] = ..., agents: _Optional[_Iterable[_Union[AgentSummary, _Mapping]]] = ..., workflows: _Optional[_Iterable[_Union[WorkflowSummary, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[ToolSummary, _Mapping]]] = ..., humans: _Optional[_Iterable[_Union[HumanSummary, _Mapping]]] = ..., functions: _Optional[_Iterable[str]] = ..., skills: _Optional[_Iterable[str]] = ..., mcp_servers: _Optional[_Iterable[str]] = ...) -> None: ...

class AgentSummary(_message.Message):
    __slots__ = ("path", "name", "description", "provider", "model", "strategy", "runtime_mode", "tools", "skills", "memory", "guardrails", "as_agent")
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_MODE_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    GUARDRAILS_FIELD_NUMBER: _ClassVar[int]
    AS_AGENT_FIELD_NUMBER: _ClassVar[int]
    path: str
    name: str
    description: str
    provider: str
    model: str
    strategy: str
    runtime_mode: str
    tools: _containers.RepeatedScalarFieldContainer[str]
    skills: _containers.RepeatedScalarFieldContainer[str]
    memory: str
    guardrails: _containers.RepeatedScalarFieldContainer[str]
    as_agent: str
    def __init__(self, path: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., strategy: _Optional[str] = ..., runtime_mode: _Optional[str] = ..., tools: _Optional[_Iterable[str]] = ..., skills: _Optional[_Iterable[str]] = ..., memory: _Optional[str] = ..., guardrails: _Optional[_Iterable[str]] = ..., as_agent: _Optional[str] = ...) -> None: ...

class WorkflowSummary(_message.Message):
    __slots__ = ("path", "name", "kind", "description", "steps")
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    path: str
    name: str
    kind: str
    description: str
    steps: _containers.RepeatedCompositeFieldContainer[StepSummary]
    def __init__(self, path: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., description: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[StepSummary, _Mapping]]] = ...) -> None: ...

class StepSummary(_message.Message):
    __slots__ = ("id", "kind", "ref", "enabled")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    ref: str
    enabled: bool
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., ref: _Optional[str] = ..., enabled: _Optional[bool] = ...) -> None: ...

class ToolSummary(_message.Message):
    __slots__ = ("name", "description", "backing")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BACKING_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    backing: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., backing: _Optional[str] = ...) -> None: ...

class HumanSummary(_message.Message):
    __slots__ = ("name", "description", "assignee", "request_type", "timeout_seconds", "on_timeout")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ON_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    assignee: str
    request_type: str
    timeout_seconds: int
    on_timeout: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., assignee: _Optional[str] = ..., request_type: _Optional[str] = ..., timeout_seconds: _Optional[int] = ..., on_timeout: _Optional[str] = ...) -> None: ...

class GraphSpecRequest(_message.Message):
    __slots__ = ("spec_path", "spec", "overrides", "environment", "overlays", "bundle", "format")
    SPEC_PATH_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OVERLAYS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    spec_path: str
    spec: _struct_pb2.Struct
    overrides: _struct_pb2.Struct
    environment: str
    overlays: _containers.RepeatedScalarFieldContainer[str]
    bundle: _struct_pb2.Struct
    format: str
    def __init__(self, spec_path: _Optional[str] = ..., spec: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., environment: _Optional[str] = ..., overlays: _Optional[_Iterable[str]] = ..., bundle: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., format: _Optional[str] = ...) -> None: ...

class GraphSpecResponse(_message.Message):
    __slots__ = ("workflow_name", "workflow_kind", "start", "max_steps", "nodes", "edges", "subgraphs", "text", "selector_agent")
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    SUBGRAPHS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_AGENT_FIELD_NUMBER: _ClassVar[int]
    workflow_name: str
    workflow_kind: str
    start: str
    max_steps: int
    nodes: _containers.RepeatedCompositeFieldContainer[GraphNode]
    edges: _containers.RepeatedCompositeFieldContainer[GraphEdge]
    subgraphs: _containers.RepeatedCompositeFieldContainer[NestedGraph]
    text: str
    selector_agent: str
    def __init__(self, workflow_name: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., start: _Optional[str] = ..., max_steps: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[GraphNode, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[GraphEdge, _Mapping]]] = ..., subgraphs: _Optional[_Iterable[_Union[NestedGraph, _Mapping]]] = ..., text: _Optional[str] = ..., selector_agent: _Optional[str] = ...) -> None: ...

class NestedGraph(_message.Message):
    __slots__ = ("id", "workflow_name", "workflow_kind", "start", "max_steps", "nodes", "edges", "selector_agent")
    ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_AGENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    workflow_name: str
    workflow_kind: str
    start: str
    max_steps: int
    nodes: _containers.RepeatedCompositeFieldContainer[GraphNode]
    edges: _containers.RepeatedCompositeFieldContainer[GraphEdge]
    selector_agent: str
    def __init__(self, id: _Optional[str] = ..., workflow_name: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., start: _Optional[str] = ..., max_steps: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[GraphNode, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[GraphEdge, _Mapping]]] = ..., selector_agent: _Optional[str] = ...) -> None: ...

class GraphNode(_message.Message):
    __slots__ = ("id", "kind", "name", "on_error", "fallback_node", "max_retries", "timeout_seconds", "ref", "enabled", "reject_node", "fan_out", "join", "subgraph")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_NODE_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    REJECT_NODE_FIELD_NUMBER: _ClassVar[int]
    FAN_OUT_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    SUBGRAPH_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    name: str
    on_error: str
    fallback_node: str
    max_retries: int
    timeout_seconds: float
    ref: str
    enabled: bool
    reject_node: str
    fan_out: bool
    join: str
    subgraph: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., on_error: _Optional[str] = ..., fallback_node: _Optional[str] = ..., max_retries: _Optional[int] = ..., timeout_seconds: _Optional[float] = ..., ref: _Optional[str] = ..., enabled: _Optional[bool] = ..., reject_node: _Optional[str] = ..., fan_out: _Optional[bool] = ..., join: _Optional[str] = ..., subgraph: _Optional[str] = ...) -> None: ...

class GraphEdge(_message.Message):
    __slots__ = ("source", "target", "label", "conditional", "priority")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CONDITIONAL_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    label: str
    conditional: bool
    priority: int
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., label: _Optional[str] = ..., conditional: _Optional[bool] = ..., priority: _Optional[int] = ...) -> None: ...

class GetPolicyReportRequest(_message.Message):
    __slots__ = ("spec_path", "spec", "overrides", "environment", "overlays", "bundle")
    SPEC_PATH_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OVERLAYS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    spec_path: str
    spec: _struct_pb2.Struct
    overrides: _struct_pb2.Struct
    environment: str
    overlays: _containers.RepeatedScalarFieldContainer[str]
    bundle: _struct_pb2.Struct
    def __init__(self, spec_path: _Optional[str] = ..., spec: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., environment: _Optional[str] = ..., overlays: _Optional[_Iterable[str]] = ..., bundle: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class GetPolicyReportResponse(_message.Message):
    __slots__ = ("valid", "report")
    VALID_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    report: PolicyReport
    def __init__(self, valid: _Optional[bool] = ..., report: _Optional[_Union[PolicyReport, _Mapping]] = ...) -> None: ...

class PolicyReport(_message.Message):
    __slots__ = ("valid", "version", "summary", "memory", "tools", "guardrails", "human_review", "diagnostics")
    VALID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    GUARDRAILS_FIELD_NUMBER: _ClassVar[int]
    HUMAN_REVIEW_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    version: str
    summary: PolicySummary
    memory: MemoryReport
    tools: ToolReport
    guardrails: GuardrailReport
    human_review: HumanReviewReport
    diagnostics: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    def __init__(self, valid: _Optional[bool] = ..., version: _Optional[str] = ..., summary: _Optional[_Union[PolicySummary, _Mapping]] = ..., memory: _Optional[_Union[MemoryReport, _Mapping]] = ..., tools: _Optional[_Union[ToolReport, _Mapping]] = ..., guardrails: _Optional[_Union[GuardrailReport, _Mapping]] = ..., human_review: _Optional[_Union[HumanReviewReport, _Mapping]] = ..., diagnostics: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ...) -> None: ...

class PolicySummary(_message.Message):
    __slots__ = ("agent_count", "workflow_count", "tool_count", "mcp_tool_count", "human_reviewer_count", "human_review_step_count", "diagnostic_count")
    AGENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOOL_COUNT_FIELD_NUMBER: _ClassVar[int]
    MCP_TOOL_COUNT_FIELD_NUMBER: _ClassVar[int]
    HUMAN_REVIEWER_COUNT_FIELD_NUMBER: _ClassVar[int]
    HUMAN_REVIEW_STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTIC_COUNT_FIELD_NUMBER: _ClassVar[int]
    agent_count: int
    workflow_count: int
    tool_count: int
    mcp_tool_count: int
    human_reviewer_count: int
    human_review_step_count: int
    diagnostic_count: int
    def __init__(self, agent_count: _Optional[int] = ..., workflow_count: _Optional[int] = ..., tool_count: _Optional[int] = ..., mcp_tool_count: _Optional[int] = ..., human_reviewer_count: _Optional[int] = ..., human_review_step_count: _Optional[int] = ..., diagnostic_count: _Optional[int] = ...) -> None: ...

class MemoryReport(_message.Message):
    __slots__ = ("agents",)
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[AgentMemory]
    def __init__(self, agents: _Optional[_Iterable[_Union[AgentMemory, _Mapping]]] = ...) -> None: ...

class AgentMemory(_message.Message):
    __slots__ = ("agent", "configured", "policy", "config")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    agent: str
    configured: bool
    policy: str
    config: _struct_pb2.Struct
    def __init__(self, agent: _Optional[str] = ..., configured: _Optional[bool] = ..., policy: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ToolReport(_message.Message):
    __slots__ = ("declared", "mcp_imports", "agent_policies")
    DECLARED_FIELD_NUMBER: _ClassVar[int]
    MCP_IMPORTS_FIELD_NUMBER: _ClassVar[int]
    AGENT_POLICIES_FIELD_NUMBER: _ClassVar[int]
    declared: _containers.RepeatedScalarFieldContainer[str]
    mcp_imports: _containers.RepeatedCompositeFieldContainer[McpImport]
    agent_policies: _containers.RepeatedCompositeFieldContainer[AgentToolPolicy]
    def __init__(self, declared: _Optional[_Iterable[str]] = ..., mcp_imports: _Optional[_Iterable[_Union[McpImport, _Mapping]]] = ..., agent_policies: _Optional[_Iterable[_Union[AgentToolPolicy, _Mapping]]] = ...) -> None: ...

class McpImport(_message.Message):
    __slots__ = ("name", "config")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    name: str
    config: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class AgentToolPolicy(_message.Message):
    __slots__ = ("agent", "include", "exclude", "permissions", "unrestricted")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    UNRESTRICTED_FIELD_NUMBER: _ClassVar[int]
    agent: str
    include: _containers.RepeatedScalarFieldContainer[str]
    exclude: _containers.RepeatedScalarFieldContainer[str]
    permissions: _struct_pb2.Struct
    unrestricted: bool
    def __init__(self, agent: _Optional[str] = ..., include: _Optional[_Iterable[str]] = ..., exclude: _Optional[_Iterable[str]] = ..., permissions: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., unrestricted: _Optional[bool] = ...) -> None: ...

class GuardrailReport(_message.Message):
    __slots__ = ("agents",)
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[AgentGuardrails]
    def __init__(self, agents: _Optional[_Iterable[_Union[AgentGuardrails, _Mapping]]] = ...) -> None: ...

class AgentGuardrails(_message.Message):
    __slots__ = ("agent", "configured", "stages")
    class StagesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    AGENT_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    agent: str
    configured: bool
    stages: _containers.ScalarMap[str, int]
    def __init__(self, agent: _Optional[str] = ..., configured: _Optional[bool] = ..., stages: _Optional[_Mapping[str, int]] = ...) -> None: ...

class HumanReviewReport(_message.Message):
    __slots__ = ("reviewers", "workflow_steps", "required", "requirements", "missing")
    REVIEWERS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_STEPS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    reviewers: _containers.RepeatedScalarFieldContainer[str]
    workflow_steps: _containers.RepeatedCompositeFieldContainer[HumanReviewStep]
    required: bool
    requirements: _containers.RepeatedCompositeFieldContainer[HumanReviewRequirement]
    missing: bool
    def __init__(self, reviewers: _Optional[_Iterable[str]] = ..., workflow_steps: _Optional[_Iterable[_Union[HumanReviewStep, _Mapping]]] = ..., required: _Optional[bool] = ..., requirements: _Optional[_Iterable[_Union[HumanReviewRequirement, _Mapping]]] = ..., missing: _Optional[bool] = ...) -> None: ...

class HumanReviewStep(_message.Message):
    __slots__ = ("workflow", "step_id", "ref")
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    workflow: str
    step_id: str
    ref: str
    def __init__(self, workflow: _Optional[str] = ..., step_id: _Optional[str] = ..., ref: _Optional[str] = ...) -> None: ...

class HumanReviewRequirement(_message.Message):
    __slots__ = ("code", "path", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: str
    path: str
    reason: str
    def __init__(self, code: _Optional[str] = ..., path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ListSkillsRequest(_message.Message):
    __slots__ = ("limit", "offset", "sort_by", "sort_order", "page_token")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    page_token: str
    def __init__(self, limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSkillsResponse(_message.Message):
    __slots__ = ("skills", "count", "total", "limit", "offset", "sort_by", "sort_order", "next_page_token", "window")
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    skills: _containers.RepeatedCompositeFieldContainer[SkillInfo]
    count: int
    total: int
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    next_page_token: str
    window: int
    def __init__(self, skills: _Optional[_Iterable[_Union[SkillInfo, _Mapping]]] = ..., count: _Optional[int] = ..., total: _Optional[int] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., next_page_token: _Optional[str] = ..., window: _Optional[int] = ...) -> None: ...

class SkillInfo(_message.Message):
    __slots__ = ("name", "description", "path")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    path: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...
