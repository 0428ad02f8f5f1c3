"""The OpenAPI document tells which calls take an idempotency key, on each of their routes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import kneo_grpc
from kneo_grpc.client import methods
from kneo_grpc.client.methods import Method

DOCUMENT = Path(kneo_grpc.__file__).parent / "_gen" / "openapi.json"


def operations() -> dict[str, list[dict[str, Any]]]:
    """By rpc: its operations, one for each route."""
    found: dict[str, list[dict[str, Any]]] = {}
    for verbs in json.loads(DOCUMENT.read_text())["paths"].values():
        for operation in verbs.values():
            name = re.sub(r"_\d+$", "", operation["operationId"])
            found.setdefault(name, []).append(operation)
    return found


OPERATIONS = operations()


@pytest.mark.parametrize("method", methods.ALL, ids=lambda method: method.rpc)
def test_a_key_is_a_parameter_where_the_call_takes_one(method: Method) -> None:
    assert len(OPERATIONS[method.rpc]) >= 2
    for operation in OPERATIONS[method.rpc]:
        headers = [item["name"] for item in operation["parameters"] if item["in"] == "header"]
        assert headers == (["Idempotency-Key"] if method.keyed else [])
        assert ("idempotency-key" in operation["description"]) is method.keyed
        told = json.dumps(operation["responses"].get("409", {}))
        assert ("idempotency_key_conflict" in told) is method.keyed
        told = json.dumps(operation["responses"]["400"])
        assert ("invalid_idempotency_key" in told) is method.keyed


def test_the_calls_that_take_a_key_are_those_that_start_end_or_change_something_once() -> None:
    assert {method.rpc for method in methods.ALL if method.keyed} == {
        "CreateRun",
        "RunSpec",
        "ForkRun",
        "ContinueRun",
        "CancelRun",
        "ResumeHumanTask",
        "PutEnvironmentPolicy",
    }
