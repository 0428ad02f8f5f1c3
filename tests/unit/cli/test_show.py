"""What reaches the terminal."""

import pytest

from kneo_grpc.cli import show


@pytest.mark.parametrize(
    "value",
    ["a\x1b[2Jb\x9bc", ["a\x9bc"], {"k\x9b": "a\x1bc\x85"}, [{"k": "\x9b2J"}], [1, "\x90"]],
)
def test_no_control_character_is_in_a_text(value: object) -> None:
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in show.text(value))
