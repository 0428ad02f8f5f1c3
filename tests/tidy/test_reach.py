"""Every rpc can be reached: it has a policy row, a method of both clients, and a kneo command."""

import ast
import inspect
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from kneo_grpc._gen.kneo.v1 import (  # noqa: F401 # importing registers the services
    credential_pb2,
    health_pb2,
    human_task_pb2,
    maintenance_pb2,
    policy_pb2,
    queue_pb2,
    run_pb2,
    spec_pb2,
)
from kneo_grpc.api.policy import POLICY, ROLES, SCOPES
from kneo_grpc.api.server import SERVICES
from kneo_grpc.app.local import LocalPlatform
from kneo_grpc.cli.connect import Service
from kneo_grpc.client import methods
from kneo_grpc.client.aio import AsyncClient
from kneo_grpc.client.sync import Client

CLI = Path(__file__).parents[2] / "kneo_grpc" / "cli"


def rpcs() -> list[tuple[str, str]]:
    found = descriptor_pool.Default().FindServiceByName
    services = [found(name) for name in SERVICES]
    return [(service.name, method.name) for service in services for method in service.methods]


def constants(kind: type) -> dict[str, set[str]]:
    """By method of a client: which constants of client/methods.py it sends."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(kind)))
    return {
        node.name: {
            inner.attr
            for inner in ast.walk(node)
            if isinstance(inner, ast.Attribute)
            and isinstance(inner.value, ast.Name)
            and inner.value.id == "methods"
        }
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def callers(kind: type, rpc: str) -> list[str]:
    """The methods of a client that send an rpc."""
    wanted = {name for name, value in vars(methods).items() if getattr(value, "rpc", None) == rpc}
    return [name for name, used in constants(kind).items() if used & wanted]


def asked_by_commands() -> set[str]:
    """What commands ask of their backend: `backend.<method>`."""
    return {
        node.attr
        for path in CLI.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "backend"
    }


ASKED = asked_by_commands()


@pytest.mark.parametrize(("service", "rpc"), rpcs())
def test_an_rpc_has_a_policy_row_client_methods_and_a_command(service: str, rpc: str) -> None:
    scope = POLICY[f"/kneo.v1.{service}/{rpc}"]
    assert scope in SCOPES or service in ("HealthService", "MetaService")
    assert [method.rpc for method in methods.ALL].count(rpc) == 1
    (name,) = callers(Client, rpc)
    assert callers(AsyncClient, rpc) == [name]
    assert name in ASKED
    assert hasattr(Service, name)
    assert hasattr(LocalPlatform, name)


def test_every_role_s_scopes_are_known() -> None:
    assert set().union(*ROLES.values()) <= SCOPES
