"""What the service tells of itself, and whether its HTTP interface is as it tells."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from prometheus_client.parser import text_string_to_metric_families

from kneo_grpc.api.server import SERVICES
from kneo_grpc.client import Client
from tests.gateway.support_service import RunningService, project, serving
from tests.processes import kneo

ADMIN = {"authorization": "Bearer admin-token"}
# For each of some sixty routes; `make interface` asks for 48, which is more than 2,000 in all.
CASES = os.environ.get("KNEO_TEST_INTERFACE_CASES", "3")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)
SPEC = {"input": "hi", "spec_path": "examples/smoke_human_workflow.yaml"}


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


def test_no_answer_is_other_than_the_document_tells(
    service: RunningService, tmp_path: Path
) -> None:
    # Without /v1 the same rpcs answer; few cases go to half of the routes.
    some = () if int(CASES) > 8 else ("--include-path-regex", "^/v1/")
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run"),
            *(f"{service.url}/openapi.json", "-H", f"Authorization: {ADMIN['authorization']}"),
            *("--checks", CHECKS, "--phases", "fuzzing", "--mode", "all", "-n", CASES, *some),
            *("--generation-deterministic", "--continue-on-failure", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    made = re.search(r"([\d,]+) generated", done.stdout)
    assert made is not None, done.stdout[-2000:]
    # Some operations have less than so many cases to make.
    assert int(made[1].replace(",", "")) >= min(2_000, 10 * int(CASES))
    print(done.stdout[-400:])
    assert "Test cases:" in done.stdout


def _routes() -> Iterator[tuple[str, str]]:
    for service in map(descriptor_pool.Default().FindServiceByName, SERVICES):
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            for item in (rule, *rule.additional_bindings):
                verb = item.WhichOneof("pattern")
                yield getattr(item, verb), verb


def test_the_document_has_every_route_with_its_fields(service: RunningService) -> None:
    answer = httpx.get(f"{service.url}/openapi.json", headers=ADMIN)
    assert answer.headers["content-type"] == "application/json"
    document: Any = answer.json()
    routes = {(path, verb) for path, verbs in document["paths"].items() for verb in verbs}
    assert routes == set(_routes())
    create = document["paths"]["/v1/runs"]["post"]
    body = create["requestBody"]["content"]["application/json"]["schema"]
    assert body["additionalProperties"] is False
    assert body["required"] == ["input"]
    assert body["properties"]["session_id"]["description"] != ""
    assert create["x-required-scope"] == "runs:write"
    assert create["responses"]["401"] == {"$ref": "#/components/responses/E401"}
    assert "spec_invalid" in create["responses"]["400"]["description"]
    assert document["paths"]["/livez"]["get"]["security"] == []
    with Client(service.url, api_key="admin-token") as client:
        assert client.openapi() == document


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/openapi.json", "/metrics", "/v1/metrics"])
def test_strangers_learn_nothing(service: RunningService, path: str) -> None:
    assert httpx.get(f"{service.url}{path}").status_code == 401
    viewer = {"authorization": "Bearer viewer-token"}
    assert httpx.get(f"{service.url}{path}", headers=viewer).status_code == 200


def _counts(service: RunningService) -> dict[str, float]:
    answer = httpx.get(f"{service.url}/metrics", headers=ADMIN)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_what_happens_to_runs(service: RunningService) -> None:
    before = _counts(service)
    created = httpx.post(f"{service.url}/v1/runs", headers=ADMIN, json=SPEC).json()
    httpx.post(
        f"{service.url}/v1/human-tasks/{created['continuation_id']}/resume",
        headers=ADMIN,
        json={
            "request_id": created["metadata"]["pending_human_request"]["id"],
            "decision": "approved",
        },
    ).raise_for_status()
    after = _counts(service)
    changes = {name: after[name] - before[name] for name in after if name.startswith("kneo_")}
    assert changes["kneo_runs_started_total"] == changes["kneo_runs_completed_total"] == 1
    assert changes["kneo_runs_failed_total"] == changes["kneo_runs_rejected_total"] == 0
    assert {"kneo_runs_queued", "kneo_runs_running"} <= set(after)
    assert after["kneo_worker_count"] == 1
    assert after["process_resident_memory_bytes"] > 0


@pytest.mark.parametrize("scheme", ["http", "grpc", None])
def test_the_command_prints_both(
    service: RunningService, scheme: str | None, tmp_path: Path
) -> None:
    told = {"KNEO_SERV_API_KEY": "viewer-token"}
    url = ("--service-url", f"{scheme}://127.0.0.1:{service.port}") if scheme else ("--local",)
    done = kneo("service", "metrics", *url, folder=tmp_path, **told)
    assert "kneo_runs_started_total" in done.stdout, done.stderr
    done = kneo("service", "openapi", *url, folder=tmp_path, **told)
    document = httpx.get(f"{service.url}/openapi.json", headers=ADMIN).json()
    assert json.loads(done.stdout) == document, done.stderr
