"""What is written as YAML is read back as the same."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.render import to_yaml

TRICKY = ["1e3", "yes", "<<", "=", "a: b", "#x", "x #y", "- ", "0o7", "1_000", "|", "~", ""]
TRICKY += [
    "\n\n",
    "a\n ",
    "\ta\nb",
    " a\nb\n\n",
    "\x85x",
    "\u2028",
    "\ufeff",
    "---",
    "a\n---\nb",
    "a\n",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**52), 2**52)
    | st.floats(-1e6, 1e6)
    | st.text(max_size=12)
    | st.sampled_from(TRICKY)
)
KEYS = st.text(max_size=6) | st.sampled_from(TRICKY)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_yaml_reads_back(data: dict) -> None:
    try:
        document = load_object(data)
    except SpecInvalid:
        return
    assert load_text(to_yaml(document.data)).data == document.data


def test_it_is_pleasant_to_read() -> None:
    data = {"version": "v1", "agent": {"name": "a", "system_prompt": "one\ntwo\n", "tools": ["x"]}}
    assert to_yaml(data) == (
        "version: v1\nagent:\n  name: a\n  system_prompt: |\n    one\n    two\n  tools:\n  - x\n"
    )
