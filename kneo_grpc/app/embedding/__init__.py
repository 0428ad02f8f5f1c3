"""The platform inside somebody else's program; `kneo_grpc` offers it under its own name."""

from kneo_grpc.app.embedding.aio import AsyncPlatform
from kneo_grpc.app.embedding.serving import Served
from kneo_grpc.app.embedding.sync import Platform

__all__ = ["AsyncPlatform", "Platform", "Served"]
