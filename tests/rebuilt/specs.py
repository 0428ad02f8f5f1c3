"""One workflow of each kind around a step x of each kind, with each on_error that it may have."""

from dataclasses import dataclass
from typing import Any

KINDS = ("sequential", "graph", "concurrent", "handoff", "group-chat")
DOES = ("function", "agent", "workflow", "human")
ON_ERROR = ("fail", "continue", "retry", "fallback")
ACTS = {"fail": "broken", "continue": "broken", "retry": "flaky", "fallback": "broken"}


@dataclass(frozen=True)
class Case:
    kind: str
    does: str
    on_error: str

    def __str__(self) -> str:
        return f"{self.kind} {self.does} {self.on_error}"

    @property
    def spec(self) -> dict[str, Any]:
        act = ACTS[self.on_error]
        inner = [{"id": "i", "kind": "function", "ref": "plain"}, _part("j", "function", act)]
        if self.on_error == "retry":
            inner[1] |= {"on_error": "retry", "max_retries": 1}
        return {
            "version": "v1",
            "agent": {"name": "root"},
            "workflow": {"name": "flow", "type": self.kind, **self._shape()},
            "components": {
                "agents": {"x": {"name": "x", "model": {"provider": "dummy", "name": act}}},
                "functions": {
                    name: {"implementation": f"tests.rebuilt.acts.{name}"}
                    for name in ("plain", "broken", "flaky", "instead")
                },
                "humans": {"boss": {"request_type": "review"}},
                "workflows": {"inner": {"name": "inner", "type": "sequential", "steps": inner}},
            },
        }

    def _shape(self) -> dict[str, Any]:
        tested, plain = self._tested(), _part("p", "function", "plain")
        ask = _part("ask", "human", "boss")
        instead = _part("z", "function", "instead")
        if self.kind == "sequential":
            return {"steps": [tested, plain, ask, {**instead, "enabled": False}]}
        if self.kind == "graph":
            nodes = [{**plain, "fan_out": True}, tested, ask]
            nodes += [{**_part("end", "function", "plain"), "join": "all"}, instead]
            ways = [("p", "x"), ("p", "ask"), ("x", "end"), ("ask", "end")]
            return {
                "start": "p",
                "nodes": {node["id"]: node for node in nodes},
                "edges": [{"from": source, "to": target} for source, target in ways],
            }
        return {"participants": [tested, plain, ask]}

    def _tested(self) -> dict[str, Any]:
        refs = {"function": ACTS[self.on_error], "agent": "x", "workflow": "inner", "human": "boss"}
        step = {**_part("x", self.does, refs[self.does]), "on_error": self.on_error}
        if self.on_error == "retry":
            step["max_retries"] = 1
        if self.on_error == "fallback":
            step["fallback_ref"] = "z"
        return step


def _part(step_id: str, kind: str, ref: str) -> dict[str, Any]:
    return {"id": step_id, "kind": kind, "ref": ref}


CASES = [
    Case(kind, does, on_error)
    for kind in KINDS
    for does in DOES
    for on_error in ON_ERROR
    if on_error != "fallback" or kind in ("sequential", "graph")
]
