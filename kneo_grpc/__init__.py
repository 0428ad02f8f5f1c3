"""The Kneo Agent Platform as a gRPC microservice: YAML specs in, durable runs out."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("kneo-grpc")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "unknown"
