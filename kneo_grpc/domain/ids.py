"""Identifiers. Each is a prefix, an underscore and a UUIDv7 in lower-case hex with dashes, so ids
carry their time.
"""

from typing import NewType

RunId = NewType("RunId", str)
ContinuationId = NewType("ContinuationId", str)
HumanRequestId = NewType("HumanRequestId", str)
CheckpointId = NewType("CheckpointId", str)
EventId = NewType("EventId", str)
AuditId = NewType("AuditId", str)
PlanDigest = NewType("PlanDigest", str)
StepPath = NewType("StepPath", str)
"""Where a step stands in a run: step ids joined by `/`, outermost first, each with its iteration:
`review#1/draft#2`."""
