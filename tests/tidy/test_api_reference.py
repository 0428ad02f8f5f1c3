"""docs/api.md is what the contract says."""

import subprocess
import sys
from pathlib import Path

from kneo_grpc.api.policy import POLICY, ROLES
from kneo_grpc.domain.run import RunStatus

ROOT = Path(__file__).parents[2]


def test_the_api_reference_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_api_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_names_every_call_role_and_status() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    calls = [rpc.removeprefix("/kneo.v1.") for rpc in POLICY if rpc.startswith("/kneo.v1.")]
    words = [*(f"`{name}`" for name in (*calls, *ROLES, *RunStatus))]
    assert [word for word in words if word not in text] == []
