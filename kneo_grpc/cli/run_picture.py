"""The picture of a run: lines of text with styles, for terminals and pipes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from kneo_grpc.spec.drawing import States, one_line
from kneo_grpc.spec.graph import Flow, Graph, GraphEdge, GraphNode

Json = Mapping[str, Any]

ROWS_MAX = 30
"""Executions that are drawn within one workflow; the newest where there are more."""
NAME_CHARS_MAX = 40
ERROR_CHARS_MAX = 200

SIGNS: Mapping[str, tuple[str, str]] = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "running": ("●", "cyan"),
    "waiting": ("?", "yellow"),
    "retry": ("↻", "yellow"),
    "stopped": ("■", "dim"),
    "": ("·", "dim"),
}
"""Sign and style of a step's state; "" is that of one which was not begun."""
_STATUS_STYLES = {"completed": "green", "running": "cyan", "queued": "cyan", "blocked": "yellow"}


class Span(NamedTuple):
    """A piece of a line. style: of rich, "" for none."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


class _Row(NamedTuple):
    """A line of the tree. before: what is drawn before the sign."""

    before: str
    state: str
    name: str
    runs: str
    time: str
    facts: str


def picture(run: Json, graph: Json, now: datetime) -> list[Line]:
    """Return a run as lines: a head, the workflow as a tree, and the questions that wait.

    run, graph: as the service shows them. now: the end of the times that go on.
    """
    lines = [*_head(run, graph, now), ()]
    lines += _aligned(list(_Tree(run, graph, now).rows()))
    questions = list(_questions(run))
    return [*lines, (), *questions] if questions else lines


def plain(lines: Sequence[Line]) -> str:
    """Return the lines as text without styles."""
    return "\n".join("".join(span.text for span in line) for line in lines)


def states(graph: Json) -> States:
    """Return what became of each node, by the flow that it is drawn in; the newest execution
    decides.
    """
    flows = _flows(graph)
    found: dict[str, dict[str, str]] = {}
    for node in graph.get("visited") or []:
        found.setdefault("", {})[node] = "completed"
    for step in _items(graph, "steps"):
        flow = _flow_of(flows, _text(step, "parent_path"))
        if flow is not None:
            found.setdefault(flow, {})[_text(step, "step_id")] = _text(step, "status")
    return found


def graph_of(answer: Json) -> Graph:
    """Return the graph of an answer as drawings take it."""
    nested = [_flow(_text(flow, "id"), flow) for flow in _items(answer, "subgraphs")]
    return Graph(root=_flow("", answer), nested=tuple(nested))


def _head(run: Json, graph: Json, now: datetime) -> Iterator[Line]:
    status = _text(run, "status")
    yield (
        Span(_text(run, "run_id"), "bold"),
        Span("  "),
        Span(status, _STATUS_STYLES.get(status, "red")),
    )
    name, kind = _text(run, "workflow_name"), _text(run, "workflow_kind")
    what = f"{name} ({kind})" if name else f"the agent {_text(run, 'agent_name')} alone"
    yield (Span(f"  {what}"),)
    if run.get("parent_run_id"):
        yield (Span(f"  forked from {_text(run, 'parent_run_id')}"),)
    yield (Span(f"  {_when(run, now)}", "dim"),)
    error = run.get("error") or {}
    if error:
        told = one_line(f"{error.get('type')}: {error.get('message')}", ERROR_CHARS_MAX)
        place = f" at {_text(error, 'step_id')}" if error.get("step_id") else ""
        yield (Span(f"  {told}{place}", "red"),)
    shown, count = len(_items(graph, "steps")), graph.get("step_count") or 0
    if count > shown:
        yield (Span(f"  the newest {shown} of {count} steps", "dim"),)


def _when(run: Json, now: datetime) -> str:
    began, ended = _instant(run.get("started_at")), _instant(run.get("completed_at"))
    if began is None:
        created = _instant(run.get("created_at"))
        return f"created {_clock(created)}, not begun" if created else "not begun"
    took = f"took {_span(began, ended)}" if ended else f"{_span(began, now)} so far"
    return f"began {_clock(began)}, {took}"


class _Tree:
    """Draws a run's workflow with what was executed of it."""

    def __init__(self, run: Json, graph: Json, now: datetime) -> None:
        self._graph = graph
        self._now = now
        self._flows = _flows(graph)
        self._forked = bool(run.get("parent_run_id"))
        self._inside: dict[str, list[Json]] = {}
        for step in _items(graph, "steps"):
            self._inside.setdefault(_text(step, "parent_path"), []).append(step)
        for steps in self._inside.values():
            steps.sort(key=_start)

    def rows(self) -> Iterator[_Row]:
        """Yield the root workflow's lines."""
        yield from self._rows_of("", self._graph, "")

    def _rows_of(self, path: str, flow: Json, before: str) -> Iterator[_Row]:
        """Yield what happened in an open workflow, then what was not begun of it."""
        steps = self._inside.get(path, [])
        left_out, steps = max(len(steps) - ROWS_MAX, 0), steps[-ROWS_MAX:]
        begun = {_text(step, "step_id") for step in self._inside.get(path, [])}
        rest = [node for node in _items(flow, "nodes") if _text(node, "id") not in begun]
        ended = self._ended_before(path, flow, begun)
        earlier = [node for node in rest if _text(node, "id") in ended]
        later = [node for node in rest if _text(node, "id") not in ended]
        count = bool(left_out) + len(earlier) + len(steps) + len(later)
        number = 0

        def branch() -> str:
            nonlocal number
            number += 1
            return f"{before}{'└─ ' if number == count else '├─ '}"

        for node in earlier:
            when = "before the fork" if self._forked else "earlier"
            yield self._unbegun(node, branch(), "completed", when)
        if left_out:
            yield _Row(branch(), "", f"… {left_out} earlier", "", "", "")
        for step in steps:
            drawn = branch()
            yield self._begun(step, drawn)
            key = _flow_of(self._flows, _text(step, "path"))
            if key and _text(step, "path") in self._inside:
                inner = self._flows[key]
                indent = f"{before}{'   ' if number == count else '│  '}"
                yield from self._rows_of(_text(step, "path"), inner, indent)
        for node in later:
            off = "" if node.get("enabled", True) else "left out"
            yield self._unbegun(node, branch(), "", off)

    def _ended_before(self, path: str, flow: Json, begun: set[str]) -> set[str]:
        """Return nodes that ended though no execution is listed: before the fork, or long ago."""
        if not path:
            return set(self._graph.get("visited") or [])
        if not self._forked or flow.get("workflow_kind") != "sequential":
            return set()
        # Of nested workflows only their order tells.
        names = [_text(node, "id") for node in _items(flow, "nodes")]
        return set(names[: min(names.index(name) for name in begun if name in names)])

    def _unbegun(self, node: Json, before: str, state: str, facts: str) -> _Row:
        return _Row(before, state, _text(node, "id"), _runs(node), "", facts)

    def _begun(self, step: Json, before: str) -> _Row:
        began, ended = _instant(step.get("started_at")), _instant(step.get("ended_at"))
        iteration, attempt = step.get("iteration") or 1, step.get("attempt") or 1
        error = (step.get("error") or {}).get("message")
        status = _text(step, "status")
        time = ""
        if began is not None and (ended is not None or status != "stopped"):
            time = _span(began, ended or self._now)
        facts = [
            f"attempt {attempt}" if attempt > 1 else "",
            f"branch {_text(step, 'branch')}" if step.get("branch") else "",
            f"by {_text(step, 'fallback_step')}" if step.get("fallback_step") else "",
            status if status in ("waiting", "retry", "stopped") else "",
            one_line(str(error), ERROR_CHARS_MAX) if error else "",
        ]
        name = _text(step, "step_id")
        if name.startswith("#"):
            name = "who is next"
        name = f"{name}#{iteration}" if iteration > 1 else name
        return _Row(before, status, name, _runs(step), time, ", ".join(filter(None, facts)))


def _aligned(rows: Sequence[_Row]) -> Iterator[Line]:
    """Yield the rows with their columns lined up."""
    wide = min(max((len(row.before) + len(row.name) for row in rows), default=0), NAME_CHARS_MAX)
    runs = min(max((len(row.runs) for row in rows), default=0), NAME_CHARS_MAX)
    times = max((len(row.time) for row in rows), default=0)
    for row in rows:
        sign, style = SIGNS.get(row.state, SIGNS[""])
        name = row.name.ljust(wide - len(row.before))
        rest = f"  {row.runs.ljust(runs)}  {row.time.rjust(times)}"
        facts = f"  {row.facts}" if row.facts else ""
        dim = "dim" if not row.state else ""
        yield (
            Span(row.before, "dim"),
            Span(sign, style),
            Span(f" {name}", dim),
            Span(f"{rest}{facts}".rstrip(), style if row.state == "failed" else "dim"),
        )


def _questions(run: Json) -> Iterator[Line]:
    tasks = run.get("continuation_ids") or []
    requests = _items(run, "pending_human_requests")
    for task, request in zip(tasks, requests, strict=False):
        who = _text(request, "assignee") or "anybody"
        asked = one_line(_text(request, "prompt", ERROR_CHARS_MAX), ERROR_CHARS_MAX)
        at = _text(request, "requested_by")
        yield (
            Span("? ", "yellow"),
            Span(one_line(str(task)), "bold"),
            Span(f"  {at} asks {who}" if at else f"  {who} is asked"),
        )
        # On a line of its own: ids are long, and terminals narrow.
        yield (Span(f"  {asked}"),)


def _flows(graph: Json) -> dict[str, Json]:
    return {"": graph, **{str(flow.get("id")): flow for flow in _items(graph, "subgraphs")}}


def _flow_of(flows: Mapping[str, Json], path: str) -> str | None:
    """Return the id of the flow that the step at path opens, "" for the root's; None where it
    opens none. Where the step's fallback took its place, it is that one's.
    """
    key = ""
    for part in path.split("/") if path else ():
        nodes = {str(node.get("id")): node for node in _items(flows[key], "nodes")}
        # Such as write#2, or review#1#plan_b where a workflow works in another one's place.
        name, _, rest = part.partition("#")
        instead = rest.partition("#")[2] if name else ""
        node = nodes.get(instead or name, {})
        stand_in = {} if instead else nodes.get(str(node.get("fallback_node")), {})
        # An agent that is a workflow opens nothing: it answers as a whole.
        opened = [
            str(item["subgraph"])
            for item in (node, stand_in)
            if item.get("kind") == "workflow" and item.get("subgraph") in flows
        ]
        if not opened:
            return None
        key = opened[0]
    return key


def _flow(key: str, answer: Json) -> Flow:
    return Flow(
        id=key,
        name=answer.get("workflow_name") or None,
        kind=answer.get("workflow_kind"),
        start=answer.get("start"),
        max_steps=answer.get("max_steps"),
        selector_agent=answer.get("selector_agent"),
        nodes=tuple(GraphNode(**_known(node, GraphNode)) for node in _items(answer, "nodes")),
        edges=tuple(GraphEdge(**_known(edge, GraphEdge)) for edge in _items(answer, "edges")),
    )


def _known(data: Json, kind: type) -> dict[str, Any]:
    """Return the fields that this release knows: a newer service may tell more."""
    return {name: data[name] for name in kind.__annotations__ if name in data}


def _runs(item: Json) -> str:
    name = _text(item, "name") or _text(item, "ref")
    return f"{_text(item, 'kind')} {name}"


def _start(step: Json) -> tuple[bool, float]:
    began = _instant(step.get("started_at")) or _instant(step.get("ended_at"))
    return (began is None, began.timestamp() if began else 0.0)


def _text(item: Json, name: str, most: int = NAME_CHARS_MAX * 4) -> str:
    value = item.get(name)
    return "" if value is None else one_line(str(value), most)


def _items(data: Json, key: str) -> list[Json]:
    found = data.get(key) or []
    return [item for item in found if isinstance(item, Mapping)]


def _instant(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) and value else None


def _clock(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(began: datetime, ended: datetime) -> str:
    """Return how long something took; clocks of two machines may differ, so never less than 0."""
    seconds = max((ended - began).total_seconds(), 0.0)
    if seconds < 1:
        return f"{int(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
