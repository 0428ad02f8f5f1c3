"""From a spec to a plan."""

import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.domain.human import HumanRequestType, OnTimeout
from kneo_grpc.domain.plan import ROOT, AgentPlan, HumanPlan, Plan, StepPlan, ToolPlan
from kneo_grpc.domain.plan_codec import decode_plan, encode_plan
from kneo_grpc.spec.compile import compile_spec
from kneo_grpc.spec.load import load_object, load_text
from kneo_grpc.spec.validate import validate

FULL = """
version: v1
agent:
  name: root
  description: the root
  system_prompt: Be brief.
  model: {provider: dummy, name: dummy, temperature: 1, max_tokens: 50, extra: {seed: 4.0}}
  strategy: {type: react, max_iterations: 3}
  tools:
    include: [search, registered, search]
    permissions: {allow_network: true, allowed_domains: [example.com], allow_shell: true}
  policies:
    tool: {allow: [search], deny: [other], network: true, shell: false}
workflow:
  type: sequential
  description: all of it
  steps:
    - {id: one, kind: agent, ref: root, on_error: fallback, fallback_ref: two}
    - {id: two, kind: agent, ref: helper, enabled: false, on_error: retry, max_retries: 2}
    - {id: ask, kind: human, ref: boss}
    - {id: sub, kind: workflow, ref: inner, timeout_seconds: 30}
    - {id: end, kind: function, ref: publish, on_error: continue}
components:
  agents:
    helper: {name: Helper, strategy: plan-act}
  workflows:
    inner:
      type: sequential
      name: deep
      steps: [helper, {id: again, kind: human, ref: boss}]
  functions:
    publish: {implementation: shop.publish}
  humans:
    boss:
      description: Choose.
      assignee: boss@example.com
      timeout_seconds: 60
      on_timeout: continue
      request_type: selection
      options: [a, b]
      default_option: b
      context: {why: because}
tools:
  search:
    description: Search.
    parameters: {type: object, properties: {q: {type: string, default: null}}}
    implementation: shop.search
"""

LOOKUP = ToolPlan(name="registered", description="Look up.", parameters={"type": "object"})


def compiled(text: str, **known: Any) -> Plan:
    return compile_spec(load_text(text), **known).plan


def full() -> Plan:
    return compiled(FULL, known_tools={"registered": LOOKUP})


def test_a_workflow_keeps_every_step_as_written() -> None:
    flow = full().workflows[ROOT]
    assert (flow.name, flow.kind, flow.description) == (
        "sequential-workflow",
        "sequential",
        "all of it",
    )
    assert flow.steps == (
        StepPlan(id="one", kind="agent", ref=ROOT, on_error="fallback", fallback_ref="two"),
        StepPlan(
            id="two", kind="agent", ref="helper", enabled=False, on_error="retry", max_retries=2
        ),
        StepPlan(id="ask", kind="human", ref="boss"),
        StepPlan(id="sub", kind="workflow", ref="inner", timeout_seconds=30.0),
        StepPlan(id="end", kind="function", ref="publish", on_error="continue"),
    )


def test_a_step_given_as_text_is_an_agent_step() -> None:
    inner = full().workflows["inner"]
    assert inner.name == "deep"
    assert inner.steps[0] == StepPlan(id="helper", kind="agent", ref="helper")


def test_an_agent_is_compiled_with_its_defaults() -> None:
    agents = full().agents
    assert agents["helper"] == AgentPlan(name="Helper", strategy="plan-act")
    root = agents[ROOT]
    assert (root.strategy, root.max_iterations, root.runtime_mode) == ("react", 3, "bridge")
    assert root.model_settings == {"temperature": 1.0, "max_tokens": 50, "extra": {"seed": 4}}
    assert root.tools == ("search", "registered")


def test_the_stricter_of_two_permissions_holds() -> None:
    assert full().agents[ROOT].tool_permissions == {
        "allow_network": True,
        "allow_shell": False,
        "allowed_domains": ["example.com"],
        "allow": ["search"],
        "deny": ["other"],
    }


def test_a_person_is_compiled_with_all_that_is_asked() -> None:
    assert full().humans["boss"] == HumanPlan(
        name="boss",
        description="Choose.",
        assignee="boss@example.com",
        timeout_seconds=60,
        on_timeout=OnTimeout.CONTINUE,
        request_type=HumanRequestType.SELECTION,
        options=("a", "b"),
        default_option="b",
        context={"why": "because"},
    )


def test_tools_come_from_the_spec_and_from_the_registry() -> None:
    plan = full()
    assert plan.tools["registered"] == LOOKUP
    assert plan.tools["search"].implementation == "shop.search"
    assert plan.tools["search"].parameters["properties"] == {
        "q": {"type": "string", "default": None}
    }
    by_name = compiled(FULL, known_tools=frozenset({"registered", "unused"}))
    assert set(by_name.tools) == {"search"}
    assert by_name.agents[ROOT].tools == ("search", "registered")


def test_a_denied_tool_is_not_even_shown_to_the_model() -> None:
    plan = compiled(FULL.replace("deny: [other]", "deny: [registered]"), known_tools={"registered"})
    assert plan.agents[ROOT].tools == ("search",)


def test_a_plan_reads_back_as_it_was() -> None:
    plan = full()
    digest, content = encode_plan(plan)
    assert encode_plan(decode_plan(content))[0] == digest


def test_the_normalised_spec_compiles_to_the_same_plan() -> None:
    first = compile_spec(load_text(FULL), known_tools={"registered": LOOKUP})
    again = compile_spec(load_object(first.spec), known_tools={"registered": LOOKUP})
    assert again.plan == first.plan
    assert again.spec == first.spec
    assert first.spec["workflow"]["steps"][0]["id"] == "one"


def test_a_component_agent_is_preferred_to_the_root_agent_of_that_name() -> None:
    text = (
        "version: v1\nagent: {name: twin}\nworkflow: {type: sequential, steps: [twin]}\n"
        "components: {agents: {twin: {name: other}}}\n"
    )
    assert compiled(text).workflows[ROOT].steps[0].ref == "twin"


def test_a_registered_function_needs_no_dotted_path() -> None:
    text = (
        "version: v1\nagent: {name: a}\ncomponents: {functions: {f: {implementation: publish}}}\n"
    )
    assert validate(load_text(text))[0].code == "E_SCHEMA"
    plan = compiled(text, known_functions={"publish"})
    assert plan.functions["f"].implementation == "publish"


def test_a_declared_tool_may_be_backed_by_the_registry() -> None:
    text = "version: v1\nagent: {name: a}\ntools: {t: {description: mine}}\n"
    with pytest.raises(SpecInvalid, match="E_TOOL_NO_BACKING"):
        compiled(text)
    assert compiled(text, known_tools={"t"}).tools["t"] == ToolPlan(name="t", description="mine")


def test_a_spec_without_workflow_has_only_its_agent() -> None:
    plan = compiled("version: v1\nagent: {name: solo}\n")
    assert plan == Plan(agents={ROOT: AgentPlan(name="solo")})


def test_the_message_names_the_first_error_and_counts_the_others() -> None:
    text = "version: v1\nagent: {name: a}\nworkflow: {type: sequential, steps: [b, c]}\n"
    with pytest.raises(SpecInvalid) as caught:
        compiled(text)
    assert caught.value.message.startswith("E_STEP_AGENT_REF at workflow.steps[0].ref (line 3): ")
    assert caught.value.message.endswith("; and 1 more")
    assert caught.value.details["diagnostics"][1]["path"] == "workflow.steps[1].ref"


def test_text_json_and_struct_give_the_same_digest() -> None:
    text = (
        "version: v1\nagent: {name: a}\n"
        "workflow: {type: sequential, steps: [{id: s, kind: agent, ref: a, max_retries: 4}]}\n"
    )
    as_object: dict[str, Any] = {
        "workflow": {
            "steps": [{"ref": "a", "max_retries": 4.0, "kind": "agent", "id": "s"}],
            "type": "sequential",
        },
        "version": "v1",
        "agent": {"name": "a"},
    }
    assert encode_plan(compiled(text)) == encode_plan(compile_spec(load_object(as_object)).plan)


def test_two_hash_seeds_give_the_same_plan_and_findings() -> None:
    program = (
        "import sys, hashlib\n"
        "from kneo_grpc.domain.plan_codec import encode_plan\n"
        "from kneo_grpc.spec.compile import compile_spec\n"
        "from kneo_grpc.spec.load import load_text\n"
        "done = compile_spec(load_text(sys.stdin.read()), known_tools={'registered', 'x', 'y'})\n"
        "print(encode_plan(done.plan)[0], list(done.spec), done.diagnostics)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=FULL,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    plan = compiled(FULL, known_tools={"registered", "x", "y"})
    assert outputs.pop().startswith(encode_plan(plan)[0])


def test_the_digest_of_a_known_spec_stays() -> None:
    # Stored plans are found by digest: a change here means another plan format.
    digest = encode_plan(full())[0]
    assert digest == "aed9f72e0d050f2816df2db30804e93a6d5f3bbe6ab6fd946f80de9f4f4492d6"


def test_the_digest_tells_plans_apart() -> None:
    plan = full()
    assert encode_plan(replace(plan, tools={}))[0] != encode_plan(plan)[0]


TUTORIAL = """\
version: v1
agent:
  name: directory-agent
  system_prompt: |
    Look users up with the lookup_user tool and answer briefly.
  model:
    provider: openai
    name: gpt-4o-mini
  strategy:
    type: react
    max_iterations: 4
  runtime_preferences:
    preferred_mode: bridge
    allowed_modes: [bridge]
  tools:
    include: [lookup_user]
  policies:
    tool:
      allow:
        - lookup_user
      deny: []
      network: false
      filesystem: false
      shell: false
workflow:
  type: sequential
  name: lookup-pipeline
  steps:
    - id: answer
      kind: agent
      ref: directory-agent
"""


def test_a_custom_tool_of_the_registry_is_used_by_the_root_agent_as_a_step() -> None:
    known = {"known_tools": {"lookup_user"}, "providers": {"dummy", "openai"}}
    done = compile_spec(load_text(TUTORIAL), **known)
    assert done.diagnostics == ()
    assert done.plan.workflows[ROOT].steps == (StepPlan(id="answer", kind="agent", ref=ROOT),)
    assert done.plan.agents[ROOT].tool_permissions == {
        "allow": ["lookup_user"],
        "allow_network": False,
        "allow_filesystem_read": False,
        "allow_filesystem_write": False,
        "allow_shell": False,
    }
    (found,) = validate(load_text(TUTORIAL), providers={"dummy", "openai"})
    assert (found.code, found.line) == ("E_UNKNOWN_TOOL", 16)


def test_200_steps_are_validated_and_64_kib_compiled_in_time() -> None:
    def sequence(count: int) -> str:
        step = "    - {{id: s{}, kind: function, ref: f, on_error: retry, max_retries: 2}}\n"
        return (
            "version: v1\nagent: {name: a}\nworkflow:\n  type: sequential\n  steps:\n"
            + "".join(step.format(index) for index in range(count))
            + "components: {functions: {f: {implementation: a.b}}}\n"
        )

    def best(work: Any) -> float:
        # The least of some runs: other processes of the machine make the others slower.
        times = []
        for _ in range(5):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
        return min(times)

    small, large = sequence(200), sequence(950)
    assert len(large) >= 64 * 1024
    document = load_text(large)
    assert best(lambda: validate(load_text(small))) < 0.060
    assert best(lambda: compile_spec(document)) < 0.050
