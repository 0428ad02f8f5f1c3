"""The gateway: Envoy as a child process, which turns HTTP/JSON, gRPC and gRPC-Web into gRPC."""

from kneo_grpc.app.gateway.certificate import ensure_local_certificate
from kneo_grpc.app.gateway.config import render
from kneo_grpc.app.gateway.probe import wait_ready
from kneo_grpc.app.gateway.process import EnvoyProcess, end_with_parent
from kneo_grpc.app.gateway.settings import GatewaySettings, LocalCertificate

__all__ = [
    "EnvoyProcess",
    "GatewaySettings",
    "LocalCertificate",
    "end_with_parent",
    "ensure_local_certificate",
    "render",
    "wait_ready",
]
