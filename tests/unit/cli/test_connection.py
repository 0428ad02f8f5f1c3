"""Where commands work: this machine, a named service, a saved one."""

import asyncio
import json
import stat
import sys
import threading
import types
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kneo_grpc.cli import connect
from kneo_grpc.client.errors import ServiceError
from kneo_grpc.domain.errors import StartRefused


@pytest.fixture
def service():
    """An HTTP service that answers every call with an empty page; yields (url, requests)."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append((self.path, headers, json.loads(content) if content else None))
            body = json.dumps({"run_id": "run_1", "status": "completed", "output_text": "hi"})
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", requests
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def local(monkeypatch):
    """What open_local gives; a list of the keys that it was opened with."""
    opened = []
    module = types.ModuleType("kneo_grpc.app.local")

    class Platform:
        async def get_run(self, run_id):
            return {"run_id": run_id, "status": "completed"}

    @asynccontextmanager
    async def open_local(*, idempotency_key):
        opened.append(idempotency_key)
        yield Platform()

    module.open_local = open_local
    monkeypatch.setitem(sys.modules, "kneo_grpc.app.local", module)
    return opened


def test_without_a_service_the_work_is_done_here(kneo, local):
    result = kneo("runs", "get", "run_1", "--json")
    assert json.loads(result.stdout)["run_id"] == "run_1"
    kneo("runs", "get", "run_1", env={"KNEO_SERV_IDEMPOTENCY_KEY": "mine"})
    assert local == [None, "mine"]


def test_a_platform_that_refuses_to_start_is_told(kneo, monkeypatch):
    module = types.ModuleType("kneo_grpc.app.local")

    @asynccontextmanager
    async def open_local(**_):
        raise StartRefused("another process holds the file")
        yield

    module.open_local = open_local
    monkeypatch.setitem(sys.modules, "kneo_grpc.app.local", module)
    result = kneo("runs", "list")
    assert result.exit_code == 1
    assert result.stderr == "error: another process holds the file (start_refused)\n"


def test_a_named_service_gets_the_spec_inline_with_the_keys(kneo, service, spec_path):
    url, requests = service
    env = {"KNEO_SERV_API_KEY": "secret", "KNEO_SERV_IDEMPOTENCY_KEY": "mine"}
    words = ("run", str(spec_path), "--service-url", url, "--input", "hello")
    result = kneo(*words, "--target", "workflow", env=env)
    assert (result.exit_code, result.stdout) == (0, "hi\n")
    ((path, headers, body),) = requests
    assert path == "/v1/runs"
    assert headers["authorization"] == "Bearer secret"
    assert headers["idempotency-key"] == "mine"
    assert body["spec"]["agent"]["name"] == "helper"
    assert (body["input"], body["target"]) == ("hello", "workflow")


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("runs", "recovery", "run_1"), "/v1/runs/run_1/recovery", None),
        (("runs", "continue", "run_1"), "/v1/runs/run_1/continue", {}),
        (
            ("runs", "fork", "run_1", "--checkpoint", "2", "-i", "x"),
            "/v1/runs/run_1/fork",
            {"checkpoint_sequence": 2, "input": "x"},
        ),
        (("runs", "replay", "run_1"), "/v1/runs/run_1/replay", None),
        (
            ("runs", "checkpoint-diff", "run_1", "--from", "1", "--to", "2"),
            "/v1/runs/run_1/checkpoints/diff?from_sequence=1&to_sequence=2",
            None,
        ),
        (("queue", "list"), "/v1/queue?limit=100&offset=0", None),
        (("queue", "dead", "--limit", "5"), "/v1/queue/dead?limit=5&offset=0", None),
        (("queue", "requeue", "run_1"), "/v1/queue/run_1/requeue", {}),
        *(
            (("maintenance", name), f"/v1/maintenance/{name}", {})
            for name in ("prune-timed-out-runs", "prune-expired-human-tasks", "prune-retention")
        ),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, tuple) else None,
)
def test_a_command_reaches_its_route(kneo, service, words, path, body):
    url, requests = service
    assert kneo(*words, "--json", "--service-url", url).exit_code == 0
    assert [(asked, sent) for asked, _, sent in requests] == [(path, body)]


@pytest.mark.parametrize(
    ("reason", "found"), [("idempotency_key_conflict", "run_2"), ("not_found", None)]
)
def test_only_an_error_of_the_key_tells_the_interrupted_fork(reason, found):
    class Asked:
        def __init__(self):
            self.sent = []

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def fork_run(self, run_id, body):
            self.sent.append((run_id, body))
            if len(self.sent) == 1:
                return {}
            raise ServiceError(reason, "no", details={"run_id": "run_2"})

    client = Asked()
    backend = connect.Service(client, lambda: client)
    asyncio.run(backend.fork_run("run_1", {}))
    assert asyncio.run(backend.interrupted()) == found
    assert client.sent[1:] == [("run_1", {"checkpoint_sequence": 2**31 - 1})]


def test_a_continuation_carries_a_key_of_its_own_or_the_given_one(kneo, service):
    url, requests = service
    words = ("runs", "continue", "run_1", "--service-url", url)
    kneo(*words)
    kneo(*words, "--idempotency-key", "mine")
    made, given = (headers["idempotency-key"] for _, headers, _ in requests)
    assert made.startswith("kneo-cli-")
    assert given == "mine"


def test_a_queued_run_is_asked_of_a_service(kneo, service, spec_path):
    url, requests = service
    words = ("run", str(spec_path), "-i", "hi", "--service-url", url)
    kneo(*words, "--async", "--timeout-seconds", "5")
    kneo(*words)
    (_, _, first), (_, _, second) = requests
    assert (first["async_mode"], first["timeout_seconds"]) == (True, 5)
    assert {"async_mode", "timeout_seconds"} & set(second) == set()


def test_a_key_is_made_for_each_command_that_needs_one(kneo, service, spec_path):
    url, requests = service
    env = {"KNEO_SERV_SERVICE_URL": url}
    kneo("run", str(spec_path), "-i", "hello", env=env)
    kneo("run", str(spec_path), "-i", "hello", env=env)
    first, second = (headers["idempotency-key"] for _, headers, _ in requests)
    assert first.startswith("kneo-cli-")
    assert first != second


def test_a_service_out_of_reach_is_told_without_a_traceback(kneo, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    result = kneo("runs", "list", "--service-url", "http://127.0.0.1:9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: cannot reach http://127.0.0.1:9: ")
    assert result.stderr.endswith("(unavailable)\n")


def test_an_address_that_is_none_is_told(kneo):
    result = kneo("runs", "list", "--service-url", "ftp://localhost:1")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: cannot use the service ftp://localhost:1: ")


def test_a_saved_service_is_used_by_name_or_when_active(kneo, service):
    url, requests = service
    saved = kneo(
        "config",
        "profile",
        "set",
        "here",
        "--service-url",
        f"{url}/",
        "--api-key",
        "tok",
        "--json",
    )
    assert json.loads(saved.stdout) == {
        "name": "here",
        "service_url": url,
        "authenticated": True,
    }
    other = ("config", "profile", "set", "other", "--service-url", "http://127.0.0.1:9")
    assert kneo(*other, "--no-activate").exit_code == 0
    assert kneo("human", "list", "--json").exit_code == 0
    assert kneo("config", "profile", "use", "other").exit_code == 0
    assert kneo("human", "list", "--profile", "here", "--json").exit_code == 0
    assert [headers["authorization"] for _, headers, _ in requests] == ["Bearer tok"] * 2


def test_a_named_service_wins_over_the_active_profile_and_gets_no_key_of_it(kneo, service):
    url, requests = service
    other = ("config", "profile", "set", "other", "--service-url", "http://127.0.0.1:9")
    kneo(*other, "--api-key", "tok")
    kneo("runs", "list", "--json", "--service-url", url)
    ((_, headers, _),) = requests
    assert "authorization" not in headers


def test_only_the_owner_may_read_the_saved_keys(kneo, tmp_path):
    kneo("config", "profile", "set", "a", "--service-url", "http://a", "--api-key", "tok")
    path = tmp_path / "own" / "profiles.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text()) == {
        "schema_version": 1,
        "active": "a",
        "profiles": {"a": {"service_url": "http://a", "api_key": "tok"}},
    }
    assert {item.name for item in path.parent.iterdir()} == {
        "profiles.json",
        ".profiles.json.lock",
    }


def test_keys_are_never_shown(kneo):
    set_a = kneo("config", "profile", "set", "a", "--service-url", "http://a", "--api-key", "tok")
    shown = kneo("config", "profile", "show")
    listed = kneo("config", "profile", "list")
    as_json = kneo("config", "profile", "list", "--json")
    for result in (set_a, shown, listed, as_json):
        assert result.exit_code == 0
        assert "http://a" in result.stdout
        assert "tok" not in result.stdout
    assert json.loads(as_json.stdout)["active"] == "a"


def test_a_deleted_profile_is_gone_and_not_active(kneo, tmp_path):
    kneo("config", "profile", "set", "a", "--service-url", "http://a")
    assert kneo("config", "profile", "delete", "a").exit_code == 0
    assert kneo("config", "profile", "list").stdout == "No profiles.\n"
    assert json.loads((tmp_path / "own" / "profiles.json").read_text())["active"] is None
    assert kneo("config", "profile", "show").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("config", "profile", "use", "none"),
        ("config", "profile", "delete", "none"),
        ("runs", "list", "--profile", "none"),
    ],
)
def test_a_profile_that_does_not_exist_is_told(kneo, words):
    result = kneo(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: there is no profile 'none'")


def test_a_file_without_schema_version_is_read(kneo, tmp_path):
    path = tmp_path / "own" / "profiles.json"
    path.parent.mkdir()
    old = {"active": None, "profiles": {"a": {"service_url": "http://a", "api_key": None}}}
    path.write_text(json.dumps(old))
    assert "http://a" in kneo("config", "profile", "list").stdout


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 2}', '{"profiles": 3}'])
def test_a_broken_profiles_file_is_told(kneo, tmp_path, content):
    path = tmp_path / "own" / "profiles.json"
    path.parent.mkdir()
    path.write_text(content)
    result = kneo("runs", "list")
    assert result.exit_code == 1
    assert str(path) in result.stderr
