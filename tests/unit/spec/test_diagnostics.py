"""Every code: raised by a wrong spec, at the right place.

The wrong specs stand in wrong/*.txt. A comment `#! CODE ...` marks the line that each of these
findings must point to; there must be no others. A case starts with dashes and its name; {agent}
stands for a root agent that is right, {long} for a name of 129 characters.
"""

import re
from pathlib import Path

import pytest

from kneo_grpc.domain.diagnostic import Severity
from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.spec.codes import CODES
from kneo_grpc.spec.compile import compile_spec
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.validate import validate

AGENT = "agent: {name: root, model: {provider: dummy, name: dummy}}"


def cases() -> list[tuple[str, str]]:
    """Return (name, text) pairs."""
    found = []
    for table in sorted(Path(__file__).with_name("wrong").glob("*.txt")):
        for block in ("\n" + table.read_text()).split("\n--- ")[1:]:
            name, _, text = block.partition("\n")
            text = text.replace("{agent}", AGENT).replace("{long}", "x" * 129)
            found.append((f"{table.stem}: {name}", text.rstrip("\n") + "\n"))
    return found


CASES = cases()
REGISTERED = frozenset({"registered"})
CHAPTERS_OF_SPECS = (
    "Workflows",
    "People",
    "Agents",
    "Tools, servers, skills, functions",
    "This release",
)
# Policy reports give the first; the platform, which knows what may be imported, the other two.
ELSEWHERE = {
    "I_HUMAN_REVIEW_CONFIGURED",
    "E_IMPORT_NOT_ALLOWED",
    "E_IMPORT_MISSING",
    "E_SKILL_SOURCE",
}


def expected(text: str) -> list[tuple[str, int]]:
    return sorted(
        (code, number)
        for number, line in enumerate(text.splitlines(), start=1)
        for code in re.sub(r"^.*?(?:#! |$)", "", line).split()
    )


@pytest.mark.parametrize(("name", "text"), CASES, ids=[name for name, _ in CASES])
def test_a_wrong_spec_gets_exactly_these_findings_at_these_lines(name: str, text: str) -> None:
    found = validate(load_text(text), known_tools=REGISTERED)
    assert sorted((item.code, item.line) for item in found) == expected(text)
    assert all(item.message and item.severity is CODES[item.code].severity for item in found)


@pytest.mark.parametrize(("name", "text"), CASES, ids=[name for name, _ in CASES])
def test_line_and_column_point_at_what_the_path_names(name: str, text: str) -> None:
    document = load_text(text)
    legacy = document.data.get("version") is None
    lines = text.splitlines()
    for item in validate(document, known_tools=REGISTERED):
        assert item.path is not None
        assert item.line is not None
        assert item.column is not None
        before, there = (
            lines[item.line - 1][: item.column - 1],
            lines[item.line - 1][item.column - 1 :],
        )
        assert not there.startswith((" ", "#")), item
        assert before == "" or before[-1] in " {[", item
        # A key of the path, or an item of a list in it. What was moved into its new place, or
        # came by `<<`, stands under another key.
        word = re.match(r"""["']?([^"':{]*)["']?:""", there)
        missing = item.message.endswith("is required")
        if word is not None and not legacy and not missing and word[1] not in ("<<", ""):
            assert word[1] in re.findall(r"[^.\[\]]+", item.path) or "[" in item.path, item


@pytest.mark.parametrize(("name", "text"), CASES, ids=[name for name, _ in CASES])
def test_compiling_raises_exactly_where_validation_finds_an_error(name: str, text: str) -> None:
    document = load_object(load_text(text).data)
    found = validate(document, known_tools=REGISTERED)
    errors = [item for item in found if item.severity is Severity.ERROR]
    if not errors:
        assert compile_spec(document, known_tools=REGISTERED).diagnostics == tuple(found)
        return
    with pytest.raises(SpecInvalid) as caught:
        compile_spec(document, known_tools=REGISTERED)
    listed = caught.value.details["diagnostics"]
    assert [item["code"] for item in listed] == [item.code for item in found]
    assert listed[0]["severity"] == "error"
    assert errors[0].message in caught.value.message
    assert all(None not in item.values() and "line" not in item for item in listed)


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 150
    assert len({name for name, _ in CASES}) == len(CASES)


def test_every_code_of_the_language_has_a_case() -> None:
    language = {name for name, code in CODES.items() if code.chapter in CHAPTERS_OF_SPECS}
    shown = {code for _, text in CASES for code, _ in expected(text)}
    assert language - shown == ELSEWHERE


def test_errors_come_first_then_the_order_of_the_document() -> None:
    text = next(text for name, text in CASES if name == "agents: fields without effect")
    found = validate(load_text(text.replace("append_mode: never}", "append_mode: never}\n  x: 1")))
    assert [item.code for item in found] == ["E_SCHEMA"]
    found = validate(load_text(text + "    g: {implementation: os.x}\n"))
    assert found[0].code == "E_UNSAFE_FUNCTION_IMPORT"
    lines = [item.line for item in found[1:]]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("  modle: x", "did you mean `model`?"),
        ("  strategy: reakt", "did you mean `react`?"),
        ("  tools: [web_serch]", "did you mean `web_search`?"),
        ("  name2: 5", "did you mean `name`?"),
        ("  system_prompt: 5", "put it in quotes"),
    ],
)
def test_a_suggestion_says_how_to_mend_it(line: str, suggestion: str) -> None:
    text = f"version: v1\nagent:\n  name: root\n{line}\n"
    found = validate(load_text(text), known_tools={"web_search"})
    assert found[0].suggestion == suggestion
    assert (found[0].line, found[0].column) in {(4, 3), (4, 11)}


def test_a_finding_without_place_names_the_whole_document() -> None:
    (found,) = validate(load_text("version: v1\n"))
    assert (found.code, found.path, found.line) == ("E_SCHEMA", "agent", 1)


def test_a_path_reads_as_people_write_it() -> None:
    text = next(text for name, text in CASES if name == "graphs: conditions")
    paths = {item.path for item in validate(load_text(text))}
    assert "workflow.edges[5].condition.condition.conditions[1].value" in paths


def test_a_spec_full_of_faults_is_answered_in_brief() -> None:
    steps = [{"id": f"s{i}", "kind": "agent", "ref": f"r{i}"} for i in range(2000)]
    data = {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {"type": "sequential", "steps": steps},
    }
    found = validate(load_object(data))
    assert len(found) == 1001
    assert found[-1].code == "I_FINDINGS_TRUNCATED"
    assert "1000" in found[-1].message


def test_workflows_nested_too_deep_are_refused() -> None:
    def nested(levels: int) -> list[str]:
        flows = {
            f"w{i}": {
                "type": "sequential",
                "steps": [{"id": "a", "kind": "workflow", "ref": f"w{i + 1}"}],
            }
            for i in range(levels - 1)
        }
        flows[f"w{levels - 1}"] = {"type": "sequential", "steps": ["root"]}
        data = {"version": "v1", "agent": {"name": "root"}, "components": {"workflows": flows}}
        return [item.code for item in validate(load_object(data))]

    assert nested(16) == []
    assert nested(17) == ["E_LIMIT"]
    assert nested(400) == ["E_LIMIT"]
