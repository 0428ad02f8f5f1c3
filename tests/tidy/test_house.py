"""The house rules that a program can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from kneo_grpc._gen.kneo.v1 import (  # noqa: F401 # importing registers the services
    audit_pb2,
    credential_pb2,
    health_pb2,
    human_task_pb2,
    maintenance_pb2,
    policy_pb2,
    queue_pb2,
    run_pb2,
    spec_pb2,
)
from kneo_grpc.api.audit import AuditServicer
from kneo_grpc.api.credentials import CredentialServicer
from kneo_grpc.api.health import HealthServicer
from kneo_grpc.api.human_tasks import HumanTaskServicer
from kneo_grpc.api.maintenance import MaintenanceServicer
from kneo_grpc.api.meta import MetaServicer
from kneo_grpc.api.policies import PolicyServicer
from kneo_grpc.api.queue import QueueServicer
from kneo_grpc.api.runs import RunServicer
from kneo_grpc.api.server import SERVICES
from kneo_grpc.api.specs import SpecServicer
from kneo_grpc.app import settings
from kneo_grpc.ports.upkeep import Kept

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kneo_grpc"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_gen" not in path.parts)
SERVICERS = {
    "kneo.v1.RunService": RunServicer,
    "kneo.v1.HumanTaskService": HumanTaskServicer,
    "kneo.v1.SpecService": SpecServicer,
    "kneo.v1.HealthService": HealthServicer,
    "kneo.v1.QueueService": QueueServicer,
    "kneo.v1.MaintenanceService": MaintenanceServicer,
    "kneo.v1.PolicyService": PolicyServicer,
    "kneo.v1.CredentialService": CredentialServicer,
    "kneo.v1.AuditService": AuditServicer,
    "kneo.v1.MetaService": MetaServicer,
}


SERVICER_FILES = [kind.__module__.rsplit(".", 1)[1] for kind in SERVICERS.values()]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def length(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1


def test_no_module_is_longer_than_400_lines() -> None:
    long = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in MODULES}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_no_function_is_longer_than_100_lines_and_few_than_60() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": length(node)
        for path in MODULES
        for node in functions(path)
        if length(node) > 60
    }
    # Wiring lists what belongs together.
    allowed = {
        "kneo_grpc/app/wiring.py:build_platform",
        "kneo_grpc/platform/decisions.py:write",
    }
    assert set(long) <= allowed, long
    assert all(lines <= 100 for lines in long.values())


def test_servicer_methods_only_translate() -> None:
    for name in SERVICER_FILES:
        path = PACKAGE / "api" / f"{name}.py"
        for node in functions(path):
            assert length(node) <= 20, f"{path.name}:{node.name}"
            assert not any(isinstance(inner, ast.Try) for inner in ast.walk(node)), node.name


@pytest.mark.parametrize("service", SERVICES)
def test_no_servicer_leaves_an_rpc_unimplemented(service: str) -> None:
    methods = descriptor_pool.Default().FindServiceByName(service).methods
    for method in methods:
        assert method.name in vars(SERVICERS[service]), f"{service}/{method.name}"


def test_no_name_says_manager_or_helper() -> None:
    banned = re.compile(r"manager|helper|utils?$|common", re.IGNORECASE)
    for path in MODULES:
        assert not banned.search(path.stem), path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                assert not banned.search(node.name), f"{path}: {node.name}"


def test_every_rpc_comment_names_its_errors_and_scope() -> None:
    for path in sorted((ROOT / "proto" / "kneo" / "v1").glob("*.proto")):
        text = path.read_text()
        for match in re.finditer(r"((?:  //[^\n]*\n)+)  rpc (\w+)", text):
            comment, name = match.groups()
            if "Health" in name or name in ("GetLiveness", "GetReadiness"):
                continue
            assert "Scope " in comment, name
            assert "Errors" in comment, name


def test_every_rpc_has_both_routes() -> None:
    files = descriptor_pb2.FileDescriptorSet()
    files.ParseFromString((PACKAGE / "_gen" / "api.binpb").read_bytes())
    text = "".join(p.read_text() for p in (ROOT / "proto").rglob("*.proto"))
    for file in files.file:
        for service in file.service if file.package == "kneo.v1" else ():
            for method in service.method:
                block = re.search(rf"rpc {method.name}\(.*?\n  }}\n", text, re.DOTALL)[0]
                routes = re.findall(r'(?:get|post|put): "([^"]+)"', block)
                versioned = {route for route in routes if route.startswith("/v1/")}
                assert {f"/v1{route}" for route in set(routes) - versioned} == versioned


def test_every_setting_is_documented() -> None:
    read = set(re.findall(r'"(KNEO_[A-Z_]+)"', Path(settings.__file__).read_text()))
    read |= set(re.findall(r'"(KNEO_[A-Z_]+)"', "".join(p.read_text() for p in MODULES)))
    read |= {f"KNEO_SERV_RETENTION_{kind.name}_DAYS" for kind in Kept}
    documented = set(re.findall(r"`(KNEO_[A-Z_]+)`", (ROOT / "docs/environment.md").read_text()))
    assert read - documented == set()
    assert documented - read == set()


def test_generated_code_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generate_proto.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_no_tracked_file_names_a_machine_s_folder_or_a_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    words = re.compile("(^|[^A-Za-z0-9_.])/" + "(wo" + "rk|fa" + "rm)/|pypi" + r"\.org|npmjs\.")
    for name in filter(None, listed):
        path = ROOT / name
        if path.suffix in (".binpb", ".png") or not path.is_file():
            continue
        assert not words.search(path.read_text(errors="replace")), name
