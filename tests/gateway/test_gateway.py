"""A real Envoy with our configuration, before a hand-made service."""

import asyncio
import json
import logging
import shutil
import ssl
import struct
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from kneo_grpc._gen.kneo.v1 import run_pb2, run_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}
SECRET = "sk-secret-value"


def assert_envelope(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check the contract's error envelope; return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert body["error"] == body["detail"]["error"] == code
    assert body["message"] == body["detail"]["message"] != ""
    assert body["request_id"] == answer.headers["x-request-id"] != ""
    inner = [name for name in answer.headers if name.startswith(("x-kneo-", "grpc-", "x-envoy-"))]
    assert inner == []
    return body


# What works


async def test_json_has_snake_case_names_and_default_values(gateway: Any) -> None:
    answer = await gateway.http.get("/v1/runs/r1")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["status"], body["attempt"]) == ("r1", "completed", 0)
    assert body["visited_steps"] == []
    assert "output_text" not in body
    assert [n for n in answer.headers if n.startswith(("x-kneo-", "grpc-", "x-envoy-"))] == []


@pytest.mark.parametrize("path", ["/runs/r1", "/v1//runs/r1", "/v1/runs/r1/", "/v1/x/../runs/r1"])
async def test_other_spellings_of_a_path_work(gateway: Any, path: str) -> None:
    answer = await gateway.http.get(path)
    assert (answer.status_code, answer.json()["id"]) == (200, "r1")


async def test_a_run_that_goes_on_is_202(gateway: Any) -> None:
    answer = await gateway.http.post("/v1/runs", json={"input": "wait"})
    assert (answer.status_code, answer.json()["status"]) == (202, "blocked")
    assert "x-kneo-http-status" not in answer.headers


async def test_a_content_type_may_have_parameters(gateway: Any) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    answer = await gateway.http.post("/v1/runs", content=b'{"input":"ab"}', headers=headers)
    assert (answer.status_code, answer.json()["output_text"]) == (200, "2")


async def test_a_body_just_below_the_limit_passes(gateway: Any) -> None:
    answer = await gateway.http.post("/v1/runs", json={"input": "z" * 1_040_000})
    assert (answer.status_code, answer.json()["output_text"]) == (200, "1040000")


async def test_an_answer_of_three_megabytes_passes(gateway: Any) -> None:
    answer = await gateway.http.get("/v1/runs/huge")
    assert (answer.status_code, len(answer.json()["output_text"])) == (200, 3_000_000)


async def test_native_grpc_works(gateway: Any) -> None:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        run = await run_pb2_grpc.RunServiceStub(channel).GetRun(run_pb2.GetRunRequest(run_id="r1"))
    assert run.status == "completed"
    # The body of a native call is not bound by the limit for JSON.
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        request = run_pb2_grpc.kneo_dot_v1_dot_run__result__pb2.CreateRunRequest(input="z" * 2**21)
        assert (await stub.CreateRun(request)).output_text == str(2**21)


async def test_a_stream_in_both_directions_flows(gateway: Any) -> None:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        for _ in range(2):
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            answer = await call.read()
            names = [s.name for s in answer.list_services_response.service]
            assert names == ["kneo.v1.RunService"]
        await call.done_writing()


async def test_native_errors_keep_their_details(gateway: Any) -> None:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetRun(run_pb2.GetRunRequest(run_id="missing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # it has what is read
    assert b"not_found" in status.details[0].value


async def grpc_web(gateway: Any, run_id: str) -> tuple[httpx.Response, list[tuple[int, bytes]]]:
    message = run_pb2.GetRunRequest(run_id=run_id).SerializeToString()
    answer = await gateway.http.post(
        "/kneo.v1.RunService/GetRun",
        content=struct.pack(">BI", 0, len(message)) + message,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )
    frames, rest = [], answer.content
    while rest:
        flag, size = struct.unpack(">BI", rest[:5])
        frames.append((flag, rest[5 : 5 + size]))
        rest = rest[5 + size :]
    return answer, frames


async def test_grpc_web_works(gateway: Any) -> None:
    answer, frames = await grpc_web(gateway, "r1")
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    assert [flag for flag, _ in frames] == [0, 0x80]
    assert run_pb2.Run.FromString(frames[0][1]).id == "r1"
    assert b"grpc-status:0" in frames[1][1]


async def test_grpc_web_errors_stay_grpc(gateway: Any) -> None:
    answer, frames = await grpc_web(gateway, "missing")
    told = answer.headers.get("grpc-status") or frames[-1][1].decode()
    assert answer.status_code == 200
    assert "5" in told


# TLS


async def test_tls_speaks_json_and_native_grpc(gateway: Any) -> None:
    trust = ssl.create_default_context(cafile=gateway.ca)
    async with httpx.AsyncClient(verify=trust) as http:
        answer = await http.get(f"https://{gateway.tls_target}/v1/runs/r1")
    assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")
    keys = grpc.ssl_channel_credentials(gateway.ca.read_bytes())
    async with grpc.aio.secure_channel(gateway.tls_target, keys) as channel:
        run = await run_pb2_grpc.RunServiceStub(channel).GetRun(run_pb2.GetRunRequest(run_id="r1"))
    assert run.id == "r1"


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
async def test_tls_offers_both_protocols(gateway: Any, protocol: str) -> None:
    trust = ssl.create_default_context(cafile=gateway.ca)
    trust.set_alpn_protocols([protocol])
    port = gateway.settings.tls_port
    _, writer = await asyncio.open_connection("localhost", port, ssl=trust)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == protocol
    writer.close()


async def test_tls_before_1_2_is_refused(gateway: Any) -> None:
    trust = ssl.create_default_context(cafile=gateway.ca)
    trust.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        trust.minimum_version = ssl.TLSVersion.TLSv1
        trust.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("localhost", gateway.settings.tls_port, ssl=trust)


@pytest.mark.skipif(shutil.which("curl") is None, reason="JSON over HTTP/2 is asked with curl")
@pytest.mark.parametrize(("kind", "status"), [("application/json", "200"), ("", "415")])
async def test_json_over_http2(gateway: Any, kind: str, status: str) -> None:
    url = f"http://{gateway.target}/v1/runs"
    # From a pipe there is no content-length: only the stream's end tells of the body.
    arguments = ("-sS", "-o", "-", "-w", "\n%{http_version} %{http_code}", "-T", "-", "-X", "POST")
    curl = await asyncio.create_subprocess_exec(
        *("curl", "--http2-prior-knowledge", *arguments, "-H", f"content-type: {kind}", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await curl.communicate(b'{"input":"abc"}')
    body, _, last = out.decode().rpartition("\n")
    assert last == f"2 {status}"
    answer = json.loads(body)
    assert answer.get("output_text") == ("3" if status == "200" else None)


# Errors of the service


async def test_an_error_carries_the_services_own_json(gateway: Any) -> None:
    answer = await gateway.http.get("/v1/runs/missing", headers={"x-request-id": "mine-1"})
    body = assert_envelope(answer, 404, "not_found")
    assert body["request_id"] == "mine-1"
    assert body["run_id"] == body["detail"]["run_id"] == "missing"


@pytest.mark.parametrize("run_id", ["invalid", "late"])
async def test_the_service_chooses_the_http_status(gateway: Any, run_id: str) -> None:
    # `late` had sent initial metadata with another status before it failed.
    answer = await gateway.http.get(f"/v1/runs/{run_id}")
    assert assert_envelope(answer, 422, "validation_error")["message"] == "naïve: too long"


async def test_retry_after_is_passed_on(gateway: Any) -> None:
    answer = await gateway.http.get("/v1/runs/busy")
    assert_envelope(answer, 503, "queue_full")
    assert answer.headers["retry-after"] == "7"


async def test_401_names_the_scheme(gateway: Any) -> None:
    answer = await gateway.http.get("/v1/runs/stranger")
    assert_envelope(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_error_of_seven_kilobytes_arrives(gateway: Any) -> None:
    answer = await gateway.http.get("/v1/runs/big")
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, len(body["message"])) == (409, 3300)


@pytest.mark.parametrize(
    ("run_id", "status", "code"), [("crash", 500, "internal_error"), ("plain", 403, "forbidden")]
)
async def test_the_backends_own_text_never_leaves(
    gateway: Any, stub: Any, run_id: str, status: int, code: str
) -> None:
    answer = await gateway.http.get(f"/v1/runs/{run_id}")
    assert_envelope(answer, status, code)
    assert stub.CRASH_TEXT not in answer.text
    assert "swordfish" not in str(answer.headers)


async def test_health_reaches_a_service_that_is_not_ready(gateway: Any) -> None:
    alive = await gateway.http.get("/livez")
    ready = await gateway.http.get("/readyz")
    assert (alive.status_code, alive.json()["ok"]) == (200, True)
    assert (ready.status_code, ready.json()["metadata"]) == (503, {"ready": False})


# Envoy's own answers


async def test_an_unknown_route_is_404(gateway: Any) -> None:
    answer = await gateway.http.get(f"/v1/nothing?api_key={SECRET}")
    assert_envelope(answer, 404, "not_found")
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/runs/r1", "GET"),
        ("PUT", "/runs", "GET, POST"),
        ("GET", "/v1/runs/r1/cancel", "POST"),
        ("PATCH", "/livez", "GET"),
    ],
)
async def test_another_method_is_405(gateway: Any, method: str, path: str, allow: str) -> None:
    answer = await gateway.http.request(method, path, headers=JSON)
    assert_envelope(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"input":', "Malformed JSON: Unexpected end of string. Expected a value."),
        (SECRET, "Malformed JSON: Unexpected token."),
        ('{"input":"a"} ' + SECRET, "Malformed JSON: Parsing terminated before end of input."),
        ('{"input":{"a":"' + SECRET + '"}}', "input: a value of another type is expected."),
        ('{"metadata":"' + SECRET + '"}', "metadata: a value of another type is expected."),
        ('{"spec":["' + SECRET + '"]}', "A list stands where the field takes none."),
        ('["' + SECRET + '"]', "The body must be a JSON object."),
        (b'{"input":"' + SECRET.encode() + b'\xff"}', "Malformed JSON: Encountered non UTF-8"),
    ],
)
async def test_a_malformed_body_is_400_without_its_values(
    gateway: Any, body: str | bytes, message: str
) -> None:
    answer = await gateway.http.post("/v1/runs", content=body, headers=JSON)
    assert assert_envelope(answer, 400, "invalid_request")["message"].startswith(message)
    assert SECRET not in answer.text


async def test_a_wrong_query_value_names_the_field_only(gateway: Any) -> None:
    answer = await gateway.http.get(f"/v1/runs?limit={SECRET}")
    body = assert_envelope(answer, 400, "invalid_request")
    assert body["message"] == "limit: a value of another type is expected."
    assert SECRET not in answer.text


async def test_an_unknown_query_parameter_is_422(gateway: Any) -> None:
    answer = await gateway.http.get(f"/v1/runs?limit=1&bogus={SECRET}")
    body = assert_envelope(answer, 422, "unknown_query_parameters")
    assert body["unknown"] == body["detail"]["unknown"] == ["bogus"]
    assert SECRET not in answer.text


async def test_path_and_body_must_agree(gateway: Any) -> None:
    answer = await gateway.http.post("/v1/runs/r1/cancel", json={"run_id": SECRET})
    body = assert_envelope(answer, 400, "invalid_request")
    assert body["message"] == "run_id: the path and the body disagree."


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 100_000


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_413(gateway: Any, chunked: bool) -> None:
    calls = gateway.runs.calls
    content = pieces(50) if chunked else b" " * 5_000_000
    answer = await gateway.http.post("/v1/runs", content=content, headers=JSON)
    body = assert_envelope(answer, 413, "payload_too_large")
    assert body["max_body_bytes"] == body["detail"]["max_body_bytes"] == 1024 * 1024
    assert gateway.runs.calls == calls


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_of_another_type_is_415(gateway: Any, kind: str | None) -> None:
    calls = gateway.runs.calls
    headers = {} if kind is None else {"content-type": kind}
    for content in (b'{"input":"a"}', pieces(1)):
        answer = await gateway.http.post("/v1/runs", content=content, headers=headers)
        assert_envelope(answer, 415, "unsupported_media_type")
    assert gateway.runs.calls == calls


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1:{port}", 200),
        ("https://console.example", 200),
        ("http://127.0.0.1:1", 415),
        ("https://evil.example", 415),
        ("null", 415),
    ],
)
async def test_a_web_page_of_another_host_cannot_act(
    gateway: Any, origin: str | None, status: int
) -> None:
    calls = gateway.runs.calls
    headers = {} if origin is None else {"origin": origin.format(port=gateway.settings.port)}
    answer = await gateway.http.post("/v1/runs/r1/cancel", headers=headers)
    assert answer.status_code == status, answer.text
    assert gateway.runs.calls - calls == (1 if status == 200 else 0)


@pytest.mark.parametrize(
    ("origin", "status"), [("https://console.example", 200), ("https://evil.example", 404)]
)
async def test_preflight(gateway: Any, origin: str, status: int) -> None:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    answer = await gateway.http.options("/v1/runs", headers=headers)
    assert answer.status_code == status
    allowed = answer.headers.get("access-control-allow-origin")
    assert allowed == (origin if status == 200 else None)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1:8080"])
async def test_another_host_name_is_421(gateway: Any, host: str) -> None:
    calls = gateway.runs.calls
    answer = await gateway.http.get("/v1/runs/r1", headers={"host": host})
    assert_envelope(answer, 421, "misdirected_request")
    assert gateway.runs.calls == calls


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:9"])
async def test_loopback_names_are_served(gateway: Any, host: str) -> None:
    answer = await gateway.http.get("/v1/runs/r1", headers={"host": host})
    assert answer.status_code == 200


async def test_a_native_call_to_another_host_stays_grpc(gateway: Any) -> None:
    options = (("grpc.default_authority", "evil.example"),)
    async with grpc.aio.insecure_channel(gateway.target, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await run_pb2_grpc.RunServiceStub(channel).GetRun(run_pb2.GetRunRequest(run_id="r1"))
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert "{" not in (caught.value.details() or "")


@pytest.mark.parametrize("path", ["/v1/runs/a%2Fb", "/v1/runs/a%5Cb"])
async def test_an_escaped_slash_is_400(gateway: Any, path: str) -> None:
    answer = await gateway.http.get(path)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_header_with_an_underscore_is_400(gateway: Any) -> None:
    # Some backends read x_kneo_peer and x-kneo-peer as one name.
    answer = await gateway.http.get("/v1/runs/r1", headers={"x_kneo_peer": "9.9.9.9"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# Headers


FORWARDED = ("host", "prefix", "port", "foo", "fo", "f", "form", "pro", "prot", "protocol", "by")


async def test_callers_cannot_speak_in_our_names(gateway: Any) -> None:
    forged = {
        "x-kneo-http-status": "500",
        "x-kneo-error-json": "{}",
        "x-kneo-internal-role": "admin",
        "x-kneo-peer": "9.9.9.9",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-retry-on": "5xx",
        "x-forwarded-for": "8.8.8.8",
        **{f"x-forwarded-{name}": "evil" for name in FORWARDED},
    }
    answer = await gateway.http.get("/v1/runs/r1", headers={**forged, "x-kneo-api-key": "k"})
    seen = gateway.runs.seen
    assert answer.status_code == 200
    assert seen["x-kneo-peer"] == "127.0.0.1"
    assert seen["x-kneo-api-key"] == "k"
    assert [name for name in forged if name in seen] == ["x-kneo-peer", "x-forwarded-for"]
    envoys = {name for name in seen if name.startswith("x-envoy-")}
    # The last one it tells of a caller who is not internal; nobody reads it.
    theirs = {"x-envoy-original-path", "x-envoy-original-method", "x-envoy-external-address"}
    assert envoys == theirs
    await grpc_call(gateway, (("x-kneo-peer", "9.9.9.9"), ("x-kneo-internal-role", "admin")))
    assert gateway.runs.seen["x-kneo-peer"] == "127.0.0.1"
    assert "x-kneo-internal-role" not in gateway.runs.seen


async def grpc_call(gateway: Any, metadata: Any) -> Any:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        call = stub.GetRun(run_pb2.GetRunRequest(run_id="r1"), metadata=metadata)
        await call
        return dict(await call.initial_metadata())


async def test_a_request_id_goes_through_and_back(gateway: Any) -> None:
    answer = await gateway.http.get("/v1/runs/r1", headers={"x-request-id": "Mine_1"})
    assert answer.headers["x-request-id"] == gateway.runs.seen["x-request-id"] == "Mine_1"
    answer = await gateway.http.get("/v1/runs/r1")
    assert answer.headers["x-request-id"] == gateway.runs.seen["x-request-id"]
    assert len(answer.headers["x-request-id"]) == 36
    returned = await grpc_call(gateway, (("x-request-id", "native-1"),))
    assert returned["x-request-id"] == gateway.runs.seen["x-request-id"] == "native-1"


async def test_a_request_id_is_made_plain_and_short(gateway: Any) -> None:
    answer = await gateway.http.get("/nothing", headers={"x-request-id": 'a "b' + "c" * 300})
    assert assert_envelope(answer, 404, "not_found")["request_id"] == "a__b" + "c" * 124


async def test_a_caller_that_hangs_up_cancels_the_call(gateway: Any) -> None:
    gateway.runs.cancelled.clear()
    with pytest.raises(httpx.ReadTimeout):
        await gateway.http.get("/v1/runs/stuck", timeout=0.5)
    async with asyncio.timeout(10):
        await gateway.runs.cancelled.wait()


async def test_the_access_log_leaves_out_the_query(gateway: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "kneo_grpc.gateway.access")
    await gateway.http.get(f"/v1/runs?limit=1&status={SECRET}", headers={"x-request-id": "log-1"})
    async with asyncio.timeout(30):
        while not (lines := [r.message for r in caplog.records if "log-1" in r.message]):
            # Each call that passes helps Envoy to write its log.
            await gateway.http.get("/livez")
    told = json.loads(lines[0])
    assert (told["method"], told["path"], told["status"]) == ("GET", "/v1/runs", 200)
    assert SECRET not in lines[0]
