"""The process's environment."""

import os


def environment() -> dict[str, str]:
    """Return a copy of it."""
    return dict(os.environ)


def quiet_grpc() -> None:
    """Tell gRPC, before it is imported, that our children are new programs.

    Else it prints a line at every start of Envoy about fork handlers that nobody needs.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
