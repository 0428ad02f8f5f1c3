"""Who may call what: one row per rpc. An rpc without a row is refused to everybody."""

from collections.abc import Mapping

OPEN = ""
"""No key is needed."""

ANY_KEY = "*any"
"""Any valid key will do."""

POLICY: Mapping[str, str] = {
    "/kneo.v1.RunService/CreateRun": "runs:write",
    "/kneo.v1.RunService/GetRun": "runs:read",
    "/kneo.v1.RunService/ListRuns": "runs:read",
    "/kneo.v1.RunService/CancelRun": "runs:write",
    "/kneo.v1.RunService/GetRunTrace": "runs:read",
    "/kneo.v1.RunService/ListCheckpoints": "runs:read",
    "/kneo.v1.RunService/GetRunRecovery": "runs:read",
    "/kneo.v1.RunService/ContinueRun": "runs:write",
    "/kneo.v1.RunService/ForkRun": "runs:write",
    "/kneo.v1.RunService/GetRunReplay": "runs:read",
    "/kneo.v1.RunService/DiffCheckpoints": "runs:read",
    "/kneo.v1.RunService/GetRunGraph": "runs:read",
    "/kneo.v1.RunService/GetRunPolicyReport": "runs:read",
    "/kneo.v1.QueueService/ListQueue": "runs:read",
    "/kneo.v1.QueueService/ListDeadLetters": "runs:read",
    "/kneo.v1.QueueService/RequeueRun": "runs:write",
    "/kneo.v1.MaintenanceService/PruneTimedOutRuns": "maintenance:write",
    "/kneo.v1.MaintenanceService/PruneExpiredHumanTasks": "maintenance:write",
    "/kneo.v1.MaintenanceService/PruneRetention": "maintenance:write",
    "/kneo.v1.AuditService/ListAuditEvents": "audit:read",
    "/kneo.v1.AuditService/VerifyAudit": "audit:read",
    "/kneo.v1.HumanTaskService/ListHumanTasks": "human:read",
    "/kneo.v1.HumanTaskService/GetHumanTask": "human:read",
    "/kneo.v1.HumanTaskService/ResumeHumanTask": "human:write",
    "/kneo.v1.SpecService/ValidateSpec": "specs:read",
    "/kneo.v1.SpecService/CompileSpec": "specs:read",
    "/kneo.v1.SpecService/ExplainSpec": "specs:read",
    "/kneo.v1.SpecService/GraphSpec": "specs:read",
    "/kneo.v1.SpecService/GetPolicyReport": "specs:read",
    "/kneo.v1.SpecService/ListSkills": "specs:read",
    "/kneo.v1.SpecService/RunSpec": "runs:write",
    "/kneo.v1.PolicyService/ListEnvironmentPolicies": "policies:read",
    "/kneo.v1.PolicyService/GetEnvironmentPolicy": "policies:read",
    "/kneo.v1.PolicyService/PutEnvironmentPolicy": "policies:write",
    "/kneo.v1.PolicyService/PreviewEnvironmentPolicy": "policies:read",
    "/kneo.v1.CredentialService/ListCredentials": "credentials:read",
    "/kneo.v1.HealthService/GetHealth": OPEN,
    "/kneo.v1.HealthService/GetLiveness": OPEN,
    "/kneo.v1.HealthService/GetReadiness": OPEN,
    "/kneo.v1.MetaService/GetOpenApi": ANY_KEY,
    "/kneo.v1.MetaService/GetMetrics": ANY_KEY,
    "/grpc.health.v1.Health/Check": OPEN,
    "/grpc.health.v1.Health/List": OPEN,
    "/grpc.health.v1.Health/Watch": OPEN,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": ANY_KEY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANY_KEY,
}

ROLES: Mapping[str, frozenset[str]] = {
    "admin": frozenset({"*"}),
    "operator": frozenset(
        {
            "runs:read",
            "runs:write",
            "specs:read",
            "human:read",
            "audit:read",
            "credentials:read",
            "policies:read",
            "policies:write",
        }
    ),
    "reviewer": frozenset({"runs:read", "human:read", "human:write", "audit:read"}),
    "service": frozenset(
        {
            "runs:read",
            "runs:write",
            "specs:read",
            "human:read",
            "human:write",
            "audit:read",
            "audit:write",
            "credentials:read",
            "policies:read",
        }
    ),
    "viewer": frozenset({"runs:read", "specs:read", "human:read", "audit:read"}),
}
"""Role to scopes."""

SCOPES = frozenset(
    {
        "runs:read",
        "runs:write",
        "specs:read",
        "human:read",
        "human:write",
        "audit:read",
        "audit:write",
        "credentials:read",
        "policies:read",
        "policies:write",
        # Held by admins, or granted to a key by name.
        "maintenance:write",
        "*",
    }
)
