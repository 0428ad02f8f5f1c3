"""People in the loop: what is asked, of whom, until when, and what they decided."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kneo_grpc.domain.ids import ContinuationId, HumanRequestId, RunId, StepPath


class HumanRequestType(enum.StrEnum):
    """What kind of answer is asked for."""

    APPROVAL = "approval"
    REVIEW = "review"
    CORRECTION = "correction"
    SELECTION = "selection"
    FREEFORM = "freeform"


class OnTimeout(enum.StrEnum):
    """What happens to a run whose human task passed its deadline."""

    FAIL = "fail"
    CONTINUE = "continue"
    ESCALATE = "escalate"


class Decision(enum.StrEnum):
    """What a person decided."""

    APPROVED = "approved"
    REJECTED = "rejected"
    EDITED = "edited"
    SELECTED = "selected"
    PROVIDED = "provided"


class HumanTaskStatus(enum.StrEnum):
    """pending until somebody, a deadline or a cancellation ends it; the other values are final."""

    PENDING = "pending"
    DECIDED = "decided"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanRequest:
    """A question to a person.

    timeout_seconds: seconds from the pause to the deadline; None waits for ever.
    requested_by: id of the step that asks. default_on_timeout: when the time is up, the default
    option is the answer.
    """

    id: HumanRequestId
    type: HumanRequestType
    title: str
    prompt: str
    context: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] | None = None
    default_option: str | None = None
    requested_by: str
    assignee: str | None = None
    timeout_seconds: int | None = None
    on_timeout: OnTimeout = OnTimeout.FAIL
    default_on_timeout: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDecision:
    """An answer to a request. content: free text; selected_option: one of the request's options."""

    request_id: HumanRequestId
    decision: Decision
    content: str | None = None
    selected_option: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanTask:
    """A request that waits in the store, addressed by its continuation id. decision: of a task that
    was decided; escalated_at: when its deadline passed and it was left to wait on.
    """

    id: ContinuationId
    run_id: RunId
    step_path: StepPath
    workflow_name: str
    workflow_kind: str
    current_input: str
    visited_steps: tuple[str, ...] = ()
    request: HumanRequest
    status: HumanTaskStatus = HumanTaskStatus.PENDING
    created_at: datetime
    expires_at: datetime | None = None
    decision: HumanDecision | None = None
    escalated_at: datetime | None = None
