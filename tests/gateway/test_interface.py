"""What the service tells of its own HTTP interface, and whether it keeps to it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.checks import CheckContext

from tests.gateway.support_service import RunningService, project, serving

KEY = {"authorization": "Bearer admin-token"}
# `make interface` asks for 2,000.
CASES = int(os.environ.get("KNEO_TEST_INTERFACE_CASES", "150"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = project(tmp_path_factory.mktemp("interface"))
    settings = {
        "KNEO_SERV_ADMIN_API_KEY": "admin-token",
        "KNEO_SERV_SYNC_WAIT_SECONDS": "5",
        "KNEO_SERV_SHUTDOWN_TIMEOUT_SECONDS": "2",
    }
    with serving(folder, **settings) as running:
        yield running


def document(service: RunningService) -> Any:
    answer = httpx.get(f"{service.url}/openapi.json", headers=KEY)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_no_case_brings_a_status_that_the_document_does_not_tell(service: RunningService) -> None:
    schema = schemathesis.openapi.from_dict(document(service))
    schema.config.update(base_url=service.url)
    operations = [found.ok() for found in schema.get_all_operations()]
    each = max(1, CASES // len(operations))
    told = {}
    with httpx.Client() as http:
        for operation in operations:
            told[operation.label] = _statuses(operation, each, http)
    # Not everything may have been refused.
    assert sum(1 for statuses in told.values() if statuses & {200, 202}) > len(told) / 4, told


def _statuses(operation: Any, cases: int, http: httpx.Client) -> set[int]:
    """Ask an operation so often; return the statuses that came."""
    found: set[int] = set()
    both = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE) | (
        operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    )
    return found


def test_strangers_learn_nothing(service: RunningService) -> None:
    for path in ("/openapi.json", "/v1/openapi.json", "/metrics", "/v1/metrics"):
        assert httpx.get(f"{service.url}{path}").status_code == 401
