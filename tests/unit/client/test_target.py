"""Where the service is, as its user writes it."""

import pytest

from kneo_grpc.client import Client
from kneo_grpc.client.target import parse_target


@pytest.mark.parametrize(
    ("text", "shown", "tls"),
    [
        ("localhost:8000", "grpc://localhost:8000", False),
        ("grpc://localhost:8000", "grpc://localhost:8000", False),
        ("grpcs://kneo.example", "grpcs://kneo.example:443", True),
        ("http://kneo.example/", "http://kneo.example:80", False),
        ("https://kneo.example/base/", "https://kneo.example:443/base", True),
        ("http://[::1]:8000", "http://[::1]:8000", False),
        ("unix:/run/kneo.sock", "grpc://unix:/run/kneo.sock", False),
    ],
)
def test_addresses_that_are_understood(text, shown, tls):
    target = parse_target(text)
    assert (str(target), target.tls) == (shown, tls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "grpc://localhost",
        "ftp://localhost:1",
        "http://user:pw@localhost",
        "http://localhost?x=1",
        "grpc://localhost:1/path",
        "http://localhost:port",
    ],
)
def test_addresses_that_are_refused(text):
    with pytest.raises(ValueError):
        parse_target(text)


def test_a_key_that_a_header_cannot_carry_is_refused():
    with pytest.raises(ValueError, match="header"):
        Client("http://localhost:1", api_key="a\nb")
