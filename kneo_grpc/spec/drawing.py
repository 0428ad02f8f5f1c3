"""Draws graphs as Mermaid flowcharts and in DOT, the language of Graphviz.

Nodes get names of our own and what the spec calls them becomes their label, so that no id can break
the drawing.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kneo_grpc.spec.graph import Flow, Graph, GraphNode

LABEL_CHARS_MAX = 80

States = Mapping[str, Mapping[str, str]]
"""What became of nodes in a run, one of STATES: by id of the flow, and of the node."""

STATES: Mapping[str, str] = {
    "completed": "fill:#d7f5dd,stroke:#2c8a43",
    "failed": "fill:#fbdcdc,stroke:#b3261e",
    "running": "fill:#d9e8fd,stroke:#1f5fbf",
    "waiting": "fill:#fdf1cf,stroke:#a67c00",
    "retry": "fill:#fde4cf,stroke:#b35c00",
    "stopped": "fill:#eeeeee,stroke:#777777",
}
"""The states that are drawn, with their colours."""


class _Box(NamedTuple):
    """shape: a kind of node, or point (where flows fork and meet) or choice. state: one of STATES,
    or "" for none.
    """

    name: str
    lines: tuple[str, ...]
    shape: str
    off: bool = False
    state: str = ""


class _Line(NamedTuple):
    """dotted: not part of the usual way. both: it leads back too. into: the flow drawn around the
    target, where that one as a whole is meant.
    """

    source: str
    target: str
    label: str = ""
    dotted: bool = False
    both: bool = False
    into: str | None = None


class _Frame(NamedTuple):
    """A flow with what is drawn in it."""

    name: str
    title: str
    boxes: list[_Box]
    lines: list[_Line]


def mermaid(graph: Graph, states: States | None = None) -> str:
    """Return the graph as a Mermaid flowchart, with a newline at the end. states: of a run's nodes,
    which become their classes.
    """
    root, *nested = _frames(graph, states or {})
    out = ["flowchart TD"]
    out += [_mermaid_box(box) for box in root.boxes]
    for frame in nested:
        out.append(f'  subgraph {frame.name}["{_mermaid_text(frame.title)}"]')
        out += [f"  {_mermaid_box(box)}" for box in frame.boxes]
        out.append("  end")
    out += [_mermaid_line(line) for frame in (root, *nested) for line in frame.lines]
    off = [box.name for frame in (root, *nested) for box in frame.boxes if box.off]
    if off:
        out.append("  classDef off stroke-dasharray:4 4,opacity:0.6")
        out.append(f"  class {','.join(off)} off")
    for state, colours in STATES.items():
        names = [box.name for frame in (root, *nested) for box in frame.boxes if box.state == state]
        if names:
            out.append(f"  classDef {state} {colours},color:#000000")
            out.append(f"  class {','.join(names)} {state}")
    return "\n".join(out) + "\n"


def dot(graph: Graph) -> str:
    """Return the graph in DOT, with a newline at the end."""
    root, *nested = _frames(graph, {})
    out = ["digraph spec {", "  compound=true;", f"  label={_dot_text(root.title)};"]
    out.append('  node [fontname="sans-serif"];')
    out.append('  edge [fontname="sans-serif"];')
    out += [_dot_box(box) for box in root.boxes]
    for frame in nested:
        out.append(f"  subgraph cluster_{frame.name} {{")
        out.append(f"    label={_dot_text(frame.title)};")
        out += [f"  {_dot_box(box)}" for box in frame.boxes]
        out.append("  }")
    out += [_dot_line(line) for frame in (root, *nested) for line in frame.lines]
    return "\n".join([*out, "}"]) + "\n"


def _frames(graph: Graph, states: States) -> list[_Frame]:
    flows = (graph.root, *graph.nested)
    names = {flow.id: f"w{index}" for index, flow in enumerate(flows)}
    return [_frame(flow, names, states.get(flow.id, {})) for flow in flows]


def _frame(flow: Flow, names: dict[str, str], states: Mapping[str, str]) -> _Frame:
    name = names[flow.id]
    ids = {node.id: f"{name}n{index}" for index, node in enumerate(flow.nodes)}
    boxes = [_box(ids[node.id], node, states.get(node.id, "")) for node in flow.nodes]
    lines = list(_lines(flow, ids))
    _add_ends(flow, name, [ids[node.id] for node in flow.nodes if node.enabled], boxes, lines)
    if flow.kind == "graph" and flow.start in ids:
        boxes.append(_Box(f"{name}start", ("start",), "point"))
        lines.insert(0, _Line(f"{name}start", ids[flow.start]))
    for node in flow.nodes:
        inner = names.get(node.subgraph) if node.subgraph is not None else None
        if inner is not None:
            lines.append(_Line(ids[node.id], f"{inner}n0", "runs", dotted=True, into=inner))
    title = f"{flow.name} ({flow.kind})" if flow.kind else ""
    return _Frame(name, title, boxes, lines)


def _box(name: str, node: GraphNode, state: str) -> _Box:
    lines = [node.id, node.kind if node.name == node.id else f"{node.kind} {node.name}"]
    if not node.enabled:
        lines.append("left out")
    return _Box(name, tuple(lines), node.kind, off=not node.enabled, state=state)


def _lines(flow: Flow, ids: dict[str, str]) -> Iterator[_Line]:
    for edge in flow.edges:
        label = edge.label or ("if" if edge.conditional else "")
        yield _Line(ids[edge.source], ids[edge.target], label)
    for node in flow.nodes:
        if node.fallback_node in ids:
            yield _Line(ids[node.id], ids[node.fallback_node], "on error", dotted=True)
        if node.reject_node in ids:
            yield _Line(ids[node.id], ids[node.reject_node], "rejected", dotted=True)


def _add_ends(
    flow: Flow, name: str, running: list[str], boxes: list[_Box], lines: list[_Line]
) -> None:
    """Draw what joins participants that have no order: where they fork and meet, or who chooses."""
    if flow.kind == "concurrent":
        boxes += [_Box(f"{name}fork", ("fork",), "point"), _Box(f"{name}join", ("join",), "point")]
        lines += [_Line(f"{name}fork", member) for member in running]
        lines += [_Line(member, f"{name}join") for member in running]
    elif flow.selector_agent is not None:
        boxes.append(_Box(f"{name}next", ("who is next", f"agent {flow.selector_agent}"), "choice"))
        lines += [_Line(f"{name}next", member, both=True) for member in running]


_MERMAID_SHAPES = {
    "agent": ('(["', '"])'),
    "function": ('["', '"]'),
    "workflow": ('[["', '"]]'),
    "human": ('{{"', '"}}'),
    "guardrail": ('[/"', '"/]'),
    "point": ('(("', '"))'),
    "choice": ('{"', '"}'),
}


def _mermaid_box(box: _Box) -> str:
    before, after = _MERMAID_SHAPES[box.shape]
    return f"  {box.name}{before}{'<br/>'.join(map(_mermaid_text, box.lines))}{after}"


def _mermaid_line(line: _Line) -> str:
    arrow = "<-->" if line.both else "-.->" if line.dotted else "-->"
    label = f'|"{_mermaid_text(line.label)}"|' if line.label else ""
    return f"  {line.source} {arrow}{label} {line.into or line.target}"


def _mermaid_text(text: str) -> str:
    """Return a text for double quotes: letters, digits and single blanks as they are, signs as
    entities but for `-`, `_` and `.` inside words. So no sign can end the quotes or be taken for
    Markdown or HTML.
    """
    text = one_line(text)
    out = []
    for index, sign in enumerate(text):
        inside = 0 < index < len(text) - 1 and text[index - 1].isalnum()
        word = inside and sign in "-_." and text[index + 1].isalnum()
        out.append(sign if sign.isalnum() or sign == " " or word else f"#{ord(sign)};")
    return "".join(out)


_DOT_SHAPES = {
    "agent": 'shape=box style="rounded"',
    "function": "shape=box",
    "workflow": "shape=box peripheries=2",
    "human": "shape=hexagon",
    "guardrail": "shape=parallelogram",
    "point": "shape=circle",
    "choice": "shape=diamond",
}


def _dot_box(box: _Box) -> str:
    shape = _DOT_SHAPES[box.shape]
    if box.off:
        shape = f'{shape.partition(" style=")[0]} style="dashed"'
    return f"  {box.name} [label={_dot_text(*box.lines)} {shape}];"


def _dot_line(line: _Line) -> str:
    facts = [f"label={_dot_text(line.label)}"] if line.label else []
    facts += ["style=dashed"] if line.dotted else []
    facts += ["dir=both"] if line.both else []
    facts += [f"lhead=cluster_{line.into}"] if line.into else []
    tail = f" [{' '.join(facts)}]" if facts else ""
    return f"  {line.source} -> {line.target}{tail};"


def _dot_text(*lines: str) -> str:
    """Return a quoted string; Graphviz reads backslashes and HTML's entities in it."""
    texts = (
        one_line(line).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
        for line in lines
    )
    return '"' + "\\n".join(texts) + '"'


def one_line(text: str, most: int = LABEL_CHARS_MAX) -> str:
    """Return a text without line breaks, control characters and signs that turn the direction of
    writing, cut where it is longer than `most` characters.
    """
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
