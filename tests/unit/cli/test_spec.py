"""kneo spec."""

import json

import pytest

WARNING = {"code": "W_X", "severity": "warning", "message": "odd", "path": "agent"}
ERROR = {
    "code": "E_UNKNOWN_TOOL",
    "severity": "error",
    "message": "no tool nope",
    "path": "agent.tools.include[0]",
}


def test_a_valid_spec_is_told_with_its_warnings(kneo, backend, spec_path):
    backend.answers["validate_spec"] = {"valid": True, "diagnostics": [{**WARNING, "line": 2}]}
    result = kneo("spec", "validate", str(spec_path))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{spec_path}:2:1: warning W_X odd",
        f"{spec_path} is valid.",
    ]
    assert backend.calls == [("validate_spec", ({"spec_path": str(spec_path)},))]


@pytest.mark.parametrize(
    ("findings", "counted"), [([ERROR], "1 error"), ([ERROR, ERROR, WARNING], "2 errors")]
)
def test_an_invalid_spec_exits_with_1(kneo, backend, spec_path, findings, counted):
    backend.answers["validate_spec"] = {"valid": False, "diagnostics": findings}
    result = kneo("spec", "validate", str(spec_path))
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == len(findings)
    assert result.stderr == f"error: {spec_path} has {counted} (spec_invalid)\n"


@pytest.mark.parametrize(("valid", "code"), [(True, 0), (False, 1)])
def test_json_is_the_answer_as_it_came(kneo, backend, spec_path, valid, code):
    answer = {"valid": valid, "diagnostics": [WARNING]}
    backend.answers["validate_spec"] = answer
    result = kneo("spec", "validate", str(spec_path), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (code, answer)


def test_a_service_gets_the_spec_itself_and_its_findings_get_their_lines(kneo, backend, spec_path):
    backend.answers["validate_spec"] = {"valid": False, "diagnostics": [ERROR]}
    result = kneo("spec", "validate", str(spec_path), "--service-url", "http://localhost:1")
    ((_, (body,)),) = backend.calls
    assert body["spec"]["agent"]["tools"] == {"include": ["nope"]}
    assert result.stdout.startswith(f"{spec_path}:5:15: error E_UNKNOWN_TOOL no tool nope")


def test_a_spec_can_be_piped_in(kneo, backend):
    backend.answers["validate_spec"] = {"valid": True, "diagnostics": []}
    result = kneo("spec", "validate", input="version: v1\n")
    assert (result.exit_code, result.stdout) == (0, "<stdin> is valid.\n")
    assert backend.calls == [("validate_spec", ({"spec": {"version": "v1"}},))]


def test_what_is_no_yaml_never_reaches_the_service(kneo, backend, spec_path):
    spec_path.write_text("a: [1\nb: 2\n")
    result = kneo("spec", "validate", str(spec_path), "--service-url", "http://localhost:1")
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.endswith("(spec_invalid)")
    assert second.startswith(f"{spec_path}:2:")
    assert backend.calls == []


def test_a_missing_file_is_wrong_usage(kneo, backend):
    assert kneo("spec", "validate", "missing.yaml").exit_code == 2


def test_findings_come_in_the_order_of_the_file(kneo, backend, spec_path):
    found = [
        {"code": f"W_{line}", "severity": "warning", "message": "m", **place}
        for line, place in (
            (10, {"line": 10, "column": 1}),
            (9, {"line": 9, "column": 2}),
            (0, {}),
            (8, {"line": 9, "column": 1}),
        )
    ]
    for given in (found, found[::-1]):
        backend.answers["validate_spec"] = {"valid": True, "diagnostics": given}
        result = kneo("spec", "validate", str(spec_path))
        codes = [word for word in result.output.split() if word.startswith("W_")]
        assert codes == ["W_8", "W_9", "W_10", "W_0"]
