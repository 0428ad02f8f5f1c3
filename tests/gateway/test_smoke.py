"""scripts/deployment_smoke.py against a real service: JSON and gRPC, plain and over TLS."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.support_service import RunningService, project, serving
from tests.ports import free_port

SCRIPT = Path(__file__).parents[2] / "scripts" / "deployment_smoke.py"
ROLES = ("operator", "reviewer", "viewer")
STEPS = ["health", "readiness", "auth", "validate", "human", "cancel"]
STEPS += ["audit", "credentials", "policies"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, int]]:
    folder = project(tmp_path_factory.mktemp("smoke"))
    tls_port = free_port()
    settings = {"KNEO_SERV_ADMIN_API_KEY": "admin-token"}
    with serving(folder, "--tls-port", str(tls_port), **settings) as running:
        yield running, tls_port


def smoke(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def passed(done: "subprocess.CompletedProcess[str]") -> list[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split()[1].rstrip(":") for line in done.stdout.splitlines()]


KEYS = ("--api-key", "admin-token", *(f"--{r}-api-key={r}-token" for r in ROLES), "--expect-auth")
TOKENS = (*(f"--{role}-token={role}-token" for role in ROLES), "--expect-auth")


@pytest.mark.parametrize(
    ("scheme", "prefix", "keys"),
    [
        ("http", "/v1", KEYS),
        ("http", "", TOKENS),
        ("https", "/v1", TOKENS),
        ("grpc", "", KEYS),
        ("grpcs", "/v1", TOKENS),
    ],
)
def test_every_step_passes(
    service: tuple[RunningService, int], scheme: str, prefix: str, keys: tuple[str, ...]
) -> None:
    running, tls_port = service
    port = tls_port if scheme.endswith("s") else running.port
    ca = running.folder / ".kneo" / "tls" / "ca.crt"
    trust = ("--tls-ca", str(ca)) if scheme.endswith("s") else ()
    place = ("--base-url", f"{scheme}://localhost:{port}", f"--api-prefix={prefix}")
    assert passed(smoke(*place, *keys, *trust)) == STEPS


def test_the_environment_may_say_where_and_who(service: tuple[RunningService, int]) -> None:
    running, _ = service
    told = {f"KNEO_STAGING_{role.upper()}_TOKEN": f"{role}-token" for role in ROLES}
    done = smoke(KNEO_STAGING_BASE_URL=running.url, **told)
    assert passed(done) == [step for step in STEPS if step != "auth"]


def test_a_failure_names_the_endpoint_and_the_status(service: tuple[RunningService, int]) -> None:
    running, _ = service
    done = smoke("--base-url", running.url, "--operator-token", "wrong")
    last = done.stdout.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("FAIL validate: POST /specs/validate: HTTP 401: ")
    nowhere = smoke("--base-url", f"http://127.0.0.1:{free_port()}")
    assert (nowhere.returncode, nowhere.stdout.split(":")[0]) == (1, "FAIL health")


def test_an_authority_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    done = smoke("--base-url", "https://127.0.0.1:1", "--tls-ca", str(tmp_path / "ca.crt"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("--tls-ca cannot be read: ")
    assert done.stderr.count("\n") == 1
