"""What an environment demands of a spec."""

import pytest

from kneo_grpc.spec.environment_policy import EnvironmentPolicy, policy_findings
from kneo_grpc.spec.load import load_object
from kneo_grpc.spec.names import Known
from kneo_grpc.spec.validate import examine

RAILS = {"input": [{"id": "g", "type": "keyword", "config": {"keywords": ["x"]}}]}
HUMAN = {"humans": {"h": {}}}
ASKS = {"type": "sequential", "steps": [{"id": "s", "kind": "human", "ref": "h"}]}
NESTS = {"type": "sequential", "steps": [{"id": "s", "kind": "workflow", "ref": "inner"}]}


def found(policy: dict, spec: dict, *, signed: bool = False) -> list[tuple[str, str | None]]:
    document = load_object({"version": "v1", **spec})
    model, diagnostics = examine(document, Known(tools={"t"}))
    assert model is not None, diagnostics
    findings = policy_findings(
        EnvironmentPolicy(**policy), "prod", document, model, diagnostics, signed=signed
    )
    assert all(item.severity == "error" for item in findings)
    return [(item.code, item.path) for item in findings]


def agent(**fields) -> dict:
    return {"agent": {"name": "a", **fields}}


def tools(**permissions) -> dict:
    return {"tools": {"include": ["t"], "permissions": permissions}}


UNRESTRICTED = "E_ENV_POLICY_UNRESTRICTED_TOOLS"
PERMISSIONS = "E_ENV_POLICY_TOOL_PERMISSIONS"
REVIEW = "E_ENV_POLICY_HUMAN_REVIEW"
RAILS_CODE = "E_ENV_POLICY_GUARDRAILS"


@pytest.mark.parametrize(
    ("policy", "spec", "codes"),
    [
        ({}, agent(tools=["t"]), []),
        ({"enabled": False, "require_guardrails": True}, agent(), []),
        ({"require_human_review": True}, agent(), [(REVIEW, "workflow")]),
        ({"require_human_review": True}, {**agent(), "workflow": ASKS, "components": HUMAN}, []),
        (
            {"require_human_review": True},
            {
                **agent(),
                "workflow": {**ASKS, "steps": [{**ASKS["steps"][0], "enabled": False}]},
                "components": HUMAN,
            },
            [(REVIEW, "workflow")],
        ),
        (
            {"require_human_review": True},
            {**agent(), "workflow": NESTS, "components": {**HUMAN, "workflows": {"inner": ASKS}}},
            [],
        ),
        (
            {"require_human_review": True},
            {**agent(), "components": {**HUMAN, "workflows": {"inner": ASKS}}},
            [(REVIEW, "workflow")],
        ),
        ({"require_tool_permissions": True}, agent(), []),
        ({"require_tool_permissions": True}, agent(tools=["t"]), [(PERMISSIONS, "agent.tools")]),
        ({"require_tool_permissions": True}, agent(**tools(allow_shell=True)), []),
        (
            {"require_tool_permissions": True},
            agent(tools=["t"], policies={"tool": {"shell": False}}),
            [],
        ),
        ({"deny_unrestricted_tools": True}, agent(tools=["t"]), [(UNRESTRICTED, "agent.tools")]),
        ({"deny_unrestricted_tools": True}, agent(**tools(allow_network=False)), []),
        *(
            (
                {"deny_unrestricted_tools": True},
                agent(**tools(**rights)),
                [(UNRESTRICTED, "agent.tools")],
            )
            for rights in (
                {"allow_shell": True},
                {"allow_filesystem_write": True},
                {"allow_network": True},
            )
        ),
        (
            {"deny_unrestricted_tools": True},
            agent(**tools(allow_network=True, allowed_domains=["a.b"])),
            [],
        ),
        ({"require_guardrails": True}, agent(), [(RAILS_CODE, "agent.guardrails")]),
        (
            {"require_guardrails": True},
            agent(guardrails={"input": []}),
            [(RAILS_CODE, "agent.guardrails")],
        ),
        ({"require_guardrails": True}, agent(guardrails=RAILS), []),
        (
            {"require_guardrails": True},
            {**agent(guardrails=RAILS), "components": {"agents": {"b": {"name": "b"}}}},
            [(RAILS_CODE, "components.agents.b.guardrails")],
        ),
        ({"require_signed_bundle": True}, agent(), [("E_ENV_POLICY_SIGNED_BUNDLE", None)]),
        (
            {"blocked_diagnostic_codes": ["E_UNSAFE_FUNCTION_IMPORT"]},
            {**agent(), "components": {"functions": {"f": {"implementation": "os.system"}}}},
            [("E_ENV_POLICY_DIAGNOSTIC", "components.functions.f.implementation")],
        ),
        (
            {"blocked_diagnostic_codes": ["E_TOOL_REF"]},
            agent(tools={"include": ["nope"], "permissions": {"allow_shell": False}}),
            [("E_ENV_POLICY_DIAGNOSTIC", "agent.tools.include[0]")],
        ),
        ({"blocked_diagnostic_codes": ["E_OTHER"]}, agent(), []),
        (
            {"fail_on_warnings": True},
            agent(strategy="react"),
            [("E_ENV_POLICY_WARNING", "agent.model")],
        ),
        ({"fail_on_warnings": True}, agent(), []),
    ],
)
def test_each_demand(policy: dict, spec: dict, codes: list) -> None:
    assert found(policy, spec) == codes


def test_a_signed_bundle_meets_the_demand_for_one() -> None:
    assert found({"require_signed_bundle": True}, agent(), signed=True) == []


def test_no_policy_demands_nothing() -> None:
    document = load_object({"version": "v1", "agent": {"name": "a"}})
    assert policy_findings(None, "prod", document, None, [], signed=False) == []
