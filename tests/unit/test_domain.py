import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kneo_grpc.domain import patch
from kneo_grpc.domain.plan import AgentPlan, Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.plan_codec import decode_plan, encode_plan

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=4)


@settings(deadline=None)
@given(OBJECTS, OBJECTS)
def test_a_patch_turns_the_one_value_into_the_other(before: dict, after: dict) -> None:
    changed = patch.apply(before, patch.diff(before, after))
    assert json.dumps(changed, sort_keys=True) == json.dumps(after, sort_keys=True)


@pytest.mark.parametrize(("before", "after"), [(0, False), (1, True), (1, 1.0), ([0], [False, 1])])
def test_values_that_python_calls_equal_are_told_apart(before: object, after: object) -> None:
    changed = patch.apply({"n": before}, patch.diff({"n": before}, {"n": after}))
    assert json.dumps(changed) == json.dumps({"n": after})


def test_a_list_that_grew_costs_only_what_was_added() -> None:
    before = {"visited": ["a"] * 1000}
    after = {"visited": [*before["visited"], "b"]}
    assert patch.diff(before, after) == [["add", ["visited"], ["b"]]]


def test_a_plan_reads_back_as_it_was_written() -> None:
    steps = (StepPlan(id="x", kind="agent", ref="", timeout_seconds=1.5),)
    workflow = WorkflowPlan(name="w", kind="sequential", steps=steps)
    plan = Plan(agents={"": AgentPlan(name="a")}, workflows={"": workflow})
    digest, content = encode_plan(plan)
    assert decode_plan(content) == plan
    assert encode_plan(decode_plan(content)) == (digest, content)
