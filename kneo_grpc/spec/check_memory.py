"""Checks what an agent remembers, and with whose help."""

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import CallRef, Memory, Spec

_NEEDS = {"summary": "summarizer", "retrieval": "retriever"}


def check_memory(path: Path, memory: Memory, spec: Spec, findings: Findings) -> None:
    """Note what is wrong with the memory at path."""
    if memory.policy is None:
        text = "memory needs a policy: full, sliding_window, summary or retrieval"
        findings.error("E_MEMORY_POLICY_REQUIRED", (*path, "policy"), text)
    for policy, field in _NEEDS.items():
        call: CallRef | None = getattr(memory, field)
        if call is None:
            if memory.policy == policy:
                text = f"the policy `{policy}` needs a {field}"
                hint = "name a function or an agent of the components"
                findings.error("E_MEMORY_FIELDS", (*path, field), text, hint)
            continue
        known = {**spec.components.functions, **spec.components.agents}
        if call.ref not in known:
            text = f"neither a function nor an agent of the components is {shown(call.ref)}"
            findings.error("E_MEMORY_REF", (*path, field, "ref"), text, Near(call.ref, known))
