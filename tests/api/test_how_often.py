"""The same call again, and sixty-four times at once, on both databases."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2, run_pb2
from kneo_grpc.api.keys import read_keys
from kneo_grpc.app.settings import Settings
from tests.service import Service, create, failure, function_spec, human_spec, open_service

Code = grpc.StatusCode
MANY = 64
KEYS = "ann:ann-key:admin;bob:bob-key:admin"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else ""


@pytest.fixture
async def shared(
    database_url: str, settings: Settings, code: ModuleType, tmp_path: Path
) -> AsyncIterator[Service]:
    """A service with two administrators, on each of the databases."""
    chosen = replace(settings, keys=read_keys(KEYS, ""), database_url=database_url)
    async for opened in open_service(chosen, tmp_path):
        yield opened


def headers(who: str = "ann", key: str | None = None) -> tuple[tuple[str, str], ...]:
    found = (("x-kneo-api-key", f"{who}-key"),)
    return found if key is None else (*found, ("idempotency-key", key))


def decision(result: Any, word: str = "approved") -> human_task_pb2.ResumeHumanTaskRequest:
    return human_task_pb2.ResumeHumanTaskRequest(
        continuation_id=result.continuation_id,
        request_id=result.metadata["pending_human_request"]["id"],
        decision=word,
    )


async def outcomes(calls: list[Any]) -> tuple[list[Any], Counter[str]]:
    """Await calls; return the answers, and how many failed for which reason."""
    await asyncio.gather(*calls, return_exceptions=True)
    answers, reasons = [], Counter[str]()
    for call in calls:
        try:
            answers.append(await call)
        except grpc.aio.AioRpcError:
            _, error = await failure(call)
            reasons[error["error"]] += 1
            assert error["http"] == 409
    return answers, reasons


async def replayed(call: Any) -> bool:
    return dict(await call.initial_metadata()).get("idempotency-replayed") == "true"


async def test_of_many_resumes_one_wins(shared: Service) -> None:
    asked = await shared.runs.CreateRun(create(spec=human_spec()), metadata=headers())
    calls = [
        shared.tasks.ResumeHumanTask(decision(asked, word), metadata=headers(who))
        for who, word in [("ann", "approved"), ("bob", "rejected")] * (MANY // 2)
    ]
    answers, reasons = await outcomes(calls)
    assert len(answers) == 1
    assert sum(reasons.values()) == MANY - 1
    assert set(reasons) <= {"resource_locked", "run_state_conflict"}
    run = await shared.runs.GetRun(run_pb2.GetRunRequest(run_id=asked.run_id), metadata=headers())
    assert (run.status, run.attempt) == ("completed", 2)


async def test_of_many_resumes_with_one_key_all_that_are_answered_agree(shared: Service) -> None:
    asked = await shared.runs.CreateRun(create(spec=human_spec()), metadata=headers())
    request = decision(asked)
    calls = [
        shared.tasks.ResumeHumanTask(request, metadata=headers(key="once")) for _ in range(MANY)
    ]
    answers, reasons = await outcomes(calls)
    assert answers
    assert all(answer == answers[0] for answer in answers)
    assert set(reasons) <= {"idempotency_key_in_progress", "resource_locked", "run_state_conflict"}
    again = shared.tasks.ResumeHumanTask(request, metadata=headers(key="once"))
    assert (await again, await replayed(again)) == (answers[0], True)


async def test_of_many_creates_with_one_key_one_makes_a_run(shared: Service) -> None:
    request = create(spec=function_spec("note"))
    calls = [shared.runs.CreateRun(request, metadata=headers(key="once")) for _ in range(MANY)]
    answers, reasons = await outcomes(calls)
    assert {answer.run_id for answer in answers} == {answers[0].run_id}
    assert set(reasons) <= {"idempotency_key_in_progress"}
    listed = await shared.runs.ListRuns(run_pb2.ListRunsRequest(), metadata=headers())
    assert listed.total == 1


async def test_of_many_cancels_with_one_key_one_cancels(shared: Service) -> None:
    asked = await shared.runs.CreateRun(create(spec=human_spec()), metadata=headers())
    request = run_pb2.CancelRunRequest(run_id=asked.run_id)
    calls = [shared.runs.CancelRun(request, metadata=headers(key="once")) for _ in range(MANY)]
    answers, reasons = await outcomes(calls)
    assert not reasons
    assert {answer.status for answer in answers} == {"cancelled"}
    assert sum([not await replayed(call) for call in calls]) == 1
    assert all(answer == answers[0] for answer in answers)


async def test_a_key_stands_for_one_request_of_one_caller(shared: Service) -> None:
    """A cancel, as the rpc whose repeats were not recognised for longest."""
    first, second = [
        await shared.runs.CreateRun(create(spec=human_spec()), metadata=headers()) for _ in range(2)
    ]

    def cancel(result: Any, who: str = "ann") -> Any:
        request = run_pb2.CancelRunRequest(run_id=result.run_id)
        return shared.runs.CancelRun(request, metadata=headers(who, "k"))

    done = await cancel(first)
    code, error = await failure(cancel(second))
    assert (code, error["error"], error["scope"]) == (
        Code.ALREADY_EXISTS,
        "idempotency_key_conflict",
        "runs:cancel",
    )
    call = cancel(first)
    assert (await call, await replayed(call)) == (done, True)
    other = cancel(second, "bob")
    assert ((await other).status, await replayed(other)) == ("cancelled", False)


async def test_a_key_is_for_one_kind_of_call(shared: Service) -> None:
    request = create(spec=function_spec("note"))
    run = await shared.runs.CreateRun(request, metadata=headers(key="k"))
    other = await shared.specs.RunSpec(request, metadata=headers(key="k"))
    assert run.run_id != other.run_id


@pytest.mark.parametrize("key", ["", "   "])
async def test_a_blank_key_is_none(shared: Service, key: str) -> None:
    request = create(spec=function_spec("note"))
    ids = {
        (await shared.runs.CreateRun(request, metadata=headers(key=key))).run_id for _ in range(2)
    }
    assert len(ids) == 2


async def test_unfit_keys_are_refused_by_every_call_that_takes_one(shared: Service) -> None:
    asked = await shared.runs.CreateRun(create(spec=human_spec()), metadata=headers())
    for key in ("k" * 257, "k" * 5_000):
        calls = [
            shared.runs.CreateRun(create(spec=function_spec("note")), metadata=headers(key=key)),
            shared.specs.RunSpec(create(spec=function_spec("note")), metadata=headers(key=key)),
            shared.tasks.ResumeHumanTask(decision(asked), metadata=headers(key=key)),
            shared.runs.ContinueRun(
                run_pb2.ContinueRunRequest(run_id=asked.run_id), metadata=headers(key=key)
            ),
            shared.runs.CancelRun(
                run_pb2.CancelRunRequest(run_id=asked.run_id), metadata=headers(key=key)
            ),
        ]
        for call in calls:
            code, error = await failure(call)
            assert (code, error["error"]) == (Code.INVALID_ARGUMENT, "invalid_idempotency_key")
    longest = shared.runs.CancelRun(
        run_pb2.CancelRunRequest(run_id=asked.run_id), metadata=headers(key="k" * 256)
    )
    assert (await longest).status == "cancelled"


async def test_a_repeat_whose_first_answer_was_removed_meanwhile_is_a_conflict(
    shared: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Change finds the key taken; when it looks for the answer, retention has been there."""

    async def gone(principal: str, scope: str, key: str) -> None:
        return None

    spec = function_spec("note")
    first = await shared.runs.CreateRun(create(spec=spec), metadata=headers(key="k"))
    failed = await shared.runs.CreateRun(create(spec=function_spec("broken")), metadata=headers())
    asked = await shared.runs.CreateRun(create(spec=human_spec()), metadata=headers())
    again = run_pb2.ContinueRunRequest(run_id=failed.run_id)
    await shared.runs.ContinueRun(again, metadata=headers(key="k"))
    other = await shared.runs.CreateRun(create(spec=human_spec()), metadata=headers())
    await shared.tasks.ResumeHumanTask(decision(other), metadata=headers(key="k"))
    monkeypatch.setattr(shared.platform.store, "load_idempotency", gone)
    for call in (
        shared.runs.CreateRun(create(spec=spec), metadata=headers(key="k")),
        shared.runs.CreateRun(create(spec=spec, async_mode=True), metadata=headers(key="k")),
        shared.runs.ContinueRun(again, metadata=headers(key="k")),
        shared.tasks.ResumeHumanTask(decision(asked), metadata=headers(key="k")),
    ):
        _, error = await failure(call)
        assert (error["http"], error["error"]) == (409, "idempotency_key_conflict")
        assert "removed" in error["message"]
    run = await shared.runs.GetRun(run_pb2.GetRunRequest(run_id=first.run_id), metadata=headers())
    assert run.status == "completed"
