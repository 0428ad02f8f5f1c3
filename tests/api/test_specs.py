"""SpecService over a real server: what is shown of specs, and what is refused."""

import os
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from kneo_grpc._gen.kneo.v1 import run_pb2, run_result_pb2, spec_pb2
from tests.api.conftest import in_module_loop
from tests.service import Service, create, data, failure, function_spec, human_spec

CALLS = {
    "ValidateSpec": spec_pb2.ValidateSpecRequest,
    "CompileSpec": spec_pb2.CompileSpecRequest,
    "ExplainSpec": spec_pb2.ExplainSpecRequest,
    "GraphSpec": spec_pb2.GraphSpecRequest,
    "GetPolicyReport": spec_pb2.GetPolicyReportRequest,
}
BROKEN = {"version": "v1", "agent": {"name": "a", "tools": ["nope"]}}
GRAPH = {
    "version": "v1",
    "agent": {"name": "root"},
    "workflow": {
        "type": "graph",
        "name": "triage",
        "start": "a",
        "max_steps": 10**12,
        "nodes": {key: {"id": key, "kind": "agent", "ref": "root"} for key in "ab"},
        "edges": [{"from": "a", "to": "b"}],
    },
}


async def ask(service: Service, rpc: str, **fields: Any) -> dict[str, Any]:
    return data(await getattr(service.specs, rpc)(ParseDict(fields, CALLS[rpc]())))


async def refused(
    service: Service, rpc: str, **fields: Any
) -> tuple[grpc.StatusCode, dict[str, Any]]:
    return await failure(getattr(service.specs, rpc)(ParseDict(fields, CALLS[rpc]())))


@pytest.mark.parametrize("rpc", CALLS)
async def test_a_spec_comes_inline_or_from_a_file_with_overlays_and_overrides(
    service: Service, tmp_path: Path, rpc: str
) -> None:
    (tmp_path / "flow.yaml").write_text("version: v1\nagent: {name: solo}\n")
    (tmp_path / "over.yaml").write_text("agent: {description: laid over}\n")
    for source in (
        {"spec": function_spec("note")},
        {"spec_path": "examples/three_steps.yaml"},
        {"spec_path": "flow.yaml", "overlays": ["over.yaml"], "overrides": {"metadata": {"a": 1}}},
    ):
        answer = await ask(service, rpc, **source, environment="dev")
        assert answer.get("valid", answer.get("ok", True)) is True


async def test_overlays_and_overrides_are_seen_in_the_answer(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / "over.yaml").write_text("agent: {description: laid over}\n")
    answer = await ask(
        service,
        "ExplainSpec",
        spec={"version": "v1", "agent": {"name": "solo"}},
        overlays=["over.yaml"],
        overrides={"agent": {"model": {"provider": "dummy", "name": "dummy"}}},
    )
    (agent,) = answer["summary"]["agents"]
    assert (agent["description"], agent["model"]) == ("laid over", "dummy")


@in_module_loop
@pytest.mark.parametrize("rpc", CALLS)
@pytest.mark.parametrize(
    ("fields", "reason", "http"),
    [
        ({}, "invalid_request", 400),
        ({"spec_path": "missing.yaml"}, "invalid_request", 400),
        ({"spec_path": "../secret.yaml"}, "spec_path_confined", 422),
        ({"spec_path": "~/secret.yaml"}, "spec_path_confined", 422),
        ({"spec": BROKEN, "overlays": ["../secret.yaml"]}, "spec_path_confined", 422),
        ({"spec": BROKEN, "overlays": ["missing.yaml"]}, "invalid_request", 400),
        ({"spec": BROKEN, "overlays": [""]}, "validation_error", 422),
        ({"spec": BROKEN, "overlays": ["a.yaml"] * 101}, "validation_error", 422),
        ({"spec": BROKEN, "overlays": ["a" * 4097]}, "validation_error", 422),
        ({"spec": BROKEN, "environment": "a" * 4097}, "validation_error", 422),
        ({"spec_path": "a" * 4097}, "validation_error", 422),
        ({"spec": {"a": "x" * 262_145}}, "validation_error", 422),
        ({"bundle": {"a": "x" * 262_145}}, "validation_error", 422),
        ({"spec": BROKEN, "overrides": {"a": "x" * 65_537}}, "validation_error", 422),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_source_that_cannot_be_taken_is_refused(
    common: Service, rpc: str, fields: dict[str, Any], reason: str, http: int
) -> None:
    _, error = await refused(common, rpc, **fields)
    assert (error["error"], error["http"]) == (reason, http)


@in_module_loop
@pytest.mark.parametrize("rpc", CALLS)
async def test_who_may_not_read_specs_is_refused(common_guarded: Service, rpc: str) -> None:
    call = getattr(common_guarded.specs, rpc)(
        CALLS[rpc](), metadata=(("authorization", "Bearer reviewer-key"),)
    )
    code, error = await failure(call)
    assert (code, error["required_scope"]) == (grpc.StatusCode.PERMISSION_DENIED, "specs:read")


@in_module_loop
@pytest.mark.parametrize("rpc", ["CompileSpec", "ExplainSpec", "GraphSpec"])
@pytest.mark.parametrize("spec", [BROKEN, {"version": "v1"}, {"version": "v7"}, {}])
async def test_what_does_not_fit_together_is_refused(
    common: Service, rpc: str, spec: dict[str, Any]
) -> None:
    code, error = await refused(common, rpc, spec=spec)
    assert (code, error["error"]) == (grpc.StatusCode.INVALID_ARGUMENT, "spec_invalid")
    assert error["diagnostics"]


# Compile


async def test_a_compilation_tells_the_parts_and_the_warnings(service: Service) -> None:
    spec = {**human_spec(), "policies": {"odd": 1}}
    spec["components"]["agents"] = {name: {"name": name} for name in "ba"}
    answer = await ask(service, "CompileSpec", spec=spec)
    assert answer["ok"] is True
    assert answer["summary"] == {
        "has_root_agent": True,
        "has_root_workflow": True,
        "component_agents": ["a", "b"],
    }
    assert [item["severity"] for item in answer["diagnostics"]] == ["warning"]


@in_module_loop
@pytest.mark.parametrize(("spec", "summary"), [(BROKEN, True), ({"version": "v1"}, False)])
async def test_who_is_not_strict_gets_the_findings(
    common: Service, spec: dict[str, Any], summary: bool
) -> None:
    answer = await ask(common, "CompileSpec", spec=spec, strict=False)
    assert answer["ok"] is False
    assert answer["diagnostics"][0]["severity"] == "error"
    assert ("summary" in answer) is summary


@pytest.mark.parametrize("strict", [True, False])
async def test_code_that_is_not_there_is_found(service: Service, strict: bool) -> None:
    spec = function_spec("note")
    spec["components"]["functions"]["note"]["implementation"] = "kneo_test_code.absent"
    if strict:
        _, found = await refused(service, "CompileSpec", spec=spec)
    else:
        found = await ask(service, "CompileSpec", spec=spec, strict=False)
    assert [item["code"] for item in found["diagnostics"]] == ["E_IMPORT_MISSING"]


# Explain, graph, policy report


async def test_an_explanation_names_who_works_and_who_is_asked(service: Service) -> None:
    summary = (await ask(service, "ExplainSpec", spec=human_spec(assignee="me")))["summary"]
    assert (summary["root_agent"], summary["root_workflow"]) == ("root", "asks")
    assert summary["component_agents"] == []
    assert [item["assignee"] for item in summary["humans"]] == ["me"]
    assert [step["kind"] for step in summary["workflows"][0]["steps"]] == ["human", "agent"]


async def test_a_graph_is_data_and_on_request_a_drawing(service: Service) -> None:
    plain = await ask(service, "GraphSpec", spec=GRAPH)
    assert (plain["workflow_name"], plain["workflow_kind"]) == ("triage", "graph")
    assert (plain["start"], plain["max_steps"]) == ("a", 2**31 - 1)
    assert [(edge["source"], edge["target"]) for edge in plain["edges"]] == [("a", "b")]
    assert "text" not in plain
    drawn = {
        form: await ask(service, "GraphSpec", spec=GRAPH, format=form)
        for form in ("json", "mermaid", "dot")
    }
    assert drawn["json"] == plain
    assert drawn["mermaid"].pop("text").startswith("flowchart TD\n")
    assert drawn["dot"].pop("text").startswith("digraph spec {\n")
    assert drawn["mermaid"] == drawn["dot"] == plain


async def test_a_drawing_of_another_kind_is_refused(service: Service) -> None:
    _, error = await refused(service, "GraphSpec", spec=GRAPH, format="png")
    assert error["fields"] == [{"field": "format", "message": "must be one of json, mermaid, dot"}]


async def test_a_report_is_given_on_a_spec_with_errors(service: Service) -> None:
    answer = await ask(service, "GetPolicyReport", spec=BROKEN)
    assert (answer["valid"], answer["report"]["valid"]) == (True, True)
    assert answer["report"]["diagnostics"][0]["code"] == "E_UNKNOWN_TOOL"
    assert answer["report"]["summary"]["diagnostic_count"] == len(answer["report"]["diagnostics"])


@pytest.mark.parametrize("text", ["version: v1\n", "a: [1\n", "", "- 1\n"])
async def test_a_report_on_what_is_no_spec_says_so(
    service: Service, tmp_path: Path, text: str
) -> None:
    (tmp_path / "flow.yaml").write_text(text)
    answer = await ask(service, "GetPolicyReport", spec_path="flow.yaml")
    assert answer["valid"] is False
    assert set(answer["report"]) == {"valid", "diagnostics"}


# Skills


async def skills(service: Service, **fields: Any) -> dict[str, Any]:
    return data(await service.specs.ListSkills(ParseDict(fields, spec_pb2.ListSkillsRequest())))


def add_skill(folder: Path, text: str = "", name: str = "SKILL.md") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


async def test_skills_are_found_with_what_they_say_of_themselves(
    service: Service, tmp_path: Path
) -> None:
    add_skill(tmp_path / "skills" / "plain", "No front matter.\n")
    add_skill(tmp_path / "skills" / "front", "---\nname: Front\ndescription: In front.\n---\nx\n")
    add_skill(tmp_path / "deep" / "er" / "yaml", "name: A yaml\n", "skill.yaml")
    add_skill(tmp_path / "json", '{"name": "json", "description": "J"}', "skill.json")
    add_skill(tmp_path / "odd", "---\nname: [1\n---\n")
    add_skill(tmp_path / "notes", "Not a skill.\n", "README.md")
    answer = await skills(service)
    assert [(item["name"], item["description"], item["path"]) for item in answer["skills"]] == [
        ("A yaml", "", "deep/er/yaml"),
        ("Front", "In front.", "skills/front"),
        ("json", "J", "json"),
        ("odd", "", "odd"),
        ("plain", "", "skills/plain"),
    ]
    assert (answer["count"], answer["total"]) == (5, 5)


async def test_skills_come_in_pages(service: Service, tmp_path: Path) -> None:
    for name in "cab":
        add_skill(tmp_path / name, f"---\nname: same\ndescription: {name}\n---\n")
    page = await skills(service, limit=2, offset=1, sort_by="path", sort_order="desc")
    assert [item["path"] for item in page["skills"]] == ["b", "a"]
    assert (page["count"], page["total"], page["sort_order"]) == (2, 3, "desc")


async def test_no_link_and_no_hidden_folder_leads_to_a_skill(
    service: Service, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    add_skill(outside / "secret", "---\nname: secret\n---\n")
    (tmp_path / "linked").symlink_to(outside)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "SKILL.md").symlink_to(outside / "secret" / "SKILL.md")
    (tmp_path / "two").mkdir()
    os.mkfifo(tmp_path / "two" / "SKILL.md")
    add_skill(tmp_path / ".git" / "hidden")
    add_skill(tmp_path / ".kneo" / "skills" / "own")
    answer = await skills(service)
    assert {item["name"] for item in answer["skills"]} == {"own"}


@in_module_loop
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"offset": -1}, "offset"),
        ({"sort_by": "size"}, "sort_by"),
        ({"sort_order": "up"}, "sort_order"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(
    common: Service, fields: dict[str, Any], field: str
) -> None:
    request = ParseDict(fields, spec_pb2.ListSkillsRequest())
    _, error = await failure(common.specs.ListSkills(request))
    assert (error["error"], error["fields"][0]["field"]) == ("validation_error", field)


async def test_who_may_not_read_specs_sees_no_skills(guarded: Service) -> None:
    metadata = (("authorization", "Bearer reviewer-key"),)
    call = guarded.specs.ListSkills(spec_pb2.ListSkillsRequest(), metadata=metadata)
    code, _ = await failure(call)
    assert code is grpc.StatusCode.PERMISSION_DENIED


# What a run is made of


async def test_a_run_takes_overlays(service: Service, tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text("agent: {name: other}\n")
    spec = {"version": "v1", "agent": {"name": "solo"}}
    request = create(spec=spec, overlays=["over.yaml"], target="agent")
    run = data(await service.runs.CreateRun(request))
    assert run["status"] == "completed"
    stored = await service.runs.GetRun(run_pb2.GetRunRequest(run_id=run["run_id"]))
    assert stored.agent_name == "other"

    return run_pb2.GetRunRequest()


@in_module_loop
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"overlays": ["a.yaml"] * 101}, "overlays"),
        ({"overlays": ["a.yaml", ""]}, "overlays[1]"),
        ({"skills": {"add": ["tone", ""]}}, "skills.add[1]"),
    ],
)
async def test_a_run_of_what_cannot_be_taken_is_refused(
    common: Service, fields: dict[str, Any], field: str
) -> None:
    request = ParseDict(
        {"input": "hi", "spec": BROKEN, **fields}, run_result_pb2.CreateRunRequest()
    )
    _, error = await failure(common.runs.CreateRun(request))
    assert (error["error"], error["fields"][0]["field"]) == ("validation_error", field)


async def test_permissions_in_a_policy_report_come_in_one_order(service: Service) -> None:
    rights = ("allow_filesystem_read", "allow_network", "allow_shell", "denied_domains")
    given = dict.fromkeys(rights[:3], True) | {"denied_domains": ["a.example"]}
    agent = {"name": "a", "tools": {"include": ["web_search"], "permissions": given}}
    request = ParseDict(
        {"spec": {"version": "v1", "agent": agent}}, spec_pb2.GetPolicyReportRequest()
    )
    ask_raw = service.channel.unary_unary(
        "/kneo.v1.SpecService/GetPolicyReport", request_serializer=type(request).SerializeToString
    )
    places = [(await ask_raw(request)).find(name.encode() + b"\x12") for name in rights]
    assert -1 not in places
    assert places == sorted(places)
