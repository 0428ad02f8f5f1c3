"""What people ask of a spec before it runs: does it compile, what is in it, may it run here."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from kneo_grpc.domain.diagnostic import Diagnostic, Severity, has_errors
from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.platform.specs import Specs, SpecSource
from kneo_grpc.spec.compile import plan_of
from kneo_grpc.spec.document import Document
from kneo_grpc.spec.drawing import dot, mermaid
from kneo_grpc.spec.explain import Explanation, explain
from kneo_grpc.spec.findings import spec_invalid
from kneo_grpc.spec.graph import Graph, graph
from kneo_grpc.spec.model import Spec
from kneo_grpc.spec.names import Known
from kneo_grpc.spec.policy_report import policy_report
from kneo_grpc.spec.validate import examine

T = TypeVar("T")

DRAWINGS: dict[str, Callable[[Graph], str]] = {"mermaid": mermaid, "dot": dot}
"""How a graph may be drawn in text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """Whether a spec compiles here, and all findings. spec: None without the shape of one."""

    ok: bool
    diagnostics: list[Diagnostic]
    spec: Spec | None


class SpecViews:
    """Shows specs. What this release knows but does not run yet can be shown all the same."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs

    async def compile(self, source: SpecSource, *, strict: bool) -> Compilation:
        """Return the findings. strict: raise what keeps the spec from running, as a run would:
        SpecInvalid, EnvironmentPolicyBlocked.
        """
        found = await self._specs.validate(source)
        if strict or not has_errors(found):
            try:
                await self._specs.compile(source)
            except SpecInvalid as error:
                if strict:
                    raise
                found = [_diagnostic(item) for item in error.details["diagnostics"]] + found
        try:
            spec = await self._over(source, lambda document, known: examine(document, known)[0])
        except SpecInvalid:
            spec = None
        return Compilation(ok=not has_errors(found), diagnostics=found, spec=spec)

    async def explain(self, source: SpecSource) -> Explanation:
        """Return what is in a spec. Raises SpecInvalid."""
        return await self._over(source, lambda document, known: explain(_sound(document, known)))

    async def graph(self, source: SpecSource, drawing: str | None) -> tuple[Graph, str | None]:
        """Return what runs after what in a spec, and its drawing. drawing: key of DRAWINGS.

        Raises SpecInvalid.
        """

        def drawn(document: Document, known: Known) -> tuple[Graph, str | None]:
            shown = graph(plan_of(_sound(document, known), known))
            return shown, None if drawing is None else DRAWINGS[drawing](shown)

        return await self._over(source, drawn)

    async def policy_report(self, source: SpecSource) -> dict[str, Any]:
        """Return the report on a spec, also on one with errors."""
        found = await self._specs.validate(source)

        def reported(document: Document, known: Known) -> dict[str, Any]:
            return policy_report(examine(document, known)[0], found)

        try:
            return await self._over(source, reported)
        except SpecInvalid:
            return policy_report(None, found)

    async def _over(self, source: SpecSource, view: Callable[[Document, Known], T]) -> T:
        document = await self._specs.document(source)
        return await asyncio.to_thread(view, document, self._specs.known())


def _sound(document: Document, known: Known) -> Spec:
    """Return a spec whose parts fit together. Raises SpecInvalid."""
    spec, found = examine(document, known, gate=False)
    if spec is None or has_errors(found):
        raise spec_invalid(found)
    return spec


def _diagnostic(item: dict[str, Any]) -> Diagnostic:
    return Diagnostic(**{**item, "severity": Severity(item["severity"])})
