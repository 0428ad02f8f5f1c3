"""Calls on runs of which retention has removed all, or the checkpoints."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2, maintenance_pb2, run_pb2
from kneo_grpc.app.settings import Settings
from kneo_grpc.platform.retention import RetentionSettings
from kneo_grpc.ports.upkeep import Kept
from tests.service import (
    Service,
    create,
    data,
    failure,
    function_spec,
    human_spec,
    import_code,
    open_service,
)


@pytest.fixture(params=[Kept.RUNS, Kept.CHECKPOINTS], ids=lambda kind: kind.value)
async def service(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Service]:
    """A service that keeps nothing of one kind."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for _ in import_code(tmp_path):
        settings = Settings(state_path=tmp_path / "runs.sqlite", import_allow=("kneo_test_code",))
        ages = RetentionSettings(ages={request.param: timedelta(0)})
        async for opened in open_service(replace(settings, retention=ages), tmp_path):
            yield opened


async def prune(service: Service) -> None:
    answer = await service.maintenance.PruneRetention(maintenance_pb2.PruneRetentionRequest())
    assert all(answer.counts.values()), answer.counts


@pytest.mark.parametrize("service", [Kept.RUNS], indirect=True)
async def test_the_continuation_of_a_pruned_run_is_not_found(service: Service) -> None:
    blocked = data(await service.runs.CreateRun(create(spec=human_spec())))
    await service.runs.CancelRun(run_pb2.CancelRunRequest(run_id=blocked["run_id"]))
    await prune(service)
    name = blocked["continuation_id"]
    resume = human_task_pb2.ResumeHumanTaskRequest(
        continuation_id=name,
        request_id=blocked["metadata"]["pending_human_request"]["request_id"],
        decision="approved",
    )
    for call in (
        service.tasks.ResumeHumanTask(resume),
        service.tasks.GetHumanTask(human_task_pb2.GetHumanTaskRequest(continuation_id=name)),
    ):
        code, error = await failure(call)
        assert (code, error["error"], error["http"]) == (
            grpc.StatusCode.NOT_FOUND,
            "not_found",
            404,
        )


@pytest.mark.parametrize("service", [Kept.CHECKPOINTS], indirect=True)
async def test_a_failed_run_without_checkpoints_cannot_be_continued(service: Service) -> None:
    failed = await service.runs.CreateRun(create(spec=function_spec("note", "broken")))
    assert failed.status == "failed"
    await prune(service)
    code, error = await failure(
        service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=failed.run_id))
    )
    assert (code, error["error"], error["http"]) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "run_state_conflict",
        409,
    )
    assert "checkpoints" in error["message"]


@pytest.mark.parametrize("service", [Kept.CHECKPOINTS], indirect=True)
async def test_views_of_a_run_without_checkpoints_tell_what_is_left(service: Service) -> None:
    failed = await service.runs.CreateRun(create(spec=function_spec("note", "broken")))
    run_id = failed.run_id
    await prune(service)
    view = await service.runs.GetRunRecovery(run_pb2.GetRunRecoveryRequest(run_id=run_id))
    assert not view.replay_context.can_continue
    replay = await service.runs.GetRunReplay(run_pb2.GetRunReplayRequest(run_id=run_id))
    assert not replay.timeline
    _, error = await failure(
        service.runs.DiffCheckpoints(run_pb2.DiffCheckpointsRequest(run_id=run_id))
    )
    assert (error["error"], error["http"]) == ("not_found", 404)


@pytest.mark.parametrize("service", [Kept.RUNS], indirect=True)
async def test_views_of_a_pruned_run_are_not_found(service: Service) -> None:
    done = await service.runs.CreateRun(create(spec=function_spec("note")))
    run_id = done.run_id
    await prune(service)
    for call in (
        service.runs.GetRunRecovery(run_pb2.GetRunRecoveryRequest(run_id=run_id)),
        service.runs.GetRunReplay(run_pb2.GetRunReplayRequest(run_id=run_id)),
        service.runs.ContinueRun(run_pb2.ContinueRunRequest(run_id=run_id)),
        service.runs.CancelRun(run_pb2.CancelRunRequest(run_id=run_id)),
        service.runs.DiffCheckpoints(
            run_pb2.DiffCheckpointsRequest(run_id=run_id, from_sequence=1, to_sequence=2)
        ),
    ):
        _, error = await failure(call)
        assert (error["error"], error["http"]) == ("not_found", 404)
