"""The Python client: `Client` speaks gRPC or HTTP/JSON, `AsyncClient` speaks gRPC."""

from kneo_grpc.client.aio import AsyncClient
from kneo_grpc.client.errors import ServiceError
from kneo_grpc.client.sync import Client

__all__ = ["AsyncClient", "Client", "ServiceError"]
