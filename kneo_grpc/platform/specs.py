"""Specs: find, check and compile them; equal requests share one compiled plan."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kneo_grpc.domain.diagnostic import Diagnostic, Severity
from kneo_grpc.domain.errors import EnvironmentPolicyBlocked, NotFound, SpecInvalid
from kneo_grpc.domain.ids import PlanDigest
from kneo_grpc.domain.plan import Plan, ToolPlan
from kneo_grpc.domain.plan_codec import decode_plan, encode_plan
from kneo_grpc.platform.skill_texts import SkillTexts, sources_of, with_texts
from kneo_grpc.platform.spec_sources import Material, SpecSource, SpecSources
from kneo_grpc.platform.standing_policies import Standing, StandingPolicies
from kneo_grpc.ports.code import Code, CodeMissing, CodeNotAllowed
from kneo_grpc.ports.store import Store
from kneo_grpc.spec import compile as compiler
from kneo_grpc.spec.document import Document
from kneo_grpc.spec.environment_policy import (
    EnvironmentPolicy,
    agent_findings,
    combined,
    policy_findings,
)
from kneo_grpc.spec.findings import Findings, diagnostic_data, spec_invalid
from kneo_grpc.spec.model import Spec
from kneo_grpc.spec.names import Known, agents
from kneo_grpc.spec.validate import examine

__all__ = ["CompiledSpec", "SpecSource", "Specs", "implementations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledSpec:
    """A plan ready to run. content: its canonical JSON; environment: the one it was compiled for;
    against_agent: what that one's policy has against a run of the root agent alone; skills: where
    the texts of those in use were read, by name.
    """

    plan: Plan
    digest: PlanDigest
    content: bytes
    environment: str
    against_agent: tuple[Diagnostic, ...] = ()
    skills: Mapping[str, str] = field(default_factory=dict)

    def check_target(self, target: str) -> None:
        """Raise EnvironmentPolicyBlocked where the environment's policy forbids the target."""
        if self.against_agent and target == "agent":
            raise _blocked(self.environment, list(self.against_agent))


class Specs:
    """Checks and compiles specs. providers: of the models that answer here; plans_max:
    compiled plans kept in memory.
    """

    def __init__(
        self,
        *,
        store: Store,
        code: Code,
        sources: SpecSources,
        standing: StandingPolicies,
        providers: Collection[str],
        skills: SkillTexts,
        plans_max: int = 256,
    ) -> None:
        self._store = store
        self._code = code
        self._sources = sources
        self._standing = standing
        self._providers = providers
        self._skills = skills
        self._plans_max = plans_max
        self._reading: dict[object, asyncio.Task[Material]] = {}
        self._compiled: OrderedDict[str, CompiledSpec] = OrderedDict()
        self._plans: OrderedDict[PlanDigest, Plan] = OrderedDict()

    async def validate(self, source: SpecSource) -> list[Diagnostic]:
        """Return every finding, those of the environment's policy among them; a spec that cannot
        even be read is a finding too.
        """
        standing = await self._standing.known()
        return await asyncio.to_thread(self._validate, source, standing)

    async def document(self, source: SpecSource) -> Document:
        """Return the spec that a source means, with all that is laid over it.

        Raises SpecInvalid when it cannot even be read.
        """
        return await asyncio.to_thread(lambda: self._sources.gather(source).document())

    def known(self) -> Known:
        """Return what specs may refer to without declaring it."""
        return Known(tools=self._known_tools(), providers=self._providers)

    async def compile(self, source: SpecSource) -> CompiledSpec:
        """Return the plan of a spec. Raises SpecInvalid and EnvironmentPolicyBlocked, both with
        details["diagnostics"], and what SpecSources.gather raises.
        """
        material = self._sources.gather_known(source) or await self._gather(source)
        standing = (await self._standing.known()).get(material.environment)
        key = material.key
        if standing is not None:
            # Who is refused is told the environment, which the material may not depend on.
            key = json.dumps([key, material.environment, standing.key])
        known = self._compiled.get(key)
        if known is not None and (
            not known.skills or await asyncio.to_thread(self._skills_are_those_of, known)
        ):
            return self._kept(key, known)
        policy = combined(material.policy, standing.policy if standing else None)
        return self._kept(key, await asyncio.to_thread(self._compile, material, policy))

    def _kept(self, key: str, compiled: CompiledSpec) -> CompiledSpec:
        """Remember a compiled spec as the last one that was used; it may have been forgotten while
        its skills were looked at.
        """
        self._compiled[key] = compiled
        self._compiled.move_to_end(key)
        while len(self._compiled) > self._plans_max:
            self._compiled.popitem(last=False)
        return compiled

    async def default_environment(self) -> str:
        """Return the environment of calls that name none. Raises what SpecSources.gather raises."""
        return await asyncio.to_thread(self._sources.default_environment)

    async def judged(
        self, source: SpecSource, target: str, policies: Sequence[EnvironmentPolicy | None]
    ) -> list[list[Diagnostic]]:
        """Return what each of some policies, together with the project's, has against a run of a
        spec. target: workflow or agent.

        Raises what SpecSources.gather raises, and SpecInvalid where it cannot even be read.
        """

        def judge() -> list[list[Diagnostic]]:
            material = self._sources.gather(source)
            document = material.document()
            spec, diagnostics = examine(document, self.known())
            found = []
            for stored in policies:
                policy = combined(material.policy, stored)
                against = _policy_findings(policy, material, document, spec, diagnostics)
                if target == "agent":
                    against += agent_findings(policy, material.environment, document)
                found.append(against)
            return found

        return await asyncio.to_thread(judge)

    async def _gather(self, source: SpecSource) -> Material:
        """Read a source in a thread. Calls for the same files that come while they are being read
        share what is read.
        """
        if source.spec is not None or source.bundle is not None or source.overrides:
            return await asyncio.to_thread(self._sources.gather, source)
        key = (source.spec_path, source.environment, source.overlays, source.skills)
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.create_task(asyncio.to_thread(self._sources.gather, source))
            self._reading[key] = reading
            reading.add_done_callback(lambda done: self._read(key, done))
        return await asyncio.shield(reading)

    def _read(self, key: object, done: "asyncio.Task[Material]") -> None:
        del self._reading[key]
        if not done.cancelled():
            done.exception()  # else it is reported as lost where every caller has gone away

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

    def _validate(self, source: SpecSource, standing: Mapping[str, Standing]) -> list[Diagnostic]:
        try:
            material = self._sources.gather(source)
            document = material.document()
        except SpecInvalid as error:
            return [_diagnostic(item) for item in error.details["diagnostics"]]
        spec, diagnostics = examine(document, self.known())
        if spec is not None:
            used = {name for _, agent in agents(spec) for name in agent.skills}
            sources = {name: skill.source for name, skill in spec.skills.items() if name in used}
            diagnostics += _skill_findings(document, self._skills.read(sources)[1])
        held = standing.get(material.environment)
        policy = combined(material.policy, held.policy if held else None)
        found = _policy_findings(policy, material, document, spec, diagnostics)
        return [*found, *diagnostics]

    def _compile(self, material: Material, policy: EnvironmentPolicy | None) -> CompiledSpec:
        document = material.document()
        plan = compiler.compile_spec(
            document, known_tools=self._known_tools(), providers=self._providers
        ).plan
        against_agent: list[Diagnostic] = []
        if policy is not None:
            # Few specs stand under a policy; they are examined twice, once for each judge.
            spec, diagnostics = examine(document, self.known())
            found = _policy_findings(policy, material, document, spec, diagnostics)
            if found:
                raise _blocked(material.environment, found)
            against_agent = agent_findings(policy, material.environment, document)
        self._find_code(plan)
        skills = sources_of(plan)
        if skills:
            texts, faults = self._skills.read(skills)
            if faults:
                raise spec_invalid(_skill_findings(document, faults))
            plan = with_texts(plan, texts)
        digest, content = encode_plan(plan)
        return CompiledSpec(
            plan=plan,
            digest=digest,
            content=content,
            environment=material.environment,
            against_agent=tuple(against_agent),
            skills=skills,
        )

    def _skills_are_those_of(self, compiled: CompiledSpec) -> bool:
        """Tell whether the files of a compiled spec's skills are what they were."""
        texts, _ = self._skills.read(compiled.skills)
        return all(compiled.plan.skills[name].text == texts.get(name) for name in compiled.skills)

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
        findings = []
        for path, implementation in implementations(plan).items():
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


def implementations(plan: Plan) -> dict[str, str]:
    """Return the import paths of a plan's code, by their path in the spec."""
    wanted = {
        f"components.functions.{name}.implementation": function.implementation
        for name, function in plan.functions.items()
    }
    return wanted | {
        f"tools.{name}.implementation": tool.implementation
        for name, tool in plan.tools.items()
        if tool.implementation is not None
    }


def _policy_findings(
    policy: EnvironmentPolicy | None,
    material: Material,
    document: Document,
    spec: Spec | None,
    diagnostics: list[Diagnostic],
) -> list[Diagnostic]:
    return policy_findings(
        policy,
        material.environment,
        document,
        spec,
        diagnostics,
        signed=material.signed,
    )


def _skill_findings(document: Document, faults: Mapping[str, str]) -> list[Diagnostic]:
    findings = Findings(document)
    for name, text in faults.items():
        findings.error("E_SKILL_SOURCE", ("skills", name, "source"), text)
    return findings.ordered()


def _blocked(environment: str, found: list[Diagnostic]) -> EnvironmentPolicyBlocked:
    more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
    return EnvironmentPolicyBlocked(
        f"the policy of the environment {environment} does not let the spec run: "
        f"{found[0].message}{more}",
        environment=environment,
        diagnostics=[diagnostic_data(item) for item in found],
    )


def _diagnostic(item: Mapping[str, Any]) -> Diagnostic:
    return Diagnostic(**{**item, "severity": Severity(item["severity"])})
