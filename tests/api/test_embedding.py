"""The platform inside a program, with and without an event loop: both are put to each test."""

import asyncio
import inspect
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

import kneo_grpc
from kneo_grpc import (
    AsyncPlatform,
    KneoError,
    ModelReply,
    ModelToolCall,
    Platform,
    TokenUsage,
    Tool,
)
from kneo_grpc.client import AsyncClient, ServiceError
from kneo_grpc.domain.errors import (
    Conflict,
    EnvironmentPolicyBlocked,
    InvalidInput,
    NotFound,
    RunStateConflict,
    SpecInvalid,
    SpecPathConfined,
    StartRefused,
)

QUICK = {"KNEO_SERV_SHUTDOWN_TIMEOUT_SECONDS": "0.1"}
FAILURES: list[str] = []
GATE = threading.Event()


class JsonModel:
    """Calls the tool that the user's JSON names, and answers with what it returned."""

    def __init__(self, *names: str) -> None:
        self._names = names or ("dummy",)

    def names(self):
        return self._names

    async def complete(self, request):
        last = request.messages[-1]
        if last.role == "tool":
            return ModelReply(text=f"tool said: {last.content}")
        wish = json.loads(last.content)
        call = ModelToolCall(name=wish["tool"], arguments=wish["arguments"])
        return ModelReply(text="", tool_calls=(call,))


class Awaitable:
    """A platform of either kind, whose methods are all awaited."""

    def __init__(self, platform: Platform | AsyncPlatform) -> None:
        self.own = platform

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.own, name)
        if inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **options: Any) -> Any:
            return await asyncio.to_thread(method, *arguments, **options)

        return call


@pytest.fixture(params=[AsyncPlatform, Platform])
def kind(request):
    return request.param


@pytest.fixture
def make(kind):
    def build(**options: Any) -> Awaitable:
        return Awaitable(kind(**{"store": ":memory:", "variables": QUICK, **options}))

    return build


@pytest.fixture
async def platform(make, tmp_path: Path) -> AsyncIterator[Awaitable]:
    opened = make(
        spec_root=tmp_path,
        tools=[look_up, greet],
        functions={
            "shop.shout": str.upper,
            "shop.flaky": flaky,
            "shop.gated": gated,
            "shop.shout2": str.lower,
        },
        models=JsonModel(),
    )
    await opened.open()
    yield opened
    GATE.set()
    await opened.close()
    FAILURES.clear()
    GATE.clear()


def look_up(user_id: Annotated[str, Field(description="As u-001.")], count: int = 1) -> str:
    """Return the email
    of a user.

    More, that a model need not know.
    """
    return f"{user_id}@example.com" * count


async def greet() -> str:
    """Greet."""
    return "hello"


def flaky(text: str) -> str:
    FAILURES.append(text)
    if len(FAILURES) == 1:
        raise ValueError("not yet")
    return "done"


def gated(text: str) -> str:
    GATE.wait(20)
    return text


def functions(*names: str) -> dict[str, Any]:
    steps = [{"id": name, "kind": "function", "ref": name} for name in names]
    return {
        "version": "v1",
        "agent": {"name": "root"},
        "workflow": {"type": "sequential", "name": "steps", "steps": steps},
        "components": {"functions": {name: {"implementation": f"shop.{name}"} for name in names}},
    }


def asking() -> dict[str, Any]:
    spec = functions("shout")
    spec["workflow"]["steps"].insert(0, {"id": "ask", "kind": "human", "ref": "boss"})
    spec["components"]["humans"] = {"boss": {"description": "Well?"}}
    return spec


def agent(*tools: str, **fields: Any) -> dict[str, Any]:
    model = {"provider": "dummy", "name": "dummy"}
    root = {"name": "root", "model": model, "strategy": {"type": "react"}, **fields}
    return {"version": "v1", "agent": {**root, "tools": {"include": [*tools]}}}


def calls(tool: str, **arguments: Any) -> str:
    return json.dumps({"tool": tool, "arguments": arguments})


def public(kind: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


# The two kinds


def test_both_platforms_have_the_same_methods() -> None:
    ours, theirs = public(Platform), public(AsyncPlatform)
    signatures = [
        {name: str(inspect.signature(value)) for name, value in found.items()}
        for found in (ours, theirs)
    ]
    assert signatures[0] == signatures[1]
    assert inspect.signature(Platform) == inspect.signature(AsyncPlatform)
    changed = {"run_from_spec"}
    for name in ours:
        if name not in {"open", "close", "serve_forever", *changed}:
            assert ours[name].__doc__ == theirs[name].__doc__, name


def test_every_method_is_put_to_a_test() -> None:
    used = set(re.findall(r"platform(?:\.own)?\.(\w+)", Path(__file__).read_text()))
    assert set(public(Platform)) - used == set()


def test_what_the_package_offers_is_there() -> None:
    for name in kneo_grpc.__all__:
        assert getattr(kneo_grpc, name) is not None
        assert name in dir(kneo_grpc)
    with pytest.raises(AttributeError, match="no attribute 'Manager'"):
        _ = kneo_grpc.Manager


def test_the_package_is_imported_without_what_the_platform_needs() -> None:
    heavy = ["grpc", "google.protobuf", "pydantic", "yaml", "asyncpg", "asyncio"]
    script = f"import sys, kneo_grpc; print([name for name in {heavy!r} if name in sys.modules])"
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


# Runs


async def test_a_run_is_executed_and_its_result_returned(platform) -> None:
    result = await platform.run_from_spec(
        functions("shout"), "hello", session_id="s", metadata={"who": "me"}
    )
    assert (result["status"], result["output_text"]) == ("completed", "HELLO")
    run = await platform.get_run(result["run_id"])
    assert run["session_id"] == "s"
    assert run["metadata"]["caller_metadata"] == {"who": "me"}


async def test_a_spec_file_is_run_with_overlays_and_overrides(platform, tmp_path) -> None:
    (tmp_path / "spec.yaml").write_text(json.dumps(functions("shout")))
    (tmp_path / "over.yaml").write_text('{"workflow": {"name": "other"}}')
    overrides = {"agent": {"name": "chief"}}
    result = await platform.run_from_spec(
        Path("spec.yaml"), "hi", overlays=[Path("over.yaml")], overrides=overrides
    )
    run = await platform.get_run(result["run_id"])
    assert (run["workflow_name"], run["agent_name"]) == ("other", "chief")


async def test_a_started_run_is_queued_and_executed_by_the_worker(platform) -> None:
    started = await platform.start_run_from_spec(functions("gated"), "hi", timeout_seconds=60)
    assert started["status"] == "queued"
    waiting = await platform.wait_for_run(started["run_id"], timeout_seconds=0.01)
    assert waiting["status"] in ("queued", "running")
    GATE.set()
    run = await platform.wait_for_run(started["run_id"])
    assert (run["status"], run["output_text"]) == ("completed", "hi")


async def test_a_call_outlasts_the_wait_that_a_service_grants(make) -> None:
    variables = {**QUICK, "KNEO_SERV_SYNC_WAIT_SECONDS": "0.01"}
    platform = make(functions={"shop.gated": gated}, variables=variables)
    await platform.open()
    threading.Timer(0.2, GATE.set).start()
    result = await platform.run_from_spec(functions("gated"), "hi")
    assert (result["status"], result["output_text"]) == ("completed", "hi")
    assert result.keys() == (await platform.run_from_spec(functions("gated"), "hi")).keys()
    await platform.close()
    GATE.clear()


async def test_a_repeated_call_starts_nothing_anew(platform) -> None:
    first, again = [
        await platform.run_from_spec(functions("shout"), "a", idempotency_key="k") for _ in "ab"
    ]
    assert first["run_id"] == again["run_id"]


async def test_runs_are_listed_by_status(platform) -> None:
    done = await platform.run_from_spec(functions("shout"), "a")
    await platform.run_from_spec(asking(), "b")
    page = await platform.list_runs(status="completed", limit=1)
    assert [run["run_id"] for run in page["runs"]] == [done["run_id"]]


async def test_a_run_s_plan_is_shown(platform) -> None:
    blocked = await platform.run_from_spec(asking(), "hi")
    graph = await platform.run_graph(blocked["run_id"])
    assert (graph["status"], len(graph["current_nodes"])) == ("blocked", 1)
    report = (await platform.policy_report_for_run(blocked["run_id"]))["report"]
    assert report["summary"]["human_review_step_count"] == 1


async def test_a_policy_that_is_put_holds(platform) -> None:
    policy = {"require_human_review": True}
    put = await platform.put_environment_policy("prod", policy, idempotency_key="k")
    assert put == await platform.put_environment_policy("prod", policy, idempotency_key="k")
    assert (await platform.get_environment_policy("prod"))["policy"] == put["policy"]
    assert list((await platform.list_environment_policies())["policies"]) == ["prod"]
    with pytest.raises(EnvironmentPolicyBlocked):
        await platform.run_from_spec(functions("shout"), "a", environment="prod")


async def test_a_run_is_cancelled(platform) -> None:
    blocked = await platform.run_from_spec(asking(), "hi")
    assert (await platform.cancel_run(blocked["run_id"]))["status"] == "cancelled"


async def test_a_failed_run_is_a_result_and_goes_on(platform) -> None:
    failed = await platform.run_from_spec(functions("shout", "flaky"), "hi")
    assert (failed["status"], failed["error"]["type"]) == ("failed", "ValueError")
    assert (await platform.recovery(failed["run_id"]))["replay_context"]["can_continue"]
    done = await platform.continue_run(failed["run_id"])
    assert (done["status"], done["output_text"]) == ("completed", "done")
    with pytest.raises(RunStateConflict):
        await platform.continue_run(failed["run_id"])


async def test_a_run_is_forked(platform) -> None:
    failed = await platform.run_from_spec(functions("shout", "flaky"), "hi")
    done = await platform.fork_run(failed["run_id"], input="again", idempotency_key="k")
    assert (done["status"], done["output_text"]) == ("completed", "done")
    again = await platform.fork_run(failed["run_id"], input="again", idempotency_key="k")
    assert again["run_id"] == done["run_id"] != failed["run_id"]
    left = await platform.fork_run(failed["run_id"], checkpoint_sequence=1, async_mode=True)
    assert left["status"] == "queued"
    rested = await platform.wait_for_run(left["run_id"], timeout_seconds=20)
    assert (rested["status"], rested["parent_run_id"]) == ("completed", failed["run_id"])
    with pytest.raises(InvalidInput):
        await platform.fork_run(failed["run_id"], checkpoint=1)


async def test_a_person_decides(platform) -> None:
    blocked = await platform.run_from_spec(asking(), "hi")
    assert blocked["human_intervention_required"]
    (task,) = (await platform.list_human_tasks(run_id=blocked["run_id"]))["tasks"]
    assert task["id"] == blocked["continuation_id"]
    request = (await platform.get_human_task(blocked["continuation_id"]))["request"]
    done = await platform.resume_human_task(
        blocked["continuation_id"], "edited", request_id=request["id"], content="better"
    )
    assert (done["status"], done["output_text"]) == ("completed", "BETTER")
    with pytest.raises(KneoError):
        await platform.resume_human_task(
            blocked["continuation_id"], "approved", request_id=request["id"]
        )


async def test_what_happened_in_a_run_is_shown(platform) -> None:
    run_id = (await platform.run_from_spec(functions("shout", "shout2"), "hi"))["run_id"]
    kinds = [event["type"] for event in (await platform.trace(run_id))["events"]]
    assert (kinds[0], kinds[-1]) == ("workflow_started", "workflow_completed")
    assert (await platform.trace(run_id, event_type="workflow_started"))["total"] == 1
    found = (await platform.checkpoints(run_id, type="step_completed"))["checkpoints"]
    assert [item["step_id"] for item in found] == ["shout", "shout2"]
    diff = await platform.checkpoint_diff(run_id, from_sequence=1, to_sequence=2)
    assert diff["run_id"] == run_id
    assert (await platform.replay(run_id))["timeline"]


# Specs


async def test_specs_are_checked_and_shown(platform) -> None:
    spec = asking()
    assert (await platform.validate_spec(spec)) == {"valid": True, "diagnostics": []}
    assert (await platform.compile_spec(spec))["ok"]
    assert (await platform.explain_spec(spec))["summary"]["root_workflow"] == "steps"
    assert "flowchart" in (await platform.graph_spec(spec, format="mermaid"))["text"]
    assert (await platform.policy_report(spec))["valid"]
    assert (await platform.list_skills(limit=5))["skills"] == []


async def test_a_spec_with_errors_is_told_or_refused(platform) -> None:
    spec = agent("look_upp")
    found = await platform.validate_spec(spec)
    assert not found["valid"]
    assert found["diagnostics"][0]["code"] == "E_UNKNOWN_TOOL"
    assert not (await platform.compile_spec(spec, strict=False))["ok"]
    with pytest.raises(SpecInvalid) as caught:
        await platform.run_from_spec(spec, "hi")
    assert caught.value.reason == "spec_invalid"
    assert caught.value.details["diagnostics"][0]["code"] == "E_UNKNOWN_TOOL"


@pytest.mark.parametrize(
    ("spec", "error", "text"),
    [
        ("nothing.yaml", InvalidInput, "there is no spec file nothing.yaml"),
        ("../spec.yaml", SpecPathConfined, "leaves the spec root"),
        ("version: v1\nagent: {name: a}", InvalidInput, "load the YAML first"),
        (b"spec.yaml", InvalidInput, "not of type bytes"),
    ],
)
async def test_a_spec_that_cannot_be_found_is_refused(platform, spec, error, text) -> None:
    with pytest.raises(error, match=text):
        await platform.run_from_spec(spec, "hi")


async def test_options_that_do_not_exist_are_refused(platform) -> None:
    with pytest.raises(InvalidInput, match="no option timeout; there are"):
        await platform.run_from_spec(functions("shout"), "hi", timeout=3)
    with pytest.raises(InvalidInput, match="no option state"):
        await platform.list_runs(state="failed")
    with pytest.raises(InvalidInput, match="overlays is a list"):
        await platform.validate_spec(functions("shout"), overlays="over.yaml")
    with pytest.raises(KneoError) as caught:
        await platform.list_runs(limit=0)
    assert caught.value.reason == "validation_error"


# Code and models


async def test_a_tool_has_the_schema_of_its_signature(platform) -> None:
    result = await platform.run_from_spec(agent("look_up"), calls("look_up", user_id="u-1"))
    assert result["output_text"] == "tool said: u-1@example.com"
    (trace,) = [
        event
        for event in (await platform.trace(result["run_id"]))["events"]
        if event["type"] == "tool_call_completed"
    ]
    assert trace["tool_name"] == "look_up"


async def test_a_model_learns_what_is_wrong_with_its_arguments(platform) -> None:
    result = await platform.run_from_spec(agent("look_up"), calls("look_up", count="many"))
    told = json.loads(result["output_text"].removeprefix("tool said: "))["error"]
    assert "user_id: Missing required argument" in told
    assert "count: Input should be a valid integer" in told


async def test_a_model_learns_that_a_tool_was_cancelled_from_within(platform) -> None:
    @platform.own.tool
    async def cancels() -> str:
        "Cancel."
        raise asyncio.CancelledError("their own task was cancelled")

    calling = platform.run_from_spec(agent("cancels"), calls("cancels"))
    result = await asyncio.wait_for(calling, 20)
    told = json.loads(result["output_text"].removeprefix("tool said: "))
    assert told == {"error": "their own task was cancelled"}


async def test_tools_and_functions_are_registered_in_every_way(platform) -> None:
    @platform.own.tool
    def decorated() -> str:
        "Decorate."
        return "decorated"

    @platform.own.tool(name="named", description="Name.", parameters={"type": "object"})
    async def other(arguments: dict) -> str:
        return f"named {arguments}"

    @platform.own.function(name="shop.decorated")
    async def step(text: str) -> str:
        return f"<{text}>"

    platform.own.function(module_step)
    platform.own.register_tool(
        Tool(name="made", description="M.", parameters={"type": "object"}, handler=str)
    )
    await platform.register_function(lambda text: text, name="shop.same")
    spec = agent("decorated", "named", "made", "greet")
    expected = {
        "decorated": "decorated",
        "named": "named {'a': 1}",
        "made": "{'b': 2}",
        "greet": "hello",
    }
    for name, text in expected.items():
        given = {"named": {"a": 1}, "made": {"b": 2}}.get(name, {})
        result = await platform.run_from_spec(spec, calls(name, **given))
        assert result["output_text"] == f"tool said: {text}"
    steps = functions("same", "decorated", "own")
    steps["components"]["functions"]["own"]["implementation"] = f"{__name__}.module_step"
    result = await platform.run_from_spec(steps, "a")
    assert result["output_text"] == "<a>!"


def module_step(text: str) -> str:
    return f"{text}!"


async def test_a_tool_of_a_shipped_name_takes_its_place(make) -> None:
    platform = make(models=JsonModel())
    await platform.register_tool(lambda query: f"found {query}", **SEARCH)
    await platform.open()
    result = await platform.run_from_spec(agent("web_search"), calls("web_search", query="x"))
    assert result["output_text"] == "tool said: found x"
    await platform.close()


SEARCH = {
    "name": "web_search",
    "description": "Search.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}


async def test_the_shipped_example_tools_can_be_left_out(make) -> None:
    platform = make(example_tools=False)
    await platform.open()
    found = await platform.validate_spec(agent("web_search"))
    assert found["diagnostics"][0]["code"] == "E_UNKNOWN_TOOL"
    await platform.close()


async def test_the_shipped_model_stays_beside_those_of_the_program(make) -> None:
    platform = make(models=JsonModel("mine"))
    await platform.open()
    result = await platform.run_from_spec(agent(), "hi")
    assert result["output_text"] == "Final answer: hi"
    await platform.close()


async def test_only_allowed_modules_are_imported(make) -> None:
    spec = functions("shout")
    spec["components"]["functions"]["shout"]["implementation"] = "textwrap.dedent"
    for allowed, code in ((None, "E_IMPORT_NOT_ALLOWED"), (["textwrap"], None)):
        platform = make(import_allow=allowed)
        await platform.open()
        found = (await platform.compile_spec(spec, strict=False))["diagnostics"]
        assert [item["code"] for item in found] == ([code] if code else [])
        await platform.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tools": ["look_up"]}, "a tool must be callable, not of type str"),
        ({"tools": [look_up, look_up]}, "there is a tool look_up already"),
        ({"tools": [lambda: 1]}, "'<lambda>' is no name for a tool"),
        ({"functions": {"shop.a": 3}}, "a function must be callable, not of type int"),
        ({"functions": {"shout": str.upper}}, "needs a dotted name .*, not 'shout'"),
        ({"functions": {"shop.a": lambda: ""}}, "must take one argument"),
        ({"models": object()}, "models need the methods names and complete"),
        ({"store": 3}, "the store must be a file"),
        ({"import_allow": "shop"}, "import_allow is a list"),
    ],
)
def test_what_cannot_work_is_refused_at_once(kind, options, text) -> None:
    with pytest.raises(InvalidInput, match=text):
        kind(variables={}, **options)


def test_settings_that_cannot_work_are_refused_at_once(kind) -> None:
    with pytest.raises(StartRefused, match="KNEO_SERV_STEP_THREADS"):
        kind(variables={"KNEO_SERV_STEP_THREADS": "none"})


# Queue, upkeep, life


async def test_the_queue_is_shown_and_a_failed_run_put_back(platform) -> None:
    failed = await platform.run_from_spec(functions("flaky"), "hi")
    assert (await platform.list_dead_letters(limit=5))["jobs"] == []
    assert (await platform.list_queue(limit=5))["jobs"] == []
    assert (await platform.requeue_run(failed["run_id"]))["status"] == "queued"
    assert (await platform.wait_for_run(failed["run_id"]))["status"] == "completed"


async def test_the_prunes_return_counts(platform) -> None:
    assert (await platform.prune_timed_out_runs())["counts"] == {"timed_out": 0}
    expired = (await platform.prune_expired_human_tasks())["counts"]
    assert expired == {"expired": 0, "continued": 0, "escalated": 0}
    assert isinstance((await platform.prune_retention())["counts"], dict)


class CountingModel:
    """Tells the tokens that it took, but for texts that say `free`."""

    def names(self):
        return ("dummy",)

    async def complete(self, request):
        text = request.messages[-1].content
        if "free" in text:
            return ModelReply(text=text)
        usage = TokenUsage(input_tokens=len(text), output_tokens=1)
        return ModelReply(text=f"{text}!", usage=usage)


def agents_and_a_person() -> dict[str, Any]:
    steps = [
        {"id": "first", "kind": "agent", "ref": "a"},
        {"id": "ask", "kind": "human", "ref": "boss"},
        {"id": "second", "kind": "agent", "ref": "a"},
    ]
    return {
        "version": "v1",
        "agent": {"name": "a", "model": {"provider": "dummy", "name": "m"}, "strategy": "plan-act"},
        "workflow": {"type": "sequential", "steps": steps},
        "components": {"humans": {"boss": {}}},
    }


async def test_the_tokens_of_a_run_are_the_sum_over_its_steps(make) -> None:
    platform = make(models=CountingModel())
    await platform.open()
    try:
        paused = await platform.run_from_spec(agents_and_a_person(), "four")
        # It plans on four characters and answers on its plan's five; then on six and seven.
        one = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
        assert paused["metadata"]["usage"] == one
        assert (await platform.get_run(paused["run_id"]))["usage"] == one
        request_id = paused["metadata"]["request"]["id"]
        done = await platform.resume_human_task(
            paused["continuation_id"], "approved", request_id=request_id
        )
        both = {"input_tokens": 22, "output_tokens": 4, "total_tokens": 26}
        assert done["metadata"]["usage"] == both
        assert (await platform.get_run(paused["run_id"]))["usage"] == both
        (listed,) = (await platform.list_runs())["runs"]
        assert "usage" not in listed
        silent = await platform.run_from_spec({"version": "v1", "agent": {"name": "a"}}, "free")
        assert "usage" not in await platform.get_run(silent["run_id"])
    finally:
        await platform.close()


async def test_the_tokens_of_branches_are_counted_however_their_commits_fall(make) -> None:
    branches = [{"id": f"b{number}", "kind": "agent", "ref": "a"} for number in range(5)]
    spec = {
        "version": "v1",
        "agent": {"name": "a"},
        "workflow": {"type": "concurrent", "participants": branches},
    }
    platform = make(models=CountingModel())
    await platform.open()
    try:
        done = await platform.run_from_spec(spec, "four")
        usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
        assert (done["status"], done["metadata"]["usage"]) == ("completed", usage)
    finally:
        await platform.close()


async def test_the_audit_trail_is_listed_and_verified(platform) -> None:
    run = await platform.run_from_spec(functions("shout"), "hi")
    (event,) = (await platform.list_audit_events(event_type="run.created", limit=5))["events"]
    assert event["run_id"] == run["run_id"]
    assert (await platform.verify_audit())["valid"] is True
    second = await platform.run_from_spec(functions("shout"), "hi")
    first = await platform.list_audit_events(event_type="run.created", limit=1)
    query = {"event_type": "run.created", "limit": 1, "page_token": first["next_page_token"]}
    then = await platform.list_audit_events(**query)
    told = [event["run_id"] for event in first["events"] + then["events"]]
    assert told == [second["run_id"], run["run_id"]]


async def test_a_backup_is_a_database(platform, tmp_path) -> None:
    await platform.run_from_spec(functions("shout"), "hi")
    size = await platform.backup(tmp_path / "copy.sqlite")
    assert size == (tmp_path / "copy.sqlite").stat().st_size
    connection = sqlite3.connect(tmp_path / "copy.sqlite")
    assert connection.execute("select count(*) from runs").fetchone() == (1,)
    connection.close()


async def test_a_file_keeps_runs_and_memory_does_not(make, tmp_path) -> None:
    for store, kept in ((tmp_path / "runs.sqlite", 1), (":memory:", 0)):
        for round_ in (0, kept):
            platform = make(store=store, functions={"shop.shout": str.upper})
            async with platform.own if hasattr(platform.own, "__aenter__") else entered(platform):
                assert (await platform.list_runs())["count"] == round_
                await platform.run_from_spec(functions("shout"), "hi")


class entered:  # noqa: N801 # used like contextlib's
    """`with platform`, from a test that runs on an event loop."""

    def __init__(self, platform: Awaitable) -> None:
        self._own = platform.own

    async def __aenter__(self) -> None:
        assert await asyncio.to_thread(self._own.__enter__) is self._own

    async def __aexit__(self, *error: Any) -> None:
        await asyncio.to_thread(self._own.__exit__, *error)


async def test_runs_are_kept_in_postgresql(make, postgres_dsn, tmp_path) -> None:
    platform = make(store=postgres_dsn, functions={"shop.shout": str.upper})
    await platform.open()
    result = await platform.run_from_spec(functions("shout"), "hi")
    assert result["status"] == "completed"
    with pytest.raises(InvalidInput, match="pg_dump"):
        await platform.backup(tmp_path / "copy")
    await platform.close()


async def test_without_a_worker_runs_are_left_to_others(make, tmp_path) -> None:
    options = {"store": tmp_path / "runs.sqlite", "functions": {"shop.shout": str.upper}}
    idle = make(worker=False, **options)
    await idle.open()
    started = await idle.start_run_from_spec(functions("shout"), "hi")
    assert (await idle.wait_for_run(started["run_id"], timeout_seconds=0.1))["status"] == "queued"
    working = make(**options)
    await working.open()
    assert (await idle.wait_for_run(started["run_id"]))["status"] == "completed"
    assert (await idle.run_from_spec(functions("shout"), "hi"))["output_text"] == "HI"
    await working.close()
    await idle.close()


async def test_a_second_platform_on_one_file_is_refused(make, tmp_path) -> None:
    first, second = (make(store=tmp_path / "runs.sqlite") for _ in "ab")
    await first.open()
    with pytest.raises(StartRefused, match="in use by another"):
        await second.open()
    await second.close()
    await first.close()


async def test_a_platform_is_used_while_it_is_open_only(make) -> None:
    platform = make()
    with pytest.raises(Conflict, match="not open yet: use it in a with block"):
        await platform.get_run("run_1")
    await platform.open()
    with pytest.raises(Conflict, match="opened before"):
        await platform.open()
    with pytest.raises(NotFound):
        await platform.get_run("run_1")
    await platform.close()
    await platform.close()
    with pytest.raises(Conflict, match="the platform is closed"):
        await platform.run_from_spec(functions("shout"), "hi")
    with pytest.raises(Conflict):
        await platform.open()


async def test_an_async_tool_cannot_wait_for_its_own_platform() -> None:
    platform = Platform(store=":memory:", variables=QUICK, models=JsonModel())

    @platform.tool
    async def asks() -> str:
        "Ask."
        return platform.list_runs()["count"]

    @platform.tool
    def asks_too() -> str:
        "Ask."
        return platform.list_runs(status="running")["count"]

    def work() -> list[str]:
        with platform:
            spec = agent("asks", "asks_too")
            return [
                platform.run_from_spec(spec, calls(name))["output_text"]
                for name in ("asks", "asks_too")
            ]

    refused, counted = await asyncio.to_thread(work)
    assert "here it would wait for itself" in refused
    assert counted == "tool said: 1"


# Serving


async def test_a_platform_is_served_over_grpc(make, tmp_path) -> None:
    variables = {**QUICK, "KNEO_SERV_API_KEYS": "me:secret-key:operator"}
    platform = make(variables=variables, tools=[look_up], models=JsonModel())
    await platform.open()
    served = await platform.serve(grpc_port=0)
    assert (served.http, served.https) == (None, None)
    async with AsyncClient(f"grpc://{served.grpc}", api_key="secret-key") as client:
        body = {"input": calls("look_up", user_id="u-2"), "spec": agent("look_up")}
        run = await client.create_run(body)
        assert run["output_text"] == "tool said: [REDACTED_EMAIL]"
    async with AsyncClient(f"grpc://{served.grpc}") as stranger:
        with pytest.raises(ServiceError) as caught:
            await stranger.list_runs()
    assert caught.value.reason == "unauthorized"
    own = await platform.get_run(run["run_id"])
    assert (own["status"], own["output_text"]) == ("completed", "tool said: u-2@example.com")
    with pytest.raises(Conflict, match="served already"):
        await platform.serve(grpc_port=0)
    await platform.close()


async def test_serving_that_cannot_be_is_refused(platform) -> None:
    for where, error, text in (
        ({}, InvalidInput, "say where"),
        ({"port": 0}, InvalidInput, "must be given"),
        ({"grpc_port": 0, "tls_cert": "c.pem"}, InvalidInput, "go together"),
        ({"grpc_prt": 1}, InvalidInput, "no option grpc_prt"),
        ({"grpc_port": 0, "host": "0.0.0.0"}, StartRefused, "without API keys is refused"),
    ):
        with pytest.raises(error, match=text):
            await platform.serve(**where)
    assert (await platform.serve(grpc_port=0)).grpc


async def test_serving_for_ever_ends_with_a_signal() -> None:
    async with AsyncPlatform(store=":memory:", variables=QUICK) as platform:
        before = signal.getsignal(signal.SIGTERM)
        task = asyncio.create_task(platform.serve_forever(grpc_port=0))
        while signal.getsignal(signal.SIGTERM) is before:
            assert not task.done()
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 10)
        assert signal.getsignal(signal.SIGTERM) is before
        assert (await platform.list_runs())["count"] == 0


def test_the_document_names_every_method() -> None:
    text = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    named = set(re.findall(r"`(?:platform\.)?(\w+)", text))
    assert set(public(Platform)) - named == set()
