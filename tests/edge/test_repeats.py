"""Repeated calls through Envoy: the answer says that it is the first call's."""

from typing import Any

import httpx

from tests.edge.conftest import Edge

FUNCTION = {
    "version": "v1",
    "agent": {"name": "root", "model": {"provider": "dummy", "name": "dummy"}},
    "workflow": {
        "type": "sequential",
        "name": "works",
        "steps": [{"id": "answer", "kind": "agent", "ref": "root"}],
    },
}


def post(edge: Edge, path: str, key: str, body: Any = None, who: str = "operator") -> Any:
    headers = {"authorization": f"Bearer {who}-key", "idempotency-key": key}
    return httpx.post(f"{edge.url}/v1{path}", json=body or {}, headers=headers, timeout=20)


def check_repeated(first: Any, second: Any, status: int) -> None:
    assert (first.status_code, second.status_code) == (status, status), (first.text, second.text)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.json() == first.json()


def test_each_call_that_takes_a_key_tells_a_repeat(edge: Edge) -> None:
    asks = {"input": "hi", "spec_path": "asks.yaml"}
    created = [post(edge, "/runs", "create", asks) for _ in range(2)]
    check_repeated(*created, status=202)
    run = created[0].json()
    decision = {
        "request_id": run["metadata"]["pending_human_request"]["id"],
        "decision": "approved",
    }
    path = f"/human-tasks/{run['continuation_id']}/resume"
    resumed = [post(edge, path, "resume", decision, "reviewer") for _ in range(2)]
    check_repeated(*resumed, status=200)
    executed = [
        post(edge, "/specs/run", "run", {"input": "hi", "spec": FUNCTION}) for _ in range(2)
    ]
    check_repeated(*executed, status=200)
    forked = [
        post(edge, f"/runs/{run['run_id']}/fork", "fork", {"checkpoint_sequence": 1})
        for _ in range(2)
    ]
    check_repeated(*forked, status=202)
    other = post(edge, "/runs", "other", asks).json()["run_id"]
    cancelled = [post(edge, f"/runs/{other}/cancel", "cancel") for _ in range(2)]
    check_repeated(*cancelled, status=200)


def test_a_policy_that_is_put_again_is_told(edge: Edge) -> None:
    headers = {"authorization": "Bearer operator-key", "idempotency-key": "put"}
    url = f"{edge.url}/v1/policies/environment/of-repeats"
    body = {"fail_on_warnings": True}
    answers = [httpx.put(url, json=body, headers=headers, timeout=20) for _ in range(2)]
    check_repeated(*answers, status=200)


def test_another_request_with_the_key_is_told(edge: Edge) -> None:
    asks = {"input": "hi", "spec_path": "asks.yaml"}
    assert post(edge, "/runs", "mine", asks).status_code == 202
    other = post(edge, "/runs", "mine", {**asks, "input": "ho"})
    assert (other.status_code, other.json()["error"]) == (409, "idempotency_key_conflict")
    theirs = post(edge, "/runs", "mine", {**asks, "input": "ho"}, who="service")
    assert (theirs.status_code, "idempotency-replayed" in theirs.headers) == (202, False)


def test_a_key_that_is_too_long_is_told(edge: Edge) -> None:
    for key in ("k" * 257, "k" * 5_000):
        answer = post(edge, "/runs", key, {"input": "hi", "spec_path": "asks.yaml"})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_idempotency_key")
