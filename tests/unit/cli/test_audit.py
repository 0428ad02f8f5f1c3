"""kneo audit."""

import json

import pytest

from kneo_grpc.domain.errors import Forbidden

EVENT = {
    "id": "audit_1",
    "event_type": "human.decision",
    "run_id": "run_1",
    "actor": "ann",
    "metadata": {"decision": "approved", "selected_option": None, "has_content": False},
    "created_at": "2030-01-01T00:00:00Z",
    "number": "7",
    "digest": "ab" * 32,
}
PAGE = {"events": [EVENT], "count": 1, "total": 2}
END = {"head_number": "9", "head_digest": "cd" * 32, "unsealed": 1}
WHOLE = {"valid": True, "checked": 9, "pruned": 2, "breaks": [], **END}
BROKEN = {
    **WHOLE,
    "valid": False,
    "breaks": [
        {"kind": "changed", "number": "3", "last_number": "3", "audit_id": "audit_3"},
        {"kind": "missing", "number": "5", "last_number": "8"},
        {"kind": "unsealed", "audit_id": "audit_9"},
    ],
}


def test_filters_are_passed_on(kneo, backend):
    backend.answers["list_audit_events"] = PAGE
    words = ["--event-type", "human.decision", "--actor", "ann", "--run-id", "run_1"]
    words += ["--created-after", "2030-01-01", "--limit", "1", "--offset", "3", "--json"]
    result = kneo("audit", "list", *words)
    assert (result.exit_code, json.loads(result.stdout)) == (0, PAGE)
    query = {
        "event_type": "human.decision",
        "actor": "ann",
        "run_id": "run_1",
        "created_after": "2030-01-01",
        "sort_order": "desc",
        "limit": 1,
        "offset": 3,
    }
    assert backend.calls == [("list_audit_events", (query,))]


def test_people_get_a_table_and_how_much_there_is(kneo, backend):
    backend.answers["list_audit_events"] = PAGE
    lines = kneo("audit", "list").stdout.splitlines()
    assert lines[0].split() == ["number", "when", "what", "who", "run", "facts"]
    assert lines[1].split()[:5] == ["7", "2030-01-01T00:00:00Z", "human.decision", "ann", "run_1"]
    assert lines[1].split()[5:] == ["decision=approved,", "has_content=no"]
    assert lines[-1] == "1 of 2 events; --limit and --offset show others."


def test_a_whole_trail_exits_with_zero_and_tells_its_head(kneo, backend):
    backend.answers["verify_audit"] = WHOLE
    result = kneo("audit", "verify")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "cd" * 32 in result.stdout
    assert result.stdout.splitlines()[-1] == "The trail is whole."


def test_breaks_are_told_with_their_numbers_and_exit_with_one(kneo, backend):
    backend.answers["verify_audit"] = BROKEN
    result = kneo("audit", "verify")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "changed: number 3 audit_3",
        "missing: numbers 5 to 8",
        "unsealed: without a number audit_9",
        "error: the audit trail is not what was written",
    ]
    result = kneo("audit", "verify", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {**BROKEN, "breaks_total": 3}


def test_parts_are_put_together(kneo, monkeypatch, backend):
    parts = {
        None: {**WHOLE, "phase": "chain", "checked": 5, "pruned": 1, "next_page_token": "A"},
        "A": {**BROKEN, "phase": "chain", "checked": 4, "pruned": 0, "next_page_token": "B"},
        "B": {**WHOLE, "phase": "records", "checked": 9, "pruned": 0},
    }

    async def verify_audit(query):
        return parts[query.get("page_token")]

    monkeypatch.setattr(backend, "verify_audit", verify_audit, raising=False)
    found = json.loads(kneo("audit", "verify", "--json").stdout)
    assert found == {**BROKEN, "checked": 9, "pruned": 1, "breaks_total": 3}


def test_a_page_token_is_passed_on_and_the_next_one_told(kneo, backend):
    backend.answers["list_audit_events"] = {**PAGE, "next_page_token": "t0ken"}
    result = kneo("audit", "list", "--page-token", "before", "--limit", "1")
    assert backend.calls[0][1][0]["page_token"] == "before"
    assert result.stdout.splitlines()[-1] == "The next page: --page-token t0ken"


@pytest.mark.parametrize("word", ["list", "verify"])
def test_a_failure_is_told_on_stderr(kneo, backend, word):
    answer = Forbidden("no", required_scope="audit:read")
    backend.answers |= {"list_audit_events": answer, "verify_audit": answer}
    result = kneo("audit", word)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: no (forbidden)\n  required scope: audit:read\n"
