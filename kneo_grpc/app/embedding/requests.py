"""What an embedding program asks for, as the fields of the JSON contract."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

from kneo_grpc.domain.errors import InvalidInput

Json: TypeAlias = dict[str, Any]

Spec: TypeAlias = str | Path | Mapping[str, Any]
"""A path below the spec root; or a spec, or a signed bundle, as an object."""

_UNDER_WAY = ("queued", "running")
_OF_RESULT = ("status", "output_text", "continuation_id", "continuation_ids", "metadata", "error")


class SpecOptions(TypedDict, total=False):
    """environment: whose defaults and policy hold. overlays: paths of specs laid over this one, in
    order. overrides: merged over the spec last; a None deletes.
    """

    environment: str | None
    overlays: Sequence[str | Path]
    overrides: Mapping[str, Any] | None


class CompileOptions(SpecOptions, total=False):
    """strict: False answers where a spec has errors instead of refusing it."""

    strict: bool


class GraphOptions(SpecOptions, total=False):
    """format: `mermaid` or `dot` adds the drawing as `text`."""

    format: str | None


class RunOptions(SpecOptions, total=False):
    """target: `workflow` (which falls back to the root agent) or `agent`. session_id: groups runs.
    metadata: kept with the run. skills: `add` and `disable`, names of skills that the run's agents
    have more or less than the spec says. timeout_seconds: from now to the run's deadline, after
    which it is `timed_out`. idempotency_key: a second call with it starts nothing.
    """

    target: str
    session_id: str | None
    metadata: Mapping[str, Any] | None
    skills: Mapping[str, Sequence[str]] | None
    timeout_seconds: int | None
    idempotency_key: str | None


class ForkOptions(TypedDict, total=False):
    """checkpoint_sequence: where to start; the last checkpoint at which something was open when
    left out. input: what the open steps are given instead. async_mode: leave the run to a worker
    and return at once. idempotency_key: a second call with it starts nothing.
    """

    checkpoint_sequence: int | None
    input: str | None
    async_mode: bool
    idempotency_key: str | None


class Paging(TypedDict, total=False):
    """limit: 1 to 1,000, 100 when left out. sort_order: `asc` or `desc`. page_token: the page
    before's `next_page_token`, in place of an offset.
    """

    limit: int
    offset: int
    sort_by: str
    sort_order: str
    page_token: str


class RunQuery(Paging, total=False):
    """Only runs of which all of these hold. created_after, created_before: ISO 8601; q: a text
    that the output or the error message holds.
    """

    status: str
    workflow_kind: str
    workflow_name: str
    session_id: str
    environment: str
    has_error: bool
    created_after: str
    created_before: str
    q: str


class TraceQuery(Paging, total=False):
    """event_type: only events of this type."""

    event_type: str


class CheckpointQuery(Paging, total=False):
    """type: only checkpoints of this type."""

    type: str


class HumanTaskQuery(Paging, total=False):
    """run_id, workflow_kind: only tasks of this run, of workflows of this kind. status: `pending`
    or `escalated`.
    """

    run_id: str
    workflow_kind: str
    status: str


class AuditQuery(Paging, total=False):
    """event_type, run_id, continuation_id, actor: only events of these. created_after,
    created_before: in ISO 8601.
    """

    event_type: str
    run_id: str
    continuation_id: str
    actor: str
    created_after: str
    created_before: str


def checked(given: Mapping[str, Any], shape: type) -> Json:
    """Return options as they are. Raises InvalidInput for one that the shape does not have."""
    known = shape.__annotations__
    for name in given:
        if name not in known:
            names = ", ".join(sorted(known))
            raise InvalidInput(f"there is no option {name}; there are {names}")
    return dict(given)


def spec_body(spec: Spec, options: Mapping[str, Any], shape: type = SpecOptions) -> Json:
    """Return the fields of a request about a spec. Raises InvalidInput."""
    body = checked(options, shape)
    if body.get("overlays") is not None:
        if isinstance(body["overlays"], (str, Path)):
            raise InvalidInput("overlays is a list of paths, not one path")
        body["overlays"] = [str(path) for path in body["overlays"]]
    for field in ("overrides", "metadata", "skills"):
        if isinstance(body.get(field), Mapping):
            body[field] = dict(body[field])
    if isinstance(spec, Mapping):
        return {**body, "spec": dict(spec)}
    if isinstance(spec, (str, Path)):
        if "\n" in str(spec):
            raise InvalidInput("a spec given as a text is taken as a path; load the YAML first")
        return {**body, "spec_path": str(spec)}
    raise InvalidInput(f"a spec is a path or an object, not of type {type(spec).__name__}")


def run_body(spec: Spec, input_text: str, options: Mapping[str, Any]) -> Json:
    """Return the fields of a create. Raises InvalidInput."""
    return {**spec_body(spec, options, RunOptions), "input": input_text}


def under_way(answer: Mapping[str, Any]) -> bool:
    """Tell whether a run, or the result of a call, may still change by itself."""
    return answer["status"] in _UNDER_WAY


def result_of(run: Mapping[str, Any]) -> Json:
    """Return a run as the calls that start or resume one answer it."""
    return {
        "run_id": run["run_id"],
        **{name: run[name] for name in _OF_RESULT if name in run},
        "human_intervention_required": bool(run["continuation_ids"]),
    }
