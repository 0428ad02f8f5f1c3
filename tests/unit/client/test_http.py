"""The client over HTTP/JSON, before a server of the standard library."""

import socket
import ssl
import threading
import time

import pytest

from kneo_grpc.client import Client, ServiceError

ENVELOPE = {
    "error": "forbidden",
    "message": "Missing required scope: runs:read",
    "request_id": "req-7",
    "detail": {
        "error": "forbidden",
        "message": "Missing required scope: runs:read",
        "required_scope": "runs:read",
    },
}


def client_of(service, pauses=None, **options):
    pauses = [] if pauses is None else pauses
    return Client(f"http://127.0.0.1:{service.port}", sleep=pauses.append, **options)


def failure(client, act):
    with client, pytest.raises(ServiceError) as caught:
        act(client)
    return caught.value


def test_a_create_carries_body_key_and_idempotency_key(http_service, reply):
    service = http_service(reply({"run_id": "run_1", "status": "queued"}, status=202))
    with client_of(service, api_key="secret") as client:
        result = client.create_run({"input": "hi", "spec": {"a": 1}, "environment": None})
    assert result == {"run_id": "run_1", "status": "queued"}
    (request,) = service.requests
    assert (request.method, request.path) == ("POST", "/v1/runs")
    assert request.body == {"input": "hi", "spec": {"a": 1}}
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"].startswith("kneo-cli-")


def test_a_given_idempotency_key_is_sent(http_service, reply):
    service = http_service(reply())
    with client_of(service) as client:
        client.resume_human_task("cont_1", {"decision": "approved"}, idempotency_key="mine")
    (request,) = service.requests
    assert request.headers["idempotency-key"] == "mine"
    assert request.path == "/v1/human-tasks/cont_1/resume"
    assert request.body == {"decision": "approved"}


def test_a_continuation_carries_a_key_of_its_own(http_service, reply):
    service = http_service(reply({"run_id": "run_1", "status": "completed"}))
    with client_of(service) as client:
        client.continue_run("run_1")
        client.continue_run("run_1", idempotency_key="mine")
    made, given = service.requests
    assert (made.method, made.path, made.body) == ("POST", "/v1/runs/run_1/continue", {})
    assert made.headers["idempotency-key"].startswith("kneo-cli-")
    assert given.headers["idempotency-key"] == "mine"


def test_a_fork_carries_a_key_and_its_fields(http_service, reply):
    service = http_service(reply({"run_id": "run_2", "status": "completed"}))
    with client_of(service) as client:
        client.fork_run("run_1")
        client.fork_run("run_1", {"checkpoint_sequence": 2, "input": ""}, idempotency_key="mine")
    made, given = service.requests
    assert (made.method, made.path, made.body) == ("POST", "/v1/runs/run_1/fork", {})
    assert made.headers["idempotency-key"].startswith("kneo-cli-")
    assert given.body == {"checkpoint_sequence": 2, "input": ""}
    assert given.headers["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("act", "verb", "path"),
    [
        (
            lambda client: client.put_environment_policy("prod", {"enabled": False}),
            "PUT",
            "/v1/policies/environment/prod",
        ),
        (
            lambda client: client.preview_environment_policy("prod", {"enabled": False}),
            "POST",
            "/v1/policies/environment/prod/preview",
        ),
    ],
)
def test_a_policy_is_the_body_itself(http_service, reply, act, verb, path):
    service = http_service(reply())
    with client_of(service) as client:
        act(client)
    (request,) = service.requests
    assert (request.method, request.path) == (verb, path)
    assert request.body == {"enabled": False}
    assert ("idempotency-key" in request.headers) == (verb == "PUT")


@pytest.mark.parametrize(
    ("act", "verb", "path"),
    [
        (lambda client: client.replay("run_1"), "GET", "/v1/runs/run_1/replay"),
        (
            lambda client: client.checkpoint_diff("run_1"),
            "GET",
            "/v1/runs/run_1/checkpoints/diff",
        ),
        (
            lambda client: client.checkpoint_diff("run_1", {"from_sequence": 2}),
            "GET",
            "/v1/runs/run_1/checkpoints/diff?from_sequence=2",
        ),
        (lambda client: client.list_queue(), "GET", "/v1/queue"),
        (lambda client: client.list_queue({"limit": 5}), "GET", "/v1/queue?limit=5"),
        (lambda client: client.list_dead_letters(), "GET", "/v1/queue/dead"),
        (lambda client: client.requeue_run("run_1"), "POST", "/v1/queue/run_1/requeue"),
        (
            lambda client: client.prune_timed_out_runs(),
            "POST",
            "/v1/maintenance/prune-timed-out-runs",
        ),
        (
            lambda client: client.prune_expired_human_tasks(),
            "POST",
            "/v1/maintenance/prune-expired-human-tasks",
        ),
        (lambda client: client.prune_retention(), "POST", "/v1/maintenance/prune-retention"),
        (lambda client: client.run_graph("run_1"), "GET", "/v1/runs/run_1/graph"),
        (lambda client: client.run_policy_report("run_1"), "GET", "/v1/runs/run_1/policy-report"),
        (lambda client: client.list_environment_policies(), "GET", "/v1/policies/environment"),
        (
            lambda client: client.get_environment_policy("a/b"),
            "GET",
            "/v1/policies/environment/a%2Fb",
        ),
        (
            lambda client: client.list_credentials(
                {"providers": ["a", "b"], "include_service_tokens": False}
            ),
            "GET",
            "/v1/security/credentials?providers=a&providers=b&include_service_tokens=false",
        ),
        (lambda client: client.live(), "GET", "/v1/livez"),
        (lambda client: client.validate_spec({}), "POST", "/v1/specs/validate"),
        (lambda client: client.compile_spec({}), "POST", "/v1/specs/compile"),
        (lambda client: client.explain_spec({}), "POST", "/v1/specs/explain"),
        (lambda client: client.graph_spec({}), "POST", "/v1/specs/graph"),
        (lambda client: client.policy_report({}), "POST", "/v1/specs/policy-report"),
        (lambda client: client.list_skills(), "GET", "/v1/skills"),
        (lambda client: client.list_skills({"limit": 5}), "GET", "/v1/skills?limit=5"),
    ],
)
def test_each_call_takes_its_route_without_a_key(http_service, reply, act, verb, path):
    service = http_service(reply({"answer": 1}))
    with client_of(service) as client:
        assert act(client) == {"answer": 1}
    (request,) = service.requests
    assert (request.method, request.path) == (verb, path)
    assert request.body == ({} if verb == "POST" else None)
    assert "idempotency-key" not in request.headers


def test_reads_carry_no_idempotency_key_and_put_fields_into_path_and_query(http_service, reply):
    service = http_service(reply({"events": []}))
    with client_of(service) as client:
        client.trace("run/ä", {"limit": 5, "event_type": None})
    (request,) = service.requests
    assert request.path == "/v1/runs/run%2F%C3%A4/trace?limit=5"
    assert "idempotency-key" not in request.headers
    assert request.body is None


def test_a_path_before_v1_is_kept(http_service, reply):
    service = http_service(reply())
    with Client(f"http://127.0.0.1:{service.port}/kneo/") as client:
        client.health()
    assert service.requests[0].path == "/kneo/v1/healthz"


def test_the_error_envelope_is_read(http_service, reply):
    service = http_service(reply(ENVELOPE, status=403))
    error = failure(client_of(service), lambda client: client.get_run("run_1"))
    assert (error.reason, error.http_status, error.request_id) == ("forbidden", 403, "req-7")
    assert error.message == "Missing required scope: runs:read"
    assert error.details == {"required_scope": "runs:read"}
    assert len(service.requests) == 1


def test_an_error_page_of_a_proxy_is_told_by_its_status(http_service, reply):
    service = http_service(reply("<html>no</html>", status=502))
    error = failure(client_of(service), lambda client: client.get_run("run_1"))
    assert (error.reason, error.http_status) == ("http_502", 502)
    assert "502 Bad Gateway" in error.message


def test_a_redirect_is_not_followed(http_service, reply):
    elsewhere = http_service(reply())
    target = f"http://127.0.0.1:{elsewhere.port}/"
    service = http_service(reply("", status=307, headers={"Location": target}))
    error = failure(client_of(service, api_key="secret"), lambda client: client.health())
    assert error.reason == "http_307"
    assert target in error.message
    assert elsewhere.requests == []


def test_an_answer_that_is_no_object_is_refused(http_service, reply):
    service = http_service(reply("[1]"))
    error = failure(client_of(service), lambda client: client.health())
    assert error.reason == "invalid_response"


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_service_is_asked_again_with_the_same_key(http_service, reply, status):
    busy = reply({"error": "queue_full", "message": "full"}, status=status)
    service = http_service(busy, busy, reply({"run_id": "run_1"}))
    pauses = []
    with client_of(service, pauses) as client:
        assert client.create_run({"input": ""}) == {"run_id": "run_1"}
    assert pauses == [0.25, 0.5]
    keys = [request.headers["idempotency-key"] for request in service.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_two_creates_have_two_keys(http_service, reply):
    service = http_service(reply())
    with client_of(service) as client:
        client.create_run({"input": ""})
        client.create_run({"input": ""})
    first, second = (request.headers["idempotency-key"] for request in service.requests)
    assert first != second


def test_the_third_failure_is_the_last(http_service, reply):
    service = http_service(reply({"error": "queue_full", "message": "full"}, status=503))
    error = failure(client_of(service), lambda client: client.create_run({"input": ""}))
    assert error.reason == "queue_full"
    assert len(service.requests) == 3


@pytest.mark.parametrize(("asked", "waited"), [("7", 7.0), ("9999", 30.0), ("soon", 0.25)])
def test_retry_after_is_honoured_up_to_half_a_minute(http_service, reply, asked, waited):
    busy = reply({"error": "queue_full", "message": "full"}, 503, {"Retry-After": asked})
    service = http_service(busy, reply())
    pauses = []
    with client_of(service, pauses) as client:
        client.list_runs()
    assert pauses == [waited]


@pytest.mark.parametrize(
    ("reason", "status"), [("idempotency_key_in_progress", 409), ("resource_exhausted", 429)]
)
def test_who_is_told_when_to_come_again_does(http_service, reply, reason, status):
    busy = reply({"error": reason, "message": "wait"}, status, {"Retry-After": "1"})
    service = http_service(busy, reply({"run_id": "run_1"}))
    pauses = []
    with client_of(service, pauses) as client:
        assert client.create_run({"input": ""}) == {"run_id": "run_1"}
    assert pauses == [1.0]
    service = http_service(reply({"error": reason, "message": "never"}, status))
    error = failure(client_of(service), lambda client: client.create_run({"input": ""}))
    assert (error.reason, len(service.requests)) == (reason, 1)


@pytest.mark.parametrize("value", ["", ".", ".."])
@pytest.mark.parametrize(
    ("act", "field"),
    [
        (lambda client, value: client.get_run(value), "run_id"),
        (lambda client, value: client.cancel_run(value), "run_id"),
        (lambda client, value: client.get_human_task(value), "continuation_id"),
        (lambda client, value: client.put_environment_policy(value, {}), "environment"),
    ],
)
def test_a_name_that_makes_another_path_is_not_asked_for(http_service, reply, act, field, value):
    service = http_service(reply())
    error = failure(client_of(service), lambda client: act(client, value))
    assert (error.reason, error.http_status) == ("validation_error", 422)
    assert [fault["field"] for fault in error.details["fields"]] == [field]
    assert service.requests == []


def test_not_ready_is_an_answer(http_service, reply):
    checks = {"ready": False, "checks": {}}
    body = {"error": "not_ready", "message": "no", "detail": {"metadata": checks}}
    service = http_service(reply(body, status=503))
    error = failure(client_of(service), lambda client: client.ready())
    assert error.details["metadata"] == checks
    assert len(service.requests) == 1


def test_a_service_that_is_not_there_is_asked_three_times():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        pauses = []
        client = Client(f"http://127.0.0.1:{port}", sleep=pauses.append)
        error = failure(client, lambda client: client.health())
    assert error.reason == "unavailable"
    assert f"http://127.0.0.1:{port}" in error.message
    assert pauses == [0.25, 0.5]


def test_silence_ends_the_call_and_is_not_repeated(http_service, reply):
    done = threading.Event()
    service = http_service(reply(after=done))
    error = failure(client_of(service, timeout=0.05), lambda client: client.health())
    end = time.monotonic() + 5
    while not service.requests and time.monotonic() < end:
        time.sleep(0.005)
    done.set()
    assert error.reason == "deadline_exceeded"
    assert len(service.requests) == 1


def test_https_trusts_the_given_authority_only(http_service, reply, certificate, tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(certificate[0])
    key.write_bytes(certificate[1])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)
    service = http_service(reply({"ok": True}), tls=tls)
    address = f"https://127.0.0.1:{service.port}"
    with Client(address, tls_ca=certificate[0]) as client:
        assert client.health() == {"ok": True}
    pauses = []
    error = failure(Client(address, sleep=pauses.append), lambda client: client.health())
    assert error.reason == "tls_failed"
    assert pauses == []
