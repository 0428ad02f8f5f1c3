"""The whole language: every field is understood, compiled, described and documented."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kneo_grpc.domain.plan import (
    ROOT,
    CallPlan,
    GuardrailPlan,
    McpServerPlan,
    MemoryPlan,
    Plan,
    RuntimePlan,
    SkillPlan,
)
from kneo_grpc.domain.plan_codec import decode_plan, encode_plan
from kneo_grpc.spec import codes
from kneo_grpc.spec.compile import plan_of
from kneo_grpc.spec.json_schema import json_schema
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.names import Known
from kneo_grpc.spec.validate import examine, validate

HERE = Path(__file__).parent
ROOT_FOLDER = HERE.parents[2]
SCHEMA = json_schema()
LANGUAGE = (HERE / "language.yaml").read_text()
CODE = re.compile(r"\b[EWI]_[A-Z]+(?:_[A-Z]+)*\b")


def whole() -> Plan:
    spec, findings = examine(load_text(LANGUAGE), Known(), gate=False)
    assert findings == []
    assert spec is not None
    return plan_of(spec, Known())


def used(part: dict[str, Any], value: Any, found: set[str]) -> None:
    """Collect the fields, as Shape.field, that a value of the schema's part uses."""
    name = str(part.get("$ref", "")).rpartition("/")[2]
    if name:
        shape = SCHEMA["$defs"][name]
        if isinstance(value, dict) and set(shape.get("required", ())) <= set(value):
            for field in set(value) & set(shape["properties"]):
                found.add(f"{name}.{field}")
                used(shape["properties"][field], value[field], found)
        return
    for choice in (*part.get("anyOf", ()), *part.get("oneOf", ())):
        kind = SCHEMA["$defs"].get(str(choice.get("$ref", "")).rpartition("/")[2], {})
        tag = kind.get("properties", {}).get("type", {})
        if not isinstance(value, dict) or tag.get("const", value.get("type")) == value.get("type"):
            used(choice, value, found)
    for item in value if isinstance(value, list) else ():
        used(part.get("items", {}), item, found)
    inner = part.get("additionalProperties")
    for item in value.values() if isinstance(value, dict) and isinstance(inner, dict) else ():
        used(inner, item, found)


def meaning(field: str) -> tuple[str, str]:
    name, _, key = field.partition(".")
    return key, SCHEMA["$defs"][name]["properties"][key]["description"]


def test_the_example_of_the_whole_language_uses_every_field() -> None:
    found: set[str] = set()
    data = yaml.safe_load(LANGUAGE)
    for field, value in data.items():
        used(SCHEMA["properties"][field], value, found)
    every = {
        f"{name}.{field}"
        for name, shape in SCHEMA["$defs"].items()
        for field in shape["properties"]
    }
    # A field that several shapes have from one place is used when one of them uses it.
    assert {meaning(field) for field in every} - {meaning(field) for field in found} == set()
    assert set(SCHEMA["properties"]) == set(data)


def test_an_agent_is_compiled_with_all_it_has() -> None:
    root = whole().agents[ROOT]
    assert root.model_settings == {
        "temperature": 0.2,
        "max_tokens": 500,
        "timeout_seconds": 30,
        "token_budget": 20000,
        "extra": {"seed": 7},
    }
    assert (root.stop_on_tool_error, root.parallel_tool_calls) == (True, False)
    assert root.runtime == RuntimePlan(
        fallback_mode="native",
        allowed_modes=("bridge", "native"),
        native_provider="openai",
        adapter_ref="ours",
    )
    assert root.memory == MemoryPlan(
        policy="retrieval",
        max_messages=12,
        preserve_system_messages=False,
        summarizer=CallPlan(kind="function", ref="sum-up"),
        retriever=CallPlan(kind="function", ref="find"),
        top_k=3,
    )
    assert (root.skills, root.append_mode) == (("style",), "user_only")
    assert root.tools == ("search", "fetch")
    assert root.tool_permissions["denied_domains"] == ["bad.example.com"]


def test_guardrails_are_compiled_stage_by_stage() -> None:
    plan = whole()
    assert plan.agents[ROOT].guardrails == (
        GuardrailPlan(
            id="rude", stage="input", type="keyword", action="warn", config={"keywords": ["damn"]}
        ),
        GuardrailPlan(
            id="numbers",
            stage="output",
            type="regex",
            action="revise",
            config={"patterns": [r"\d{16}"]},
        ),
        GuardrailPlan(
            id="polite",
            stage="tool",
            type="function",
            action="redact",
            target="search",
            call=CallPlan(kind="function", ref="check"),
            config={"level": 2},
        ),
        GuardrailPlan(
            id="judge", stage="workflow", type="agent", call=CallPlan(kind="agent", ref="helper")
        ),
    )
    assert plan.agents["helper"].memory.summarizer == CallPlan(kind="agent", ref="other")


def test_tools_servers_and_skills_are_compiled() -> None:
    plan = whole()
    tools = plan.tools
    assert (tools["fetch"].mcp_server, tools["fetch"].mcp_name) == ("web", "get")
    assert (tools["read"].mcp_server, tools["read"].mcp_name) == ("files", "read")
    assert tools["ask-helper"].agent == "helper"
    assert plan.mcp_servers["files"] == McpServerPlan(
        name="files",
        transport="stdio",
        settings={
            "command": "mcp-files",
            "args": ["--read-only"],
            "env": {"LANG": "C"},
            "cwd": "data",
        },
    )
    assert plan.skills == {
        "style": SkillPlan(name="style", source="skills/style", description="How we write.")
    }


def test_workflows_are_compiled_with_branches_selectors_and_rejections() -> None:
    flows = whole().workflows
    main = {step.id: step for step in flows[ROOT].steps}
    assert (main["ask"].on_reject, main["ask"].goto_ref) == ("goto", "first")
    assert (main["guard"].kind, main["guard"].ref) == ("guardrail", "helper")
    paths = flows["paths"]
    assert (paths.merge, paths.max_steps, paths.step("a").fan_out) == ("last", 20, True)
    assert paths.step("d").join == "all"
    # The step's own word, the person's, and the default.
    assert [paths.step(name).on_reject for name in "bce"] == ["fail", "fail", "continue"]
    relay = flows["relay"]
    assert (relay.selector, relay.selector_ref) == ("agent", "chair")
    assert relay.selector_sequence == ("other", "helper")
    talks = flows["talks"]
    assert talks.stop is not None
    assert (talks.selector, talks.rounds, talks.stop.value) == ("round_robin", 2, "DONE")
    assert flows["together"].merge == "last"
    assert whole().agents["panel"].as_agent == "talks"
    boss = whole().humans["boss"]
    assert (boss.default_on_timeout, boss.response_role) == (True, "user")


def test_a_condition_keeps_only_the_children_that_count() -> None:
    text = LANGUAGE.replace("{type: always}", "{type: always, conditions: [{type: never}]}")
    spec, _ = examine(load_text(text), Known(), gate=False)
    assert spec is not None
    assert plan_of(spec, Known()) == whole()


def test_the_order_of_declaration_does_not_matter() -> None:
    data = yaml.safe_load(LANGUAGE)

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            # The order of nodes is the order in which they are shown.
            keys = value if "fan_out" in value.get("a", ()) else reversed(value)
            return {key: turned(value[key]) for key in keys}
        return [turned(item) for item in value] if isinstance(value, list) else value

    spec, findings = examine(load_object(turned(data)), Known(), gate=False)
    assert spec is not None
    assert findings == []
    assert encode_plan(plan_of(spec, Known())) == encode_plan(whole())


def test_the_gate_names_what_this_release_does_not_run() -> None:
    found = {item.code for item in validate(load_text(LANGUAGE))}
    assert found == {
        "E_FEATURE_UNSUPPORTED",
        "E_STEP_KIND_UNSUPPORTED",
        "W_FIELD_IGNORED",
    }


# --- stored plans ---


def test_a_plan_without_later_fields_is_read_and_keeps_its_digest() -> None:
    """plan_1.json was written before the later fields came; its name in a store is its digest."""
    content = (HERE / "plan_1.json").read_bytes()
    plan = decode_plan(content)
    assert (plan.agents[ROOT].memory, plan.mcp_servers) == (MemoryPlan(), {})
    digest, again = encode_plan(plan)
    assert again == content
    assert digest == "aed9f72e0d050f2816df2db30804e93a6d5f3bbe6ab6fd946f80de9f4f4492d6"


def test_a_plan_with_every_field_keeps_its_digest() -> None:
    digest, content = encode_plan(whole())
    assert decode_plan(content) == whole()
    assert digest == "d8a74484353e7baf960ae48e523251f79d9e0ea830228236e97d2faccd71f4c4"


# The domain is pure Python; a bare interpreter reads it without what the package's root imports.
PROGRAM = """
import sys, types
package = types.ModuleType("kneo_grpc")
package.__path__ = [sys.argv[1]]
sys.modules["kneo_grpc"] = package
spec = types.ModuleType("kneo_grpc.spec")
spec.__path__ = [sys.argv[1] + "/spec"]
sys.modules["kneo_grpc.spec"] = spec
from kneo_grpc.domain.plan_codec import decode_plan, encode_plan
from kneo_grpc.spec.scalars import canonical_number, plain
content = sys.stdin.buffer.read()
digest, again = encode_plan(decode_plan(content))
numbers = [plain("4.0"), plain("1e3"), plain("0.1"), plain("0x1F"), canonical_number(1e15)]
print(digest, again == content, numbers)
"""


def interpreters() -> list[str]:
    others = sorted(Path.home().glob(".pyenv/versions/3.1[1-9].*/bin/python"))
    return [sys.executable, *(str(path) for path in others)]


@pytest.mark.parametrize("python", interpreters())
def test_every_interpreter_writes_the_same_bytes_under_two_hash_seeds(python: str) -> None:
    digest, content = encode_plan(whole())
    for seed in ("1", "2"):
        done = subprocess.run(
            [python, "-c", PROGRAM, str(ROOT_FOLDER / "kneo_grpc")],
            input=content,
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": ""},
        )
        assert done.stdout.decode() == f"{digest} True [4, 1000, 0.1, 31, 1000000000000000]\n"


# --- reference ---


def test_the_reference_and_the_schema_in_docs_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT_FOLDER / "scripts" / "generate_spec_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_reference_has_every_field_and_every_code() -> None:
    text = (ROOT_FOLDER / "docs" / "spec-reference.md").read_text()
    chapters = dict(
        part.partition("\n")[::2] for part in re.split(r"^##? ", text, flags=re.MULTILINE)
    )
    shapes = {"Spec": SCHEMA, **SCHEMA["$defs"]}
    for name, shape in shapes.items():
        missing = [field for field in shape["properties"] if f"| `{field}` |" not in chapters[name]]
        assert missing == [], name
    assert [code for code in codes.CODES if f"| `{code}` | " not in text] == []


def test_every_field_is_described() -> None:
    shapes = {"Spec": SCHEMA, **SCHEMA["$defs"]}
    bare = [
        f"{name}.{field}"
        for name, shape in shapes.items()
        for field, part in shape["properties"].items()
        if not part.get("description")
    ]
    assert bare == []


def test_every_code_in_the_source_is_in_the_table_and_the_reverse() -> None:
    named: set[str] = set()
    for path in (ROOT_FOLDER / "kneo_grpc").rglob("*.py"):
        if path.stem.startswith("codes") or "_gen" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= {node.value} if CODE.fullmatch(node.value) else set()
    # Codes that are put together: the kind of a step, the noun of an import, the end of a pair.
    stems = {"E_STEP_FALLBACK", "E_GRAPH_NODE_FALLBACK"}
    named |= {f"{stem}_{end}" for stem in stems for end in ("REF", "UNKNOWN")}
    kinds = ("AGENT", "FUNCTION", "HUMAN", "WORKFLOW", "GUARDRAIL")
    named |= {f"E_STEP_{kind}_REF" for kind in kinds}
    named |= {"E_UNSAFE_TOOL_IMPORT", "E_UNSAFE_FUNCTION_IMPORT"}
    assert named - stems == set(codes.CODES)


def test_every_code_is_named_by_a_test() -> None:
    tests = ROOT_FOLDER / "tests"
    files = [*tests.rglob("test_*.py"), *tests.rglob("wrong/*.txt")]
    named = {
        code for path in files if path != Path(__file__) for code in CODE.findall(path.read_text())
    }
    # Every fault of a project's configuration has this one; its tests look at the places.
    assert set(codes.CODES) - named - {"E_CONFIG"} == set()


def test_a_code_has_its_severity_a_meaning_and_a_way_to_mend_it() -> None:
    for code in codes.CODES.values():
        assert code.severity.value[0].upper() == code.name[0]
        assert code.meaning.endswith(".")
        assert code.mend.endswith(".")
    assert set(codes.OLD_NAMES.values()) <= set(codes.CODES)
    assert not set(codes.OLD_NAMES) & set(codes.CODES)


def test_the_example_in_the_reference_is_right() -> None:
    text = (ROOT_FOLDER / "docs" / "spec-reference.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    (example,) = [block for block in blocks if "version:" in block]
    assert validate(load_text(example)) == []


def test_nothing_in_the_schema_can_be_changed_from_outside() -> None:
    json_schema()["$defs"].clear()
    assert json.dumps(json_schema()) == json.dumps(SCHEMA)
