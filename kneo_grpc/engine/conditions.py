"""Tests on what a step gave."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kneo_grpc.domain.plan import ConditionPlan


class Facts(NamedTuple):
    """What conditions look at. status: completed, or failed where the step's failure is passed
    over; variables: outputs by step, and `input`, what the workflow was given.
    """

    output: str
    status: str
    metadata: Mapping[str, Any]
    variables: Mapping[str, str]


def holds(condition: ConditionPlan | None, facts: Facts) -> bool:
    """Tell whether a condition holds; none always does, and an entry that is not there equals
    nothing.
    """
    if condition is None:
        return True
    match condition.type:
        case "always":
            return True
        case "never":
            return False
        case "output_contains":
            return _folded(condition.value, condition) in _folded(facts.output, condition)
        case "output_equals":
            return _folded(condition.value, condition) == _folded(facts.output, condition)
        case "metadata_equals":
            return _equal(facts.metadata.get(condition.key or ""), condition.value)
        case "variable_equals":
            return _equal(facts.variables.get(condition.key or ""), condition.value)
        case "status_is":
            return facts.status == _text(condition.value)
        case "all_of":
            return all(holds(child, facts) for child in condition.conditions)
        case "any_of":
            return any(holds(child, facts) for child in condition.conditions)
        case "not":
            return not holds(condition.conditions[0], facts)
    raise ValueError(f"the condition {condition.type} is unknown")


def _folded(text: object, condition: ConditionPlan) -> str:
    return _text(text) if condition.case_sensitive else _text(text).casefold()


def _equal(found: object, wanted: object) -> bool:
    """Compare as JSON does; a text equals a number or truth value that is written like it."""
    if found is None or wanted is None:
        return False
    if isinstance(found, str) or isinstance(wanted, str):
        return _text(found) == _text(wanted)
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _text(value: object) -> str:
    if type(value) is str:
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
