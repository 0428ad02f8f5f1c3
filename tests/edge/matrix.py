"""Who may call what, written by hand from the contract and not from the service's own table.

A change here is a change of the contract.
"""

from dataclasses import dataclass

NOBODY_NEEDS_A_KEY = "open"
ANY_KEY_WILL_DO = "any key"
ROLES = ("viewer", "reviewer", "operator", "service", "admin")

# The letters of the roles, in the order above without admin, who may do all.
SCOPES = {
    "runs:read": "v r o s",
    "runs:write": "o s",
    "specs:read": "v o s",
    "human:read": "v r o s",
    "human:write": "r s",
    "audit:read": "v r o s",
    "audit:write": "s",
    "credentials:read": "o s",
    "policies:read": "o s",
    "policies:write": "o",
    "maintenance:write": "",
}

RPCS = {
    "RunService/CreateRun": "runs:write",
    "RunService/GetRun": "runs:read",
    "RunService/ListRuns": "runs:read",
    "RunService/CancelRun": "runs:write",
    "RunService/GetRunTrace": "runs:read",
    "RunService/ListCheckpoints": "runs:read",
    "RunService/DiffCheckpoints": "runs:read",
    "RunService/GetRunRecovery": "runs:read",
    "RunService/GetRunReplay": "runs:read",
    "RunService/ContinueRun": "runs:write",
    "RunService/ForkRun": "runs:write",
    "RunService/GetRunGraph": "runs:read",
    "RunService/GetRunPolicyReport": "runs:read",
    "QueueService/ListQueue": "runs:read",
    "QueueService/ListDeadLetters": "runs:read",
    "QueueService/RequeueRun": "runs:write",
    "MaintenanceService/PruneTimedOutRuns": "maintenance:write",
    "MaintenanceService/PruneExpiredHumanTasks": "maintenance:write",
    "MaintenanceService/PruneRetention": "maintenance:write",
    "HumanTaskService/ListHumanTasks": "human:read",
    "HumanTaskService/GetHumanTask": "human:read",
    "HumanTaskService/ResumeHumanTask": "human:write",
    "SpecService/ValidateSpec": "specs:read",
    "SpecService/CompileSpec": "specs:read",
    "SpecService/ExplainSpec": "specs:read",
    "SpecService/GraphSpec": "specs:read",
    "SpecService/GetPolicyReport": "specs:read",
    "SpecService/ListSkills": "specs:read",
    "SpecService/RunSpec": "runs:write",
    "PolicyService/ListEnvironmentPolicies": "policies:read",
    "PolicyService/GetEnvironmentPolicy": "policies:read",
    "PolicyService/PutEnvironmentPolicy": "policies:write",
    "PolicyService/PreviewEnvironmentPolicy": "policies:read",
    "CredentialService/ListCredentials": "credentials:read",
    "AuditService/ListAuditEvents": "audit:read",
    "AuditService/VerifyAudit": "audit:read",
    "MetaService/GetOpenApi": ANY_KEY_WILL_DO,
    "MetaService/GetMetrics": ANY_KEY_WILL_DO,
    "HealthService/GetHealth": NOBODY_NEEDS_A_KEY,
    "HealthService/GetLiveness": NOBODY_NEEDS_A_KEY,
    "HealthService/GetReadiness": NOBODY_NEEDS_A_KEY,
    "Health/Check": NOBODY_NEEDS_A_KEY,
    "Health/List": NOBODY_NEEDS_A_KEY,
    "Health/Watch": NOBODY_NEEDS_A_KEY,
    "ServerReflection/ServerReflectionInfo": ANY_KEY_WILL_DO,
}

KEYS = {
    **{role: (f"{role}-key", role) for role in ROLES},
    # Scopes can be granted without a role: each alone, and all but each.
    **{f"only {scope}": (f"only-{number}", scope) for number, scope in enumerate(SCOPES)},
    **{
        f"all but {scope}": (f"but-{number}", ",".join(other for other in SCOPES if other != scope))
        for number, scope in enumerate(SCOPES)
    },
}
"""Name to key and what it is granted."""


@dataclass(frozen=True)
class Outcome:
    """What an rpc answered to whom: `401`, `403`, or `may` for anything else."""

    rpc: str
    answers: dict[str, str]


def expected(rpc: str) -> Outcome:
    """Return what must come out. rpc: as on the wire."""
    needed = RPCS[_short(rpc)]
    everybody = needed == NOBODY_NEEDS_A_KEY
    answers = dict.fromkeys(("no key", "bad key"), "may" if everybody else "401")
    for role in ROLES:
        held = role == "admin" or role[0] in SCOPES.get(needed, "").split()
        free = needed in (NOBODY_NEEDS_A_KEY, ANY_KEY_WILL_DO)
        answers[role] = "may" if free or held else "403"
    return Outcome(_short(rpc), answers)


def scope_keys(rpc: str) -> dict[str, str]:
    """Return the keys that have the rpc's scope alone, and all but it, with what must come out."""
    needed = RPCS[_short(rpc)]
    if needed not in SCOPES:
        return {}
    return {f"only {needed}": "may", f"all but {needed}": "403"}


def _short(rpc: str) -> str:
    """Return `RunService/GetRun`: the versions of a service have the same rights."""
    return rpc.rpartition(".")[2]
