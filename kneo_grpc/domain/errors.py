"""The error tree. Every class carries a stable `reason`, the contract's error code.

KneoError                      internal_error
├── InvalidInput               invalid_request
│   ├── FieldsInvalid          validation_error          one or more fields are out of their bounds
│   │   ├── PageTokenInvalid   invalid_page_token
│   │   └── TimestampInvalid   invalid_timestamp         param
│   ├── SpecInvalid            spec_invalid              diagnostics
│   ├── SpecPathConfined       spec_path_confined
│   ├── EnvironmentUnknown     environment_unknown       environment, known
│   ├── ProjectConfigInvalid   project_config_invalid    diagnostics
│   ├── PayloadTooLarge        payload_too_large
│   └── IdempotencyKeyInvalid  invalid_idempotency_key
├── Unauthenticated            unauthorized
├── Forbidden                  forbidden                 required_scope
│   └── EnvironmentPolicyBlocked environment_policy_blocked  environment, diagnostics
├── NotFound                   not_found
├── Conflict                   conflict
│   ├── RunStateConflict       run_state_conflict        run_id, status
│   ├── HumanTaskExpired       human_task_expired        continuation_id, expires_at
│   ├── ResourceLocked         resource_locked           resource
│   ├── IdempotencyKeyConflict idempotency_key_conflict  scope, run_id of the call that used the key
│   ├── IdempotencyKeyInProgress idempotency_key_in_progress  scope, run_id of the call under way
│   └── LeaseLost              lease_lost                the run moved on: stop and write nothing
├── Unavailable                unavailable
│   ├── StoreUnavailable       store_unavailable
│   ├── QueueFull              queue_full
│   └── NotReady               not_ready                 metadata
└── StartRefused               start_refused             the process must not start; the message is
for its operator
    └── MigrationFailed        migration_failed
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class KneoError(Exception):
    """A failure that a caller may see.

    message: one sentence for a person, free of secrets.
    details: JSON-ready facts for a program; their keys stand beside `error` and `message` in the
    answer.
    """

    reason: ClassVar[str] = "internal_error"

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class InvalidInput(KneoError):
    """The request cannot be understood or asks for something that cannot be."""

    reason = "invalid_request"


class FieldsInvalid(InvalidInput):
    """Fields out of their bounds. faults: (field path, what is wrong) pairs; never the value
    itself.
    """

    reason = "validation_error"

    def __init__(self, faults: Sequence[tuple[str, str]], /) -> None:
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(
            f"{first[0]}: {first[1]}{more}",
            fields=[{"field": field, "message": text} for field, text in faults],
        )
        self.faults = tuple(faults)


class PageTokenInvalid(FieldsInvalid):
    """The page token was not given for this list, these filters and this order."""

    reason = "invalid_page_token"


class TimestampInvalid(FieldsInvalid):
    """A field is no ISO 8601 instant; details["param"] names it."""

    reason = "invalid_timestamp"

    def __init__(self, param: str, /) -> None:
        super().__init__([(param, "is not an ISO 8601 instant such as 2026-01-31T12:00:00Z")])
        self.details = {"param": param, **self.details}


class SpecInvalid(InvalidInput):
    """The spec does not compile; details["diagnostics"] says why."""

    reason = "spec_invalid"


class SpecPathConfined(InvalidInput):
    """A spec path points outside the spec root."""

    reason = "spec_path_confined"


class EnvironmentUnknown(InvalidInput):
    """The project has environments, and none of this name."""

    reason = "environment_unknown"


class ProjectConfigInvalid(InvalidInput):
    """The project config cannot be used; details["diagnostics"] says why."""

    reason = "project_config_invalid"


class PayloadTooLarge(InvalidInput):
    """The request is larger than the service accepts."""

    reason = "payload_too_large"


class IdempotencyKeyInvalid(InvalidInput):
    """The idempotency key is longer than 256 characters or not printable."""

    reason = "invalid_idempotency_key"


class Unauthenticated(KneoError):
    """No key, or a key that is not known."""

    reason = "unauthorized"


class Forbidden(KneoError):
    """The caller is known but lacks a scope."""

    reason = "forbidden"


class EnvironmentPolicyBlocked(Forbidden):
    """The environment's policy does not let the spec run; details["diagnostics"] says why."""

    reason = "environment_policy_blocked"


class NotFound(KneoError):
    """The named thing does not exist."""

    reason = "not_found"


class Conflict(KneoError):
    """The request does not fit the present state."""

    reason = "conflict"


class RunStateConflict(Conflict):
    """The run's status does not allow the act."""

    reason = "run_state_conflict"


class HumanTaskExpired(Conflict):
    """The human task's deadline has passed."""

    reason = "human_task_expired"


class ResourceLocked(Conflict):
    """Another call is acting on the same resource right now."""

    reason = "resource_locked"


class IdempotencyKeyConflict(Conflict):
    """The key was used before with another request."""

    reason = "idempotency_key_conflict"


class IdempotencyKeyInProgress(Conflict):
    """The first call with this key has not ended yet."""

    reason = "idempotency_key_in_progress"


class LeaseLost(Conflict):
    """The run's attempt moved on; the holder stops and writes nothing."""

    reason = "lease_lost"


class Unavailable(KneoError):
    """Try again later."""

    reason = "unavailable"


class StoreUnavailable(Unavailable):
    """The database does not answer."""

    reason = "store_unavailable"


class QueueFull(Unavailable):
    """As many runs are under way or waiting as the service takes."""

    reason = "queue_full"


class NotReady(Unavailable):
    """A readiness check fails; details["metadata"] names it."""

    reason = "not_ready"


class StartRefused(KneoError):
    """The process must not start; the message tells its operator what to mend."""

    reason = "start_refused"


class MigrationFailed(StartRefused):
    """A schema migration failed or does not match what was applied before."""

    reason = "migration_failed"
