"""Which word was meant."""

import random
import time

import pytest

from kneo_grpc.spec.load import load_object
from kneo_grpc.spec.spelling import closest
from kneo_grpc.spec.validate import validate

WORDS = ["system_prompt", "strategy", "model", "memory", "name", "tools", "react", "simple"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("modle", "model"),
        ("model", "model"),
        ("MODEL", "model"),
        ("systemPrompt", "system_prompt"),
        ("system-prompt", "system_prompt"),
        ("stratgey", "strategy"),
        ("nam", "name"),
        ("tool", "tools"),
        ("simpel", "simple"),
        ("x", None),
        ("", None),
        ("prompt", None),
        ("temperature", None),
        ("model" * 20, None),
    ],
)
def test_the_nearest_word_is_found_or_none(word: str, meant: str | None) -> None:
    assert closest(word, WORDS) == meant


def test_the_first_of_equals_is_taken() -> None:
    assert closest("cat", ["car", "cap"]) == "car"


def test_names_that_are_all_alike_cost_little() -> None:
    letters = random.Random(7)
    names = [("ab" * 30) + "".join(letters.choices("ab", k=4)) for _ in range(200)]
    steps = [{"id": f"s{i}", "kind": "agent", "ref": f"{n[:-2]}cc"} for i, n in enumerate(names)]
    data = {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {"type": "sequential", "steps": steps},
        "components": {"agents": {name: {"name": "a"} for name in names}},
    }
    start = time.process_time()
    found = validate(load_object(data))
    assert found[0].suggestion is not None
    assert time.process_time() - start < 1.5


def test_patterns_that_are_costly_to_compile_are_not_all_compiled() -> None:
    wide = ["(?i)" + "[\x01-\uffff]" * 50 + str(index) for index in range(150)]
    plain = ["(?i)" + "[a-z]" * 100 + str(index) for index in range(150)]
    rails = [{"id": "a", "type": "regex", "config": {"patterns": [*wide, *plain]}}]
    data = {"version": "v1", "agent": {"name": "root", "guardrails": {"input": rails}}}
    start = time.process_time()
    assert [item.code for item in validate(load_object(data))] == ["E_FEATURE_UNSUPPORTED"]
    # All of them would take a minute.
    assert time.process_time() - start < 20
