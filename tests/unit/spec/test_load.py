"""What the loader takes, and that all else ends in SpecInvalid with one diagnostic."""

import json
import time
from typing import Any

import pytest
import yaml

from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.spec import load
from kneo_grpc.spec.load import LoadLimits, load_object, load_text
from kneo_grpc.spec.validate import validate


def refused(text: bytes | str, limits: LoadLimits | None = None) -> dict[str, Any]:
    with pytest.raises(SpecInvalid) as caught:
        load_text(text, limits=limits or LoadLimits())
    (diagnostic,) = caught.value.details["diagnostics"]
    assert diagnostic["severity"] == "error"
    return diagnostic


@pytest.fixture(params=["libyaml", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read with libyaml, and with what stands in for it."""
    if request.param == "pure":
        monkeypatch.setattr(load, "_Loader", yaml.SafeLoader)
    return str(request.param)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

WRONG = {
    "empty": ("", "E_YAML", 1),
    "only a comment": ("# nothing\n", "E_YAML", 1),
    "null": ("null\n", "E_YAML", 1),
    "a list": ("- a\n", "E_TYPE", 1),
    "a text": ("hello\n", "E_TYPE", 1),
    "two documents": ("a: 1\n---\nb: 2\n", "E_YAML", 2),
    "unclosed bracket": ("a: [1,\nb: 2\n", "E_YAML", None),
    "unclosed quote": ('a: "x\nb: 2\n', "E_YAML", None),
    "wrong indentation": ("a:\n  b: 1\n c: 2\n", "E_YAML", 3),
    "tab indentation": ("a:\n\tb: 1\n", "E_YAML", 2),
    "duplicate key": ("a: 1\nb: 2\na: 3\n", "E_DUPLICATE_KEY", 3),
    "duplicate key inside": ("a:\n  b: 1\n  b: 1\n", "E_DUPLICATE_KEY", 3),
    "duplicate key in JSON": ('{"a": 1,\n "a": 2}', "E_DUPLICATE_KEY", 2),
    "python tag": ("a: !!python/object/apply:os.system [ls]\n", "E_TAG", 1),
    "custom tag": ("a: 1\nb: !vault x\n", "E_TAG", 2),
    "tag on an object": ("a: !thing {b: 1}\n", "E_TAG", 1),
    "binary tag": ("a: !!binary aGk=\n", "E_TAG", 1),
    "set tag": ("a: !!set {b}\n", "E_TAG", 1),
    "unknown alias": ("a: *b\n", "E_YAML", 1),
    "recursive alias": ("a: &a\n  b: *a\n", "E_YAML", 2),
    "alias as key": ("a: &a x\n*a : 1\n", "E_YAML", 2),
    "list as key": ("? [a]\n: 1\n", "E_YAML", 1),
    "merge of a text": ("<<: x\na: 1\n", "E_YAML", 1),
    "bomb": (BOMB, "E_LIMIT", 5),
    "deep lists": ("a: " + "[" * 5000 + "]" * 5000, "E_LIMIT", 1),
    "deep objects": ("a: " + "{b: " * 5000, "E_LIMIT", 1),
    "deep block lists": ("- " * 3000 + "x", "E_LIMIT", 1),
    "whole number too large": ("a: 1\nb: 9007199254740992\n", "E_NUMBER", 2),
    "negative too": ("a: -9007199254740992\n", "E_NUMBER", 1),
    "whole float too large": ("a: 1e300\n", "E_NUMBER", 1),
    "float without end": ("a: 1e999\n", "E_NUMBER", 1),
    "very long number": ("a: " + "9" * 5000, "E_NUMBER", 1),
    "infinity": ("a: .inf\n", "E_NUMBER", 1),
    "not a number": ("a: .NaN\n", "E_NUMBER", 1),
    "NUL by escape": ('a: "x\\0"\n', "E_TEXT", 1),
    "NUL in a key": ('"x\\0": 1\n', "E_TEXT", 1),
    "NUL byte": ("a: \0\n", "E_ENCODING", None),
    "control character": ("a: 1\nb: \x07\n", "E_ENCODING", 2),
    "half a surrogate pair": ("a: \ud800\n", "E_ENCODING", None),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_refused_with_its_line(case: str, parser: str) -> None:
    text, code, line = WRONG[case]
    diagnostic = refused(text)
    assert diagnostic["code"] == code, diagnostic
    if line is not None:
        assert diagnostic["line"] == line
        assert diagnostic["column"] >= 1


@pytest.mark.parametrize(
    "data",
    [
        "a: ä\n".encode("latin-1"),
        "a: ä\n".encode("utf-16"),
        "a: 1\n".encode("utf-16-le"),
        "a: 1\n".encode("utf-32"),
        b"\x7fELF\x02\x01\x01\x00",
        b"\x1f\x8b\x08\x00\xff",
        bytes(range(256)),
    ],
)
def test_bytes_that_are_no_utf8_text_are_refused(data: bytes) -> None:
    assert refused(data)["code"] == "E_ENCODING"


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        ("a: 1\nb: öä\n".encode("latin-1"), 2, 4),
        (b"a: 1\nb: \x00\n", 2, 4),
        ("a: ö\nb: \ud800\n", 2, 4),
        ("a: " + "ö" * 200_000, 1, 131_074),
        (b"%TAG !a! x\n" * 20 + b"---\na: 1\n", 1, 1),
    ],
)
def test_text_that_cannot_be_read_has_a_position(data: bytes, line: int, column: int) -> None:
    diagnostic = refused(data)
    assert (diagnostic["line"], diagnostic["column"]) == (line, column)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a:\n  b: 1\n  b: 2\n", "a.b"),
        ("a:\n  - 1\n  - !x 2\n", "a[1]"),
        ("a: {b: [0, {c: .inf}]}\n", "a.b[1].c"),
        ("a:\n  b: *c\n", "a.b"),
        ('a:\n  b: "x\\0"\n', "a.b"),
        ("a:\n  b:\n    <<: 5\n", "a.b"),
        ("a: {b: [1,\nc: }\n", "a.b[1].c"),
        ("a: 1\na: 2\n", "a"),
        ("a: 1\n---\nb: 1\n", None),
    ],
)
def test_what_cannot_be_read_has_a_path(text: str, path: str | None, parser: str) -> None:
    assert refused(text).get("path") == path


# Each is as large as a spec may be, and made to keep a reader busy.
SLOW = {
    "tag directives": "".join(f"%TAG !t{i}! x\n" for i in range(15_000)) + "---\na: 1\n",
    "lists": "[" * 256 * 1024,
    "objects": "{" * 256 * 1024,
    "questions": "? " * 128 * 1024,
    "dashes": "- " * 128 * 1024,
    "keys": "".join(f"k{i}: 1\n" for i in range(24_000)),
    "anchors": "a: [" + ",".join(f"&a{i} x" for i in range(20_000)) + "]",
    "aliases": "a: &a x\nb: [" + ",".join(["*a"] * 60_000) + "]",
    "indents": "".join(" " * i + "a:\n" for i in range(700)),
    "digits": "a: " + "1" * 250_000,
    "quotes": "a: '" + "''" * 120_000 + "'",
    "escapes": '{"a": "' + "\\ud83d" * 40_000 + '"}',
    "key over many lines": '"' + "a\n" * 120_000 + '": 1',
    "spaces": " " * 256 * 1024,
    "texts": "a: [" + "x," * 24_000 + "]",
}


@pytest.mark.parametrize("case", SLOW)
def test_what_is_made_to_be_slow_is_read_or_refused_soon(case: str) -> None:
    start = time.process_time()
    try:
        validate(load_text(SLOW[case]))
    except SpecInvalid as refusal:
        assert len(refusal.details["diagnostics"]) == 1
    assert time.process_time() - start < 1.5


def test_a_byte_order_mark_is_no_fault() -> None:
    assert load_text(b"\xef\xbb\xbfa: 1\n").data == {"a": 1}


def test_a_tab_gets_a_hint() -> None:
    assert "spaces" in refused("a:\n\tb: 1\n")["suggestion"]


def test_a_spec_of_256_kib_is_read_and_one_byte_more_is_not() -> None:
    text = "a: " + "x" * (256 * 1024 - 3)
    assert len(load_text(text).data["a"]) == 256 * 1024 - 3
    assert refused(text + "x")["code"] == "E_LIMIT"


def test_the_limits_are_exact() -> None:
    limits = LoadLimits(depth_max=3, nodes_max=7)
    assert load_text("a: [[1, 2, 3]]\n", limits=limits).data == {"a": [[1, 2, 3]]}
    assert refused("a: [[1, 2, 3, 4]]\n", limits)["code"] == "E_LIMIT"
    assert refused("a: [[[1]]]\n", limits)["code"] == "E_LIMIT"


def test_an_alias_counts_and_nests_as_what_it_stands_for() -> None:
    text = "a: &a [1]\nb: *a\n"
    assert load_text(text, limits=LoadLimits(nodes_max=7)).data == {"a": [1], "b": [1]}
    assert refused(text, LoadLimits(nodes_max=6))["code"] == "E_LIMIT"
    deep = "a: &a [[1]]\nb: [*a]\n"
    assert load_text(deep, limits=LoadLimits(depth_max=4)).data["b"] == [[[1]]]
    assert refused(deep, LoadLimits(depth_max=3))["line"] == 2
    twice = "a: &a [[1]]\nb: &b [*a]\nc: [*b]\n"
    assert load_text(twice, limits=LoadLimits(depth_max=5)).data["c"] == [[[[1]]]]
    assert refused(twice, LoadLimits(depth_max=4))["line"] == 3


def test_a_bomb_costs_little() -> None:
    start = time.process_time()
    refused(BOMB)
    refused("a: &a {x: 1}\n" + "b: [" + "*a, " * 60_000 + "]\n")
    refused("a: " + "[" * 200_000)
    assert time.process_time() - start < 2


def test_scalars_mean_what_people_expect(parser: str) -> None:
    text = """
    whole: 4.0
    third: 0.5
    exponent: 1e3
    grouped: 1_000
    hex: 0x1F
    yes: yes
    off: off
    nothing: ~
    blank:
    date: 2026-05-10
    moment: 2026-05-10T12:34:56Z
    clock: 12:30
    postcode: 010
    version: 1.2.3
    address: 127.0.0.1
    dash: -x
    quoted: "4.0"
    tagged: !!str 4
    10: ten
    """
    data = load_text(text).data
    assert data == {
        "whole": 4,
        "third": 0.5,
        "exponent": 1000,
        "grouped": 1000,
        "hex": 31,
        "yes": True,
        "off": False,
        "nothing": None,
        "blank": None,
        "date": "2026-05-10",
        "moment": "2026-05-10T12:34:56Z",
        "clock": "12:30",
        "postcode": "010",
        "version": "1.2.3",
        "address": "127.0.0.1",
        "dash": "-x",
        "quoted": "4.0",
        "tagged": "4",
        "10": "ten",
    }
    assert type(data["whole"]) is int
    assert type(data["exponent"]) is int


def test_json_is_read_as_json_is_written(parser: str) -> None:
    value = {"text": 'a"b\\ud83d/\n\té', "emoji": "😀", "list": [1, 2.5, None, True], "o": {}}
    for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
        assert load_text(text).data == value
    if parser == "libyaml":  # the stand-in takes no tabs between tokens
        assert load_text(json.dumps(value, indent="\t")).data == value


def test_merge_keys_are_merged_and_what_is_written_out_wins(parser: str) -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\n"
    assert load_text(text).data["c"] == {"x": 3, "y": 1, "z": 2}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert load_text('"<<": 1\n').data == {"<<": 1}


def test_positions_point_to_keys_and_items(parser: str) -> None:
    document = load_text("a: 1\nb:\n  c:\n    - x\n    - d: [1, {e: 2}]\n")
    assert document.position(("b",)) == (2, 1)
    assert document.position(("b", "c", 0)) == (4, 7)
    assert document.position(("b", "c", 1, "d")) == (5, 7)
    assert document.position(("b", "c", 1, "d", 1, "e")) == (5, 15)
    assert document.position(("b", "c", 7, "q")) == (3, 3)
    assert document.position(()) == (1, 1)


def test_an_object_is_copied_to_plain_data() -> None:
    given = {"a": (1.0, 2.5, -0.0), "b": {"c": None}}
    document = load_object(given)
    assert document.data == {"a": [1, 2.5, 0], "b": {"c": None}}
    assert [type(item) for item in document.data["a"]] == [int, float, int]
    assert document.position(("a",)) is None
    given["b"]["c"] = 5  # type: ignore[call-overload, index]  # a mixed dict, changed on purpose
    assert document.data["b"] == {"c": None}


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    ("data", "code", "path"),
    [
        ({"a": 2.0**53}, "E_NUMBER", "a"),
        ({"a": [2**53]}, "E_NUMBER", "a[0]"),
        ({"a": float("nan")}, "E_NUMBER", "a"),
        ({"a": float("inf")}, "E_NUMBER", "a"),
        ({"a": {"b": "\ud800"}}, "E_TEXT", "a.b"),
        ({"a": "\0"}, "E_TEXT", "a"),
        ({"\0": 1}, "E_TEXT", None),
        ({1: 1}, "E_TYPE", None),
        ({"a": b"x"}, "E_TYPE", "a"),
        ({"a": {1, 2}}, "E_TYPE", "a"),
        ({"a": ["x" * 1000] * 300}, "E_LIMIT", "a[262]"),
        ({"a": [1] * 60_000}, "E_LIMIT", "a[49997]"),
        (endless(), "E_LIMIT", ".".join(["self"] * 64)),
        ([], "E_TYPE", None),
    ],
)
def test_an_object_that_is_no_spec_is_refused(data: Any, code: str, path: str | None) -> None:
    with pytest.raises(SpecInvalid) as caught:
        load_object(data)
    (diagnostic,) = caught.value.details["diagnostics"]
    assert (diagnostic["code"], diagnostic.get("path")) == (code, path)


def test_the_largest_exact_whole_number_is_kept() -> None:
    assert load_object({"a": 2.0**53 - 1}).data == {"a": 2**53 - 1}
    assert load_text(f"a: {2**53 - 1}").data == {"a": 2**53 - 1}
