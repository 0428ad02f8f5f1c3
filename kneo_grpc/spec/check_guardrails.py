"""Checks guardrails: stage and action, and what they look for."""

import re
from collections.abc import Collection, Sequence

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import Guardrail, Spec
from kneo_grpc.spec.model_agents import GUARDRAIL_ACTIONS, GUARDRAIL_TYPES
from kneo_grpc.spec.names import agents

_CONFIG = {"keyword": "keywords", "regex": "patterns"}

_WIDE = re.compile(r"[^\x00-\x7f]|\\[uUxN0-9]")
_WIDE_LETTERS_MAX = 512
_LETTERS_MAX = 16 * 1024


def check_guardrails(spec: Spec, findings: Findings) -> None:
    """Note what is wrong with the guardrails of all agents."""
    patterns = _Patterns(findings)
    for agent_path, agent in agents(spec):
        if agent.guardrails is None:
            continue
        path = (*agent_path, "guardrails")
        for stage, actions in GUARDRAIL_ACTIONS.items():
            for index, guardrail in enumerate(getattr(agent.guardrails, stage)):
                here = (*path, stage, index)
                _check_place(here, guardrail, stage, actions, findings)
                _check_work(here, guardrail, spec, findings)
                if guardrail.type == "regex":
                    patterns.check((*here, "config", "patterns"), guardrail.config.patterns)
        if agent.guardrails.workflow and agent_path != ("agent",):
            text = "guardrails of the stage `workflow` count on the root agent only"
            findings.warning("W_FIELD_IGNORED", (*path, "workflow"), text, "move them to `agent`")


def _check_place(
    path: Path, guardrail: Guardrail, stage: str, actions: Collection[str], findings: Findings
) -> None:
    if guardrail.mode != "middleware":
        text = f"the mode {shown(guardrail.mode)} is not supported, only `middleware`"
        hint = Near(guardrail.mode, ["middleware"], "leave `mode` out")
        findings.error("E_GUARDRAIL_MODE_UNSUPPORTED", (*path, "mode"), text, hint)
    if guardrail.action not in actions:
        text = f"the stage `{stage}` has no action {shown(guardrail.action)}"
        hint = Near(guardrail.action, actions, f"actions here: {', '.join(actions)}")
        findings.error("E_GUARDRAIL_ACTION_UNSUPPORTED", (*path, "action"), text, hint)


def _check_work(path: Path, guardrail: Guardrail, spec: Spec, findings: Findings) -> None:
    kind, config = guardrail.type, _CONFIG.get(guardrail.type)
    if kind not in GUARDRAIL_TYPES:
        text = "the type must be keyword, regex, function or agent"
        findings.error("E_GUARDRAIL_FIELDS", (*path, "type"), text, Near(kind, GUARDRAIL_TYPES))
    elif config is not None:
        if not getattr(guardrail.config, config):
            text = f"a {kind} guardrail needs config.{config}"
            findings.error("E_GUARDRAIL_FIELDS", (*path, "config", config), text)
    elif not guardrail.ref:
        text = f"a {kind} guardrail needs a ref"
        findings.error("E_GUARDRAIL_FIELDS", (*path, "ref"), text)
    else:
        parts = spec.components
        known: Collection[str] = parts.functions if kind == "function" else parts.agents
        if guardrail.ref not in known:
            text = f"components.{kind}s does not have {shown(guardrail.ref)}"
            findings.error("E_GUARDRAIL_REF", (*path, "ref"), text, Near(guardrail.ref, known))


class _Patterns:
    """Compiles regular expressions, within two budgets.

    A letter can cost 30 µs to compile, and a millisecond in sets of characters beyond ASCII. What
    does not fit in the budget is taken on trust here.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._left = {False: _LETTERS_MAX, True: _WIDE_LETTERS_MAX}

    def check(self, path: Path, patterns: Sequence[str]) -> None:
        for index, pattern in enumerate(patterns):
            wide = _WIDE.search(pattern) is not None
            self._left[wide] -= len(pattern)
            if self._left[wide] < 0:
                continue
            try:
                re.compile(pattern)
            except FutureWarning:
                continue  # where warnings are errors: the pattern works
            except (re.error, OverflowError, RecursionError) as error:
                text = f"not a regular expression: {error}"
                self._findings.error("E_GUARDRAIL_FIELDS", (*path, index), text)
