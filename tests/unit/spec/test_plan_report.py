"""The report on a plan is the report on its spec, but for what only the spec's text shows."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kneo_grpc.spec.compile import plan_of
from kneo_grpc.spec.load import load_object
from kneo_grpc.spec.names import Known
from kneo_grpc.spec.plan_report import plan_report
from kneo_grpc.spec.policy_report import policy_report
from kneo_grpc.spec.validate import examine

SPECS = yaml.safe_load(Path(__file__).with_name("view_specs.yaml").read_text(encoding="utf-8"))
WIDE = {
    "version": "v1",
    "agent": {
        "name": "root",
        "tools": {
            "include": ["issues", "asks"],
            "permissions": {"allow_shell": True, "allow_network": True},
        },
        "memory": {"policy": "sliding_window", "max_messages": 7},
    },
    "tools": {
        "issues": {"description": "i", "mcp": {"server": "tracker"}},
        "asks": {"description": "a", "agent": "other"},
    },
    "mcp_servers": {"tracker": {"transport": "stdio", "command": "tracker"}},
    "components": {"agents": {"other": {"name": "second", "tools": {"include": ["issues"]}}}},
}
NOBODY_ASKED = {
    "version": "v1",
    "agent": {"name": "root"},
    "components": {"humans": {"boss": {}}},
}
NOTHING_PERMITTED = {
    "version": "v1",
    "agent": {"name": "root", "tools": {"include": ["issues"], "permissions": {}}},
    "tools": {"issues": {"description": "i", "agent": "by_policy"}},
    "components": {
        "agents": {
            "by_policy": {"name": "b", "policies": {"tool": {}}},
            "wide": {"name": "w", "tools": {"include": ["issues"]}},
            "none": {"name": "n"},
        }
    },
}
TOUCHES = {
    "W_TOOL_POLICY_UNRESTRICTED",
    "W_TOOL_NETWORK_UNRESTRICTED",
    "W_TOOL_SHELL_ALLOWED",
    "W_TOOL_FILESYSTEM_WRITE_ALLOWED",
    "W_TOOL_FILESYSTEM_READ_ALLOWED",
    "W_HUMAN_APPROVAL_MISSING",
}


def reports(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    spec, found = examine(load_object(data), Known(), gate=False)
    assert spec is not None, found
    return policy_report(spec, found), plan_report(plan_of(spec, Known()))


def denied(policy: dict[str, Any]) -> list[str]:
    return policy.get("permissions", {}).get("deny", [])


def told(report: dict[str, Any]) -> dict[str, Any]:
    """Leave out findings of other kinds, and how a spec spells what it says."""
    mcp = [(item["name"], item["config"]["server"]) for item in report["tools"]["mcp_imports"]]
    callable_tools = [
        {**item, "include": sorted(set(item["include"]) - set(denied(item)))}
        for item in report["tools"]["agent_policies"]
    ]
    required = [item["code"] for item in report["human_review"]["requirements"]]
    return {
        **report,
        "summary": {**report["summary"], "diagnostic_count": None},
        "memory": [
            (item["agent"], item["configured"], item.get("policy"))
            for item in report["memory"]["agents"]
        ],
        "tools": {
            "declared": report["tools"]["declared"],
            "mcp_imports": mcp,
            "agent_policies": [{**item, "exclude": []} for item in callable_tools],
        },
        "human_review": {**report["human_review"], "requirements": sorted(required)},
        "diagnostics": sorted(
            item["code"] for item in report["diagnostics"] if item["code"] in TOUCHES
        ),
    }


OWN = {"wide": WIDE, "nobody_asked": NOBODY_ASKED, "nothing_permitted": NOTHING_PERMITTED}


@pytest.mark.parametrize("data", [*SPECS.values(), *OWN.values()], ids=[*SPECS, *OWN])
def test_the_two_reports_say_the_same(data: dict[str, Any]) -> None:
    of_spec, of_plan = reports(data)
    assert told(of_plan) == told(of_spec)


def test_permissions_that_name_no_right_are_no_missing_ones() -> None:
    for report in reports(NOTHING_PERMITTED):
        policies = {item["agent"]: item for item in report["tools"]["agent_policies"]}
        assert (policies["agent"]["permissions"], policies["agent"]["unrestricted"]) == ({}, False)
        assert policies["components.agents.by_policy"]["permissions"] == {}
        assert policies["components.agents.wide"]["unrestricted"] is True
        found = [item["path"] for item in report["diagnostics"] if item["code"] in TOUCHES]
        assert found == ["components.agents.wide.tools", "workflow"]


def test_wide_permissions_are_found_in_a_plan() -> None:
    report = reports(WIDE)[1]
    assert report["human_review"]["missing"]
    assert [(item["code"], item["path"]) for item in report["diagnostics"]] == [
        ("W_TOOL_NETWORK_UNRESTRICTED", "agent.tools.permissions"),
        ("W_TOOL_SHELL_ALLOWED", "agent.tools.permissions"),
        ("W_TOOL_POLICY_UNRESTRICTED", "components.agents.other.tools"),
        ("W_HUMAN_APPROVAL_MISSING", "workflow"),
    ]
