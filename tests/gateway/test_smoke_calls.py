"""scripts/deployment_calls.py before servers that are none of ours."""

import importlib.util
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "deployment_calls.py"


@pytest.fixture(scope="module")
def calls() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deployment_calls", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Start = Callable[[Callable[[BaseHTTPRequestHandler], None]], str]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[tuple[HTTPServer, threading.Thread]] = []

    def serve(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("verb", "status"), [("GET", 302), ("GET", 307), ("POST", 303)])
def test_a_key_is_not_carried_to_another_place(
    calls: Any, start: Start, verb: str, status: int
) -> None:
    asked: list[str | None] = []

    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["authorization"])
        handler.send_response(200)
        handler.end_headers()

    target = start(elsewhere)

    def moved(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("location", f"{target}/v1/runs")
        handler.end_headers()

    here = calls.HttpCalls(start(moved), prefix="/v1", trust=None, timeout=10)
    assert here.ask(verb, "/runs", None, "secret").status == status
    assert asked == []


def test_what_does_not_speak_http_is_no_answer(calls: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        here = calls.HttpCalls(f"http://127.0.0.1:{port}", prefix="", trust=None, timeout=10)
        with pytest.raises(OSError, match="does not speak HTTP"):
            here.ask("GET", "/healthz", None, None)
        thread.join()


def test_a_call_that_the_contract_cannot_say_is_refused_without_being_sent(calls: Any) -> None:
    here = calls.GrpcCalls("grpc://127.0.0.1:1", prefix="", trust=None, timeout=1)
    answer = here.ask("POST", "/v1/runs", {"colour": "red"}, None)
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")
