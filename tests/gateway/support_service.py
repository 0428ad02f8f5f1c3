"""The service as its operator starts it, and three ways to talk to it."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
from google.rpc import error_details_pb2

from tests import processes
from tests.ports import free_port
from tests.processes import WAIT_SECONDS, kneo

ROLES = ("operator", "reviewer", "viewer")
KEYS = ";".join(f"{role}:{role}-token:{role}" for role in ROLES)
EXAMPLES = Path(__file__).parents[2] / "examples"
Json = dict[str, Any]


def project(folder: Path) -> Path:
    """Make a folder with the shipped specs, as a checkout has them."""
    shutil.copytree(EXAMPLES, folder / "examples")
    return folder


@dataclass
class RunningService:
    """A `kneo service serve` that this test started."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> list[int]:
        """End the service as the kernel does when memory is short; return its children's ids."""
        children = _children(self.process.pid)
        self.process.kill()
        self.process.wait(WAIT_SECONDS)
        return children


@contextmanager
def serving(folder: Path, *options: str, **env: str) -> Iterator[RunningService]:
    """Serve with state in a folder; at the end the service must stop well, unless killed."""
    port = free_port()
    words = ("-m", "kneo_grpc", "service", "serve", "--port", str(port), *options)
    keys = {"KNEO_SERV_API_KEYS": KEYS}
    with processes.serving(*words, folder=folder, port=port, **{**keys, **env}) as (process, _):
        yield RunningService(process, port, folder)


def _stat(pid: int) -> list[str]:
    """Return a process's fields from its state on, none where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The name before them stands in brackets and may hold anything.
    return text.rpartition(")")[2].split()


def _children(parent: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if _stat(pid)[1:2] == [str(parent)]]


def end_left_over(pids: list[int], seconds: float) -> list[int]:
    """Wait for processes to be gone; end those that are not, and return their ids."""
    deadline = time.monotonic() + seconds
    # A process that ended stays in the table until somebody asks for its status.
    while left := [pid for pid in pids if _stat(pid)[:1] not in ([], ["Z"])]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


@dataclass
class Answer:
    """How a call ended, as far as the way of calling tells it.

    error: the contract's code; None for success. http: the status. extras: what an error adds.
    """

    body: Json
    error: str | None = None
    http: int | None = None
    extras: Json = field(default_factory=dict)


class Caller(Protocol):
    """One way to talk to the service."""

    def create(self, text: str, spec_path: str) -> Answer:
        """Run a spec's workflow, as the operator."""

    def resume(self, task: str, decision: Json, key: str | None = None) -> Answer:
        """Decide a task, as the reviewer. key: makes a repeat safe."""

    def look(self, what: str, run_id: str) -> Json:
        """Return a run's trace, checkpoints or recovery, as the viewer."""


@dataclass
class HttpCaller:
    """HTTP/JSON. prefix: /v1 or nothing."""

    url: str
    prefix: str

    def create(self, text: str, spec_path: str) -> Answer:
        body = {"input": text, "spec_path": spec_path, "target": "workflow"}
        return self._call("operator", "POST", "/runs", body)

    def resume(self, task: str, decision: Json, key: str | None = None) -> Answer:
        headers = {"Idempotency-Key": key} if key else {}
        return self._call("reviewer", "POST", f"/human-tasks/{task}/resume", decision, headers)

    def look(self, what: str, run_id: str) -> Json:
        answer = self._call("viewer", "GET", f"/runs/{run_id}/{what}")
        assert answer.error is None, answer
        return answer.body

    def _call(
        self,
        role: str,
        verb: str,
        path: str,
        body: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        answer = httpx.request(
            verb,
            f"{self.url}{self.prefix}{path}",
            json=body,
            headers={"authorization": f"Bearer {role}-token", **(headers or {})},
            timeout=WAIT_SECONDS,
        )
        data = answer.json()
        if answer.is_success:
            return Answer(data, http=answer.status_code)
        return Answer({}, data["error"], answer.status_code, data["detail"])


@dataclass
class BufCaller:
    """Native gRPC through the gateway; buf asks the service for its contract by reflection."""

    url: str

    def create(self, text: str, spec_path: str) -> Answer:
        body = {"input": text, "spec_path": spec_path, "target": "workflow"}
        return self._call("operator", "RunService/CreateRun", body)

    def resume(self, task: str, decision: Json, key: str | None = None) -> Answer:
        body = {"continuation_id": task, **decision}
        return self._call("reviewer", "HumanTaskService/ResumeHumanTask", body, key)

    def look(self, what: str, run_id: str) -> Json:
        rpc = {
            "trace": "GetRunTrace",
            "checkpoints": "ListCheckpoints",
            "recovery": "GetRunRecovery",
        }[what]
        answer = self._call("viewer", f"RunService/{rpc}", {"run_id": run_id})
        assert answer.error is None, answer
        return answer.body

    def _call(self, role: str, method: str, body: Json, key: str | None = None) -> Answer:
        headers = [f"authorization: Bearer {role}-token"]
        if key:
            headers.append(f"idempotency-key: {key}")
        done = subprocess.run(
            [
                *(Path(sys.executable).with_name("buf"), "curl", "--protocol", "grpc"),
                *("--http2-prior-knowledge", "--emit-defaults", "--reflect-header", "*"),
                *(word for header in headers for word in ("-H", header)),
                *("-d", json.dumps(body), f"{self.url}/kneo.v1.{method}"),
            ],
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            return Answer(_snake_case(json.loads(done.stdout)))
        details = {item["type"]: item["value"] for item in json.loads(done.stderr)["details"]}
        # buf leaves out the padding that Python's decoder wants.
        packed = base64.b64decode(details["google.rpc.ErrorInfo"] + "==")
        info = error_details_pb2.ErrorInfo.FromString(packed)
        return Answer({}, info.reason, extras=dict(info.metadata))


@dataclass
class CommandCaller:
    """The kneo command. url: http://… or grpc://…; folder: where it runs."""

    url: str
    folder: Path

    def create(self, text: str, spec_path: str) -> Answer:
        return self._call("operator", "run", spec_path, "--input", text, "--target", "workflow")

    def resume(self, task: str, decision: Json, key: str | None = None) -> Answer:
        content = decision.get("content")
        words = {
            "approved": ["--approve", *(["--content", content] if content else [])],
            "edited": ["--edit", content],
            "rejected": ["--reject", "--content", content],
        }[decision["decision"]]
        words = ["human", "resume", task, "--request-id", decision["request_id"], *words]
        env = {"KNEO_SERV_IDEMPOTENCY_KEY": key} if key else {}
        return self._call("reviewer", *words, **env)

    def look(self, what: str, run_id: str) -> Json:
        answer = self._call("viewer", "runs", what, run_id)
        assert answer.error is None, answer
        return answer.body

    def _call(self, role: str, *words: str, **env: str) -> Answer:
        done = kneo(
            *words,
            *("--service-url", self.url, "--json"),
            folder=self.folder,
            KNEO_SERV_API_KEY=f"{role}-token",
            **env,
        )
        if done.returncode == 0:
            assert done.stderr == ""
            return Answer(json.loads(done.stdout))
        told = re.search(r"^error: .* \((\w+)\)$", done.stderr, re.MULTILINE)
        assert told is not None, done.stderr
        return Answer({}, told[1])


def _snake_case(value: Any) -> Any:
    """Undo the camel case that buf gives to field names; keys of a Struct have none."""
    if isinstance(value, dict):
        names = {name: re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in value}
        return {names[name]: _snake_case(item) for name, item in value.items()}
    return [_snake_case(item) for item in value] if isinstance(value, list) else value
