"""Lists at the edge: filters, limits, orders, totals, tokens."""

import base64
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from kneo_grpc._gen.kneo.v1 import audit_pb2, human_task_pb2, queue_pb2, run_pb2, spec_pb2
from tests.service import Service, create, data, failure, function_spec, human_spec

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LISTS = {
    "ListRuns": ("runs", run_pb2.ListRunsRequest, "runs"),
    "GetRunTrace": ("runs", run_pb2.GetRunTraceRequest, "events"),
    "ListCheckpoints": ("runs", run_pb2.ListCheckpointsRequest, "checkpoints"),
    "ListHumanTasks": ("tasks", human_task_pb2.ListHumanTasksRequest, "tasks"),
    "ListQueue": ("queue", queue_pb2.ListQueueRequest, "jobs"),
    "ListDeadLetters": ("queue", queue_pb2.ListDeadLettersRequest, "jobs"),
    "ListSkills": ("specs", spec_pb2.ListSkillsRequest, "skills"),
    "ListAuditEvents": ("audit", audit_pb2.ListAuditEventsRequest, "events"),
}


def call(service: Service, rpc: str, **fields: Any) -> Any:
    stub, kind, _ = LISTS[rpc]
    if rpc in ("GetRunTrace", "ListCheckpoints"):
        fields.setdefault("run_id", "run_x")
    return getattr(getattr(service, stub), rpc)(ParseDict(fields, kind()))


@pytest.fixture
async def full(service: Service, tmp_path) -> Service:
    """Three completed runs, two that ask, one that failed; three skills."""
    for number in range(3):
        spec = function_spec("note", "number")
        await service.runs.CreateRun(
            create(f"text {number}", spec=spec, session_id=f"s{number % 2}", environment="prod")
        )
    for _ in range(2):
        await service.runs.CreateRun(create(spec=human_spec()))
    await service.runs.CreateRun(create(spec=function_spec("broken")))
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SKILL.md").write_text(f"---\nname: {name}\n---\n")
    # Sealed records have a number more: not between two reads.
    await service.platform.sealer.run_once()
    return service


OUT_OF_BOUNDS = [
    ({"limit": 0}, "limit"),
    ({"limit": -1}, "limit"),
    ({"limit": 1001}, "limit"),
    ({"limit": 2**31 - 1}, "limit"),
    ({"offset": -1}, "offset"),
    ({"offset": 10_001}, "offset"),
    ({"sort_by": "metadata.target"}, "sort_by"),
    ({"sort_by": "id; drop table runs"}, "sort_by"),
    ({"sort_order": "up"}, "sort_order"),
]


async def test_what_is_out_of_bounds_is_refused_by_name(service: Service) -> None:
    for rpc in LISTS:
        for fields, field in OUT_OF_BOUNDS:
            code, error = await failure(call(service, rpc, **fields))
            assert (code, error["error"], error["http"]) == (INVALID, "validation_error", 422)
            assert [fault["field"] for fault in error["fields"]] == [field], (rpc, fields)


async def test_the_bounds_themselves_are_taken(full: Service) -> None:
    for rpc in ("ListRuns", "ListHumanTasks", "ListQueue", "ListSkills", "ListAuditEvents"):
        for fields in ({"limit": 1}, {"limit": 1000}, {"offset": 10_000}):
            answer = data(await call(full, rpc, **fields))
            assert {name: answer[name] for name in fields} == fields, rpc
            assert answer["window"] == 10_000


FILTERS: list[tuple[dict[str, Any], int]] = [
    ({}, 6),
    ({"status": "completed"}, 3),
    ({"status": "succeeded"}, 3),
    ({"status": "paused"}, 2),
    ({"session_id": "s0"}, 2),
    ({"session_id": "none"}, 0),
    ({"environment": "prod"}, 3),
    ({"workflow_name": "asks"}, 2),
    ({"workflow_kind": "sequential"}, 6),
    ({"workflow_kind": "graph"}, 0),
    ({"has_error": True}, 1),
    ({"has_error": False}, 5),
    ({"q": "THE STEP BROKE"}, 1),
    ({"q": "'; --"}, 0),
    ({"created_after": "2020-01-01T00:00:00Z"}, 6),
    ({"created_after": "2020-01-01"}, 6),
    ({"created_before": "2020-01-01T00:00:00+02:00"}, 0),
    ({"status": "completed", "session_id": "s1", "q": "42"}, 1),
]


async def test_runs_are_filtered(full: Service) -> None:
    for fields, count in FILTERS:
        answer = data(await call(full, "ListRuns", **fields))
        found = (answer["count"], answer["total"], len(answer["runs"]))
        assert found == (count, count, count), fields


async def test_what_is_no_instant_is_refused(service: Service) -> None:
    for rpc in ("ListRuns", "ListAuditEvents"):
        for param in ("created_after", "created_before"):
            for text in ("yesterday", "2026-13-01", "1735689600", "0001-01-01T00:00:00+09:00"):
                code, error = await failure(call(service, rpc, **{param: text}))
                assert (code, error["error"], error["http"]) == (INVALID, "invalid_timestamp", 422)
                assert (error["param"], error["fields"][0]["field"]) == (param, param)
                assert text not in str(error)


async def test_a_list_shows_summaries_and_get_shows_all(full: Service) -> None:
    answer = data(await call(full, "ListRuns", session_id="s1"))
    (item,) = answer["runs"]
    assert item["metadata"] == {"target": "workflow", "environment": "prod"}
    whole = data(await full.runs.GetRun(run_pb2.GetRunRequest(run_id=item["run_id"])))
    assert whole.pop("metadata")["spec"]["workflow"]["name"] == "functions"
    del item["metadata"]
    assert item == whole


async def read_on(service: Service, rpc: str, **fields: Any) -> list[dict[str, Any]]:
    """Every page of a list, one after the other."""
    pages = [data(await call(service, rpc, **fields))]
    while "next_page_token" in pages[-1]:
        token = pages[-1]["next_page_token"]
        pages.append(data(await call(service, rpc, **fields, page_token=token)))
    return pages


READ_ON: list[tuple[str, dict[str, Any]]] = [
    ("ListRuns", {}),
    ("ListRuns", {"sort_by": "workflow_name", "sort_order": "asc"}),
    ("ListRuns", {"status": "completed", "sort_by": "created_at"}),
    ("GetRunTrace", {}),
    ("ListCheckpoints", {"sort_order": "desc"}),
    ("ListHumanTasks", {"status": "pending"}),
    ("ListSkills", {"sort_order": "desc"}),
    ("ListAuditEvents", {}),
    ("ListAuditEvents", {"event_type": "run.created", "sort_order": "asc"}),
]


async def test_tokens_lead_through_the_whole_list(full: Service) -> None:
    (run,) = data(await call(full, "ListRuns", session_id="s1"))["runs"]
    for rpc, given in READ_ON:
        of_run = rpc in ("GetRunTrace", "ListCheckpoints")
        fields = {**given, "run_id": run["run_id"]} if of_run else given
        name = LISTS[rpc][2]
        whole = data(await call(full, rpc, **fields))
        pages = await read_on(full, rpc, **fields, limit=1)
        assert len(pages) == whole["total"] > 1, rpc
        assert [page[name][0] for page in pages] == whole[name]
        assert {page["total"] for page in pages} == {whole["total"]}


async def first_token(service: Service, rpc: str = "ListRuns", **fields: Any) -> str:
    return (await call(service, rpc, limit=1, **fields)).next_page_token


def altered(token: str) -> str:
    packed = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    packed[-3] ^= 1
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


FORGERIES = [
    lambda token: "",
    lambda token: "nonsense",
    lambda token: "é" * 40,
    lambda token: token[:-1],
    lambda token: token + "AAAA",
    lambda token: "A" * 5_000,
    lambda token: "=" + token,
    altered,
]


async def test_a_token_that_was_not_given_is_refused(full: Service) -> None:
    for rpc in ("ListRuns", "ListAuditEvents"):
        given = await first_token(full, rpc)
        for number, forged in enumerate(FORGERIES):
            code, error = await failure(call(full, rpc, page_token=forged(given)))
            found = (code, error["error"], error["http"])
            assert found == (INVALID, "invalid_page_token", 422), (rpc, number)
            assert [fault["field"] for fault in error["fields"]] == ["page_token"]


UNLIKE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"status": "completed"}),
    ({"status": "completed"}, {}),
    ({"session_id": "s0"}, {"session_id": "s1"}),
    ({}, {"sort_order": "asc"}),
    ({}, {"sort_by": "id"}),
    ({}, {"has_error": False}),
]


async def test_a_token_goes_with_its_filters_and_its_order_only(full: Service) -> None:
    for given, used in UNLIKE:
        token = await first_token(full, **given)
        _, error = await failure(call(full, "ListRuns", **used, page_token=token))
        assert error["error"] == "invalid_page_token", used


async def test_a_token_goes_with_its_list_only(full: Service) -> None:
    token = await first_token(full, "ListHumanTasks")
    for rpc in ("ListRuns", "ListAuditEvents"):
        _, error = await failure(call(full, rpc, page_token=token))
        assert error["error"] == "invalid_page_token", rpc
    first, second, *_ = data(await call(full, "ListRuns"))["runs"]
    token = await first_token(full, "GetRunTrace", run_id=first["run_id"])
    asked = call(full, "GetRunTrace", run_id=second["run_id"], page_token=token)
    assert (await failure(asked))[1]["error"] == "invalid_page_token"


async def test_a_token_goes_without_an_offset_and_with_any_limit(full: Service) -> None:
    token = await first_token(full)
    _, error = await failure(call(full, "ListRuns", page_token=token, offset=1))
    assert (error["error"], error["fields"][0]["field"]) == ("validation_error", "offset")
    assert (await call(full, "ListRuns", page_token=token, offset=0, limit=50)).count == 5


async def test_a_token_outlives_its_process(full: Service) -> None:
    token = await first_token(full)
    tokens = full.platform.page_tokens
    tokens.use(b"another key")
    _, error = await failure(call(full, "ListRuns", page_token=token))
    assert error["error"] == "invalid_page_token"
    await full.platform.stop()
    await full.platform.start()
    assert (await call(full, "ListRuns", page_token=token, limit=50)).count == 5


async def test_a_trace_tells_whether_it_is_complete(full: Service) -> None:
    answer = data(await call(full, "ListRuns"))
    complete = {}
    for run in answer["runs"]:
        trace = await call(full, "GetRunTrace", run_id=run["run_id"])
        complete.setdefault(run["status"], set()).add(trace.complete)
    assert complete == {"completed": {True}, "failed": {True}, "blocked": {False}}


async def test_a_task_tells_where_its_run_stands(full: Service) -> None:
    (task, _) = data(await call(full, "ListHumanTasks"))["tasks"]
    assert (task["current_step_index"], "current_node_id" in task) == (0, False)
    assert data(await call(full, "ListHumanTasks", status="escalated"))["tasks"] == []
    _, error = await failure(call(full, "ListHumanTasks", status="decided"))
    assert error["fields"][0]["field"] == "status"
