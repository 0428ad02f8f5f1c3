"""The service as its operator starts it, behind its Envoy: secrets go in by every way that HTTP
has, and neither an answer nor a log line shows one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.canaries import Canaries
from tests.gateway.support_service import RunningService, project, serving
from tests.processes import kneo

OPERATOR = {"authorization": "Bearer operator-token"}
PASSWORD = "Tr0ub4dor-and-3"
SIGNING_KEY = "a-signing-key-of-ours"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("redaction"))


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[RunningService]:
    secrets = {"KNEO_SERV_SPEC_SIGNING_KEY": SIGNING_KEY, "DB_PASSWORD": PASSWORD}
    with serving(folder, **secrets) as running:
        yield running


def log_of(folder: Path, service: RunningService) -> bytes:
    return (folder / f"service-{service.port}.log").read_bytes()


def asked(canaries: Canaries) -> Iterator[dict[str, Any]]:
    """Requests with secrets in their path, query, headers and body, well and badly formed."""
    word, text, data = canaries.word, canaries.text, canaries.data
    spec = {"spec_path": "examples/smoke_human_workflow.yaml"}
    create = {"method": "POST", "url": "/v1/runs"}
    for _ in range(7):
        yield {**create, "json": {**spec, "input": text(), "metadata": data()}}
        yield {**create, "json": {**spec, "input": text(), "session_id": word()}}
        yield {**create, "json": {"spec_path": text(), "input": "x"}}
        yield {**create, "json": {"spec": {**data(), "version": "v1"}, "input": "x"}}
        yield {**create, "json": {**spec, "input": {word(): text()}}}
        yield {**create, "json": {**spec, "input": [text()]}}
        yield {**create, "json": {**spec, "input": "x", word(): text()}}
        yield {**create, "json": {**spec, "input": "x", "metadata": text()}}
        yield {**create, "json": {**spec, "input": "x", "timeout_seconds": text()}}
        yield {**create, "json": {**spec, "input": "x", "target": text()}}
        yield {**create, "json": text()}
        yield {**create, "content": f'{{"input": "{text()}", {word()}', "headers": {
            "content-type": "application/json"}}  # fmt: skip
        yield {**create, "content": text(), "headers": {"content-type": "text/plain"}}
        yield {"method": "POST", "url": "/v1/specs/validate", "json": {"spec": data()}}
        yield {"method": "GET", "url": f"/v1/runs/{word()}"}
        yield {"method": "GET", "url": f"/{word()}/there"}
        yield {"method": "GET", "url": "/v1/runs", "params": {word(): "1"}}
        yield {"method": "GET", "url": "/v1/runs", "params": {"limit": text()}}
        yield {"method": "GET", "url": "/v1/runs", "params": {"status": text()}}
        yield {"method": "GET", "url": "/v1/runs", "params": {"api_key": word()}}
        for name in ("x-request-id", "idempotency-key", "user-agent", "x-kneo-api-key", "cookie"):
            for value in (word(), text()):
                yield {**create, "json": {**spec, "input": "x"}, "headers": {name: value}}
        yield {"method": "DELETE", "url": f"/v1/runs/{word()}", "headers": {"x-request-id": text()}}
        yield {"method": "GET", "url": "/v1/runs/x", "headers": {"authorization": text()}}


def test_nothing_that_comes_in_through_the_gateway_comes_out_again(service, folder) -> None:
    canaries = Canaries(3)
    said, statuses = [], set()
    with httpx.Client(base_url=service.url, timeout=20) as http:
        for request in asked(canaries):
            headers = {**OPERATOR, **request.pop("headers", {})}
            answer = http.request(**request, headers=headers)
            statuses.add(answer.status_code)
            said.append(answer.content)
            said += [value for pair in answer.headers.raw for value in pair]
        for path in ("/v1/runs?limit=1000", "/v1/human-tasks?limit=1000"):
            said.append(http.get(path, headers=OPERATOR).content)
    assert statuses >= {200, 202, 400, 401, 404, 405, 415, 422}
    assert len(canaries.cores) > 300
    log = log_of(folder, service)
    assert log.count(b"http_request") > 100
    assert canaries.escaped(b"\n".join(said)) == {}
    assert canaries.escaped(log) == {}


@pytest.mark.parametrize("name", ["check-1", "01HZX3QK4V7J8M2N5P6R9S0TWY", "a@b/c+d=e", "risk-7"])
def test_a_request_id_that_is_no_secret_comes_back(service, name: str) -> None:
    answer = httpx.get(f"{service.url}/v1/runs/x", headers={**OPERATOR, "x-request-id": name})
    assert (answer.headers["x-request-id"], answer.json()["request_id"]) == (name, name)


def test_a_request_id_that_is_a_secret_gives_way_to_one_of_ours(service) -> None:
    ids = set()
    for sent in ("sk-abcdefghijklmnopqr", "boss@corp.example", "c2stYWJjZGVmZ2hpamtsbW5vcHFy"):
        headers = {**OPERATOR, "x-request-id": sent}
        answer = httpx.get(f"{service.url}/v1/runs/x", headers=headers)
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
        ids.add(answer.headers["x-request-id"])
        assert sent not in ids
    assert len(ids) == 3


def test_the_service_s_own_secrets_stay_inside(service, folder) -> None:
    own = ("operator-token", SIGNING_KEY, PASSWORD)
    body = {"spec_path": "examples/smoke_human_workflow.yaml", "input": f"say {' '.join(own)}"}
    run = httpx.post(f"{service.url}/v1/runs", json=body, headers=OPERATOR).json()
    shown = httpx.get(f"{service.url}/v1/runs/{run['run_id']}", headers=OPERATOR).json()
    assert shown["input_text"] == "say [REDACTED] [REDACTED] [REDACTED]"
    log = log_of(folder, service).decode()
    assert not [secret for secret in own if secret in log]


def test_the_database_s_password_stays_inside(folder) -> None:
    url = f"postgresql://kneo:{PASSWORD}@127.0.0.1:9/kneo"
    env = {"KNEO_SERV_DATABASE_URL": url, "KNEO_SERV_API_KEYS": "a:key-of-a-or-b:admin"}
    (folder / ".kneo").mkdir(exist_ok=True)
    config = {"default_url": url, "headers": {"X-Api-Key": "hunter2"}}
    text = json.dumps({"project": {"name": "p"}, "service": config})
    (folder / ".kneo/config.yaml").write_text(text)
    told = [
        kneo(*words, folder=folder, **env)
        for words in (
            ("service", "serve", "--port", "9"),
            ("config", "show"),
            ("config", "show", "--json"),
            ("runs", "list", "--local"),
        )
    ]
    for done in told:
        text = done.stdout + done.stderr
        assert text
        assert not [s for s in (PASSWORD, "key-of-a-or-b", "hunter2") if s in text], done.args
    assert told[0].returncode == 1
    assert json.loads(told[2].stdout)["service"]["headers"] == {"X-Api-Key": "[REDACTED]"}
