"""Ports for servers of tests."""

import socket

_given: set[int] = set()


def free_port() -> int:
    """Return a port that was free, and that no other caller of these tests got."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
