"""A first look: starts the service and carries a workflow through pause and resume over
HTTP/JSON.
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from kneo_grpc.app.settings import environment

READY_SECONDS = 60
SPEC = "examples/smoke_human_workflow.yaml"


class DemoFailed(Exception):
    """A step of the demonstration did not answer as it must."""


def run_demo(*, once: bool, port: int | None) -> int:
    """Show the main job; then stay up until Ctrl-C, unless once. Return the exit code."""
    chosen = port or _free_port()
    base = f"http://127.0.0.1:{chosen}"
    with tempfile.TemporaryDirectory(prefix="kneo-") as folder, _service(chosen, folder) as service:
        try:
            _wait_ready(service, base)
            print(f"service ready: {base}")
            _show(base)
            if not once:
                print(
                    f"\nthe service stays up at {base}; stop it with Ctrl-C, and its runs are gone"
                )
                service.wait()
        except DemoFailed as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            pass
    return 0


def _show(base: str) -> None:
    """Create, look, resume, and print the trace."""
    print(f"\n$ POST /v1/runs  ({SPEC})")
    created = _call(base, "POST", "/v1/runs", {"input": "hello", "spec_path": SPEC})
    _expect(created, "blocked")
    request = created["metadata"]["pending_human_request"]
    task = created["continuation_id"]
    print(f"  run {created['run_id']} is {created['status']}: {request['prompt']}")
    print(f"\n$ POST /v1/human-tasks/{task}/resume  (approved)")
    decision = {"request_id": request["request_id"], "decision": "approved"}
    resumed = _call(base, "POST", f"/v1/human-tasks/{task}/resume", decision)
    _expect(resumed, "completed")
    print(f"  run is {resumed['status']}: {resumed['output_text']}")
    print(f"\n$ GET /v1/runs/{created['run_id']}/trace")
    trace = _call(base, "GET", f"/v1/runs/{created['run_id']}/trace")
    for event in trace["events"]:
        where = event.get("step_id") or event.get("workflow_name") or ""
        print(f"  {event['sequence']:>2}  {event['timestamp']}  {event['type']:<30} {where}")


def _expect(answer: dict[str, Any], status: str) -> None:
    if answer.get("status") != status:
        raise DemoFailed(f"the run should be {status} but is {json.dumps(answer)}")


def _call(base: str, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    content = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"} if content else {}
    request = urllib.request.Request(  # noqa: S310 # the address is ours, on loopback
        base + path, data=content, method=verb, headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 # as above
            result = json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        raise DemoFailed(f"{verb} {path} answered {error.code}: {text}") from error
    except OSError as error:
        raise DemoFailed(f"{verb} {path}: {error}") from error
    assert isinstance(result, dict)
    return result


def _wait_ready(service: "subprocess.Popen[bytes]", base: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        if service.poll() is not None:
            raise DemoFailed(f"the service ended with exit code {service.returncode}")
        try:
            _call(base, "GET", "/readyz")
        except DemoFailed as error:
            if time.monotonic() > deadline:
                raise DemoFailed(f"the service is not ready: {error}") from error
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def _service(port: int, folder: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the service, its log lines on standard error. folder: of its state.

    The caller's settings may name a database that is no place for a demonstration, and keys that
    it does not have.
    """
    command = [sys.executable, "-m", "kneo_grpc", "service", "serve", "--port", str(port)]
    env = {name: value for name, value in environment().items() if not name.startswith("KNEO_")}
    env["KNEO_SERV_STATE_PATH"] = f"{folder}/kneo_runs.sqlite"
    service = subprocess.Popen(command, stdout=sys.stderr, env=env)  # noqa: S603 # our own command
    try:
        yield service
    finally:
        if service.poll() is None:
            service.send_signal(signal.SIGTERM)
        try:
            service.wait(timeout=40)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()


def _free_port() -> int:
    """Return 8000 where it is free, else any free port."""
    for wanted in (8000, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed("no free port")
