"""Rewrites specs from before v1: no version, or `v0`."""

from typing import Any

from kneo_grpc.spec.document import Document, Mark

_MOVES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("root_agent", ("agent",)),
    ("root_workflow", ("workflow",)),
    ("component_agents", ("components", "agents")),
    ("component_workflows", ("components", "workflows")),
    ("functions", ("components", "functions")),
    ("humans", ("components", "humans")),
)

_Marks = dict[str, Mark | None]


def migrate(document: Document) -> Document:
    """Return the document in the shape of v1.

    A document that says another version than `v0` is returned as it is; validation judges it. A
    legacy field whose new place is taken stays where it is, so that validation can name it.
    """
    return migration(document)[0]


def migration(document: Document) -> tuple[Document, list[str]]:
    """Return the migrated document and the rewrites done, such as `root_agent -> agent`."""
    if document.data.get("version") not in (None, "v0"):
        return document, []
    applied: list[str] = []
    tree = _Tree(document)
    for old, new in _MOVES:
        if tree.move(old, new):
            applied.append(f"{old} -> {'.'.join(new)}")
    if tree.as_sequence(tree.data, tree.marks, "workflow"):
        applied.append("workflow -> sequential")
    workflows = tree.inner(("components", "workflows"))
    if workflows is not None:
        applied.extend(
            f"components.workflows.{name} -> sequential"
            for name in list(workflows[0])
            if tree.as_sequence(*workflows, name)
        )
    tree.data["version"] = "v1"
    applied.append("version -> v1")
    return tree.document(), applied


class _Tree:
    """A copy of data and marks, as deep as the rewrites go."""

    def __init__(self, document: Document) -> None:
        self._source = document
        self.data: dict[str, Any] = dict(document.data)
        self.marks = _children(document.mark)

    def document(self) -> Document:
        mark = self._source.mark
        if mark is not None:
            mark = mark._replace(children=self.marks)
        return Document(name=self._source.name, data=self.data, mark=mark)

    def inner(self, path: tuple[str, ...]) -> tuple[dict[str, Any], _Marks] | None:
        """Return copies, already in place, of the object at path and its marks; None without."""
        data, marks = self.data, self.marks
        for key in path:
            value = data.get(key)
            if not isinstance(value, dict):
                return None
            data[key] = value = dict(value)
            mark = marks.get(key)
            children = _children(mark)
            if mark is not None:
                marks[key] = mark._replace(children=children)
            data, marks = value, children
        return data, marks

    def move(self, old: str, new: tuple[str, ...]) -> bool:
        if old not in self.data:
            return False
        if len(new) > 1 and self.data.get(new[0]) is None:
            self.data[new[0]] = {}
            self.marks[new[0]] = self._source.mark and self._source.mark._replace(children={})
        place = self.inner(new[:-1])
        if place is None or new[-1] in place[0]:
            return False
        place[0][new[-1]] = self.data.pop(old)
        place[1][new[-1]] = self.marks.pop(old, None)
        return True

    @staticmethod
    def as_sequence(data: dict[str, Any], marks: _Marks, key: str) -> bool:
        """Give the workflow at key its type; True if it had none."""
        value, mark = data.get(key), marks.get(key)
        if isinstance(value, list):
            data[key] = {"type": "sequential", "steps": value}
            if mark is not None:
                marks[key] = mark._replace(children={"steps": mark})
            return True
        if isinstance(value, dict) and "steps" in value and "type" not in value:
            data[key] = {"type": "sequential", **value}
            return True
        return False


def _children(mark: Mark | None) -> _Marks:
    children = mark.children if mark is not None else None
    return dict(children) if isinstance(children, dict) else {}
