"""Specs: find, check and compile them; equal requests share one compiled plan."""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kneo_grpc.domain.diagnostic import Diagnostic, Severity
from kneo_grpc.domain.errors import InvalidInput, NotFound, SpecInvalid, SpecPathConfined
from kneo_grpc.domain.ids import PlanDigest
from kneo_grpc.domain.plan import Plan, ToolPlan, decode_plan, encode_plan
from kneo_grpc.ports.code import Code, CodeMissing, CodeNotAllowed
from kneo_grpc.ports.store import Store
from kneo_grpc.spec import compile as compiler
from kneo_grpc.spec.document import Document
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.merge import merge
from kneo_grpc.spec.validate import validate


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecSource:
    """Where a spec comes from. bundle (a signed one) stands alone; spec wins over spec_path.

    overlays: paths of specs merged over it in order; environment: whose defaults fill what is
    left out; overrides are merged last.
    """

    spec_path: str | None = None
    spec: Mapping[str, Any] | None = None
    overrides: Mapping[str, Any] | None = None
    environment: str | None = None
    overlays: tuple[str, ...] = ()
    bundle: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledSpec:
    """A plan ready to run. content: its canonical JSON."""

    plan: Plan
    digest: PlanDigest
    content: bytes


class Specs:
    """Checks and compiles specs.

    root: folder that spec paths are confined to. examples: folder that `examples/…` means where the
    root has no such file. plans_max: compiled plans kept in memory.
    """

    def __init__(
        self,
        *,
        store: Store,
        code: Code,
        root: Path,
        examples: Path | None = None,
        plans_max: int = 256,
    ) -> None:
        self._store = store
        self._code = code
        self._root = root.resolve()
        self._examples = examples
        self._plans_max = plans_max
        self._compiled: OrderedDict[str, CompiledSpec] = OrderedDict()
        self._plans: OrderedDict[PlanDigest, Plan] = OrderedDict()

    async def validate(self, source: SpecSource) -> list[Diagnostic]:
        """Return every finding; a spec that cannot even be read is a finding too."""
        text = await self._text(source)
        return await asyncio.to_thread(self._validate, source, text)

    async def compile(self, source: SpecSource) -> CompiledSpec:
        """Return the plan of a spec. Raises SpecInvalid with details["diagnostics"]."""
        text = await self._text(source)
        key = _digest(source, text)
        known = self._compiled.get(key)
        if known is not None:
            self._compiled.move_to_end(key)
            return known
        compiled = await asyncio.to_thread(self._compile, source, text)
        self._compiled[key] = compiled
        while len(self._compiled) > self._plans_max:
            self._compiled.popitem(last=False)
        return compiled

    async def plan(self, digest: PlanDigest) -> Plan:
        """Return a stored plan. Raises NotFound."""
        known = self._plans.get(digest)
        if known is not None:
            self._plans.move_to_end(digest)
            return known
        content = await self._store.load_plan(digest)
        if content is None:
            raise NotFound(f"plan {digest} is not stored")
        plan = await asyncio.to_thread(decode_plan, content)
        self._plans[digest] = plan
        while len(self._plans) > self._plans_max:
            self._plans.popitem(last=False)
        return plan

    async def _text(self, source: SpecSource) -> bytes | None:
        """Return the file's bytes, or None for an inline spec."""
        if source.spec is not None:
            return None
        if not source.spec_path:
            raise InvalidInput("one of spec and spec_path is required")
        return await asyncio.to_thread(self._read, source.spec_path)

    def _read(self, name: str) -> bytes:
        """Read a file below the root. What it really is after links is what counts."""
        path = Path(name)
        if "\0" in name or name.startswith("~") or ".." in path.parts:
            raise SpecPathConfined("the spec path leaves the spec root", spec_path=name)
        found = (self._root / path).resolve()
        if not found.is_relative_to(self._root):
            raise SpecPathConfined("the spec path leaves the spec root", spec_path=name)
        if not found.exists() and self._examples and path.parts[:1] == ("examples",):
            found = self._examples.joinpath(*path.parts[1:])
        if not found.is_file():
            raise InvalidInput(f"there is no spec file {name}", spec_path=name)
        try:
            return found.read_bytes()
        except OSError as error:
            raise InvalidInput(f"spec file {name} cannot be read", spec_path=name) from error

    def _document(self, source: SpecSource, text: bytes | None) -> Document:
        if text is not None:
            document = load_text(text, name=source.spec_path or "<spec>")
        else:
            document = load_object(source.spec or {})
        if source.overrides:
            document = merge(document, load_object(source.overrides))
        return document

    def _validate(self, source: SpecSource, text: bytes | None) -> list[Diagnostic]:
        try:
            document = self._document(source, text)
        except SpecInvalid as error:
            return [_diagnostic(item) for item in error.details["diagnostics"]]
        return validate(document, known_tools=self._known_tools())

    def _compile(self, source: SpecSource, text: bytes | None) -> CompiledSpec:
        document = self._document(source, text)
        plan = compiler.compile_spec(document, known_tools=self._known_tools()).plan
        self._find_code(plan)
        digest, content = encode_plan(plan)
        return CompiledSpec(plan=plan, digest=digest, content=content)

    def _known_tools(self) -> Mapping[str, ToolPlan]:
        """Return the registered tools; a plan that uses one holds its definition."""
        return {
            tool.name: ToolPlan(
                name=tool.name, description=tool.description, parameters=tool.parameters
            )
            for tool in self._code.tools().values()
        }

    def missing_code(self, plan: Plan) -> dict[str, str]:
        """Return what this process lacks of a plan's code: path in the spec to what is wrong."""
        return {path: message for _, path, message in self._missing(plan)}

    def _missing(self, plan: Plan) -> list[tuple[str, str, str]]:
        wanted = [
            (f"components.functions.{name}.implementation", function.implementation)
            for name, function in plan.functions.items()
        ]
        wanted += [
            (f"tools.{name}.implementation", tool.implementation)
            for name, tool in plan.tools.items()
            if tool.implementation is not None
        ]
        findings = []
        for path, implementation in wanted:
            try:
                self._code.function(implementation)
            except CodeNotAllowed as error:
                findings.append(("E_IMPORT_NOT_ALLOWED", path, str(error)))
            except CodeMissing as error:
                findings.append(("E_IMPORT_MISSING", path, str(error)))
        return findings

    def _find_code(self, plan: Plan) -> None:
        """Refuse a plan whose code this process must not or cannot import."""
        findings = self._missing(plan)
        if findings:
            diagnostics = [
                {"code": code, "severity": "error", "message": message, "path": path}
                for code, path, message in findings
            ]
            raise SpecInvalid(findings[0][2], diagnostics=diagnostics)


def _digest(source: SpecSource, text: bytes | None) -> str:
    head = json.dumps([source.spec, source.overrides], sort_keys=True).encode()
    return hashlib.sha256(head + b"\0" + (text or b"")).hexdigest()


def _diagnostic(item: Mapping[str, Any]) -> Diagnostic:
    return Diagnostic(**{**item, "severity": Severity(item["severity"])})
