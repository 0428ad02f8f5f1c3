"""RunService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import run_pb2, run_pb2_grpc, run_result_pb2, spec_pb2
from kneo_grpc.api.call import announce, current_call
from kneo_grpc.api.convert import replay as convert_replay
from kneo_grpc.api.convert import runs as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.convert.spec_views import report_to_pb, run_graph_to_pb
from kneo_grpc.api.page_tokens import PageTokens
from kneo_grpc.platform.feed import Feed
from kneo_grpc.platform.forks import Forks
from kneo_grpc.platform.recovery import Recovery
from kneo_grpc.platform.replay import Replays
from kneo_grpc.platform.run_views import RunViews
from kneo_grpc.platform.runs import Runs


class RunServicer(run_pb2_grpc.RunServiceServicer):
    """Executes workflows and agents and shows what they did."""

    def __init__(
        self,
        *,
        runs: Runs,
        views: RunViews,
        feed: Feed,
        recovery: Recovery,
        forks: Forks,
        replays: Replays,
        tokens: PageTokens,
        limits: Limits,
    ) -> None:
        self._runs = runs
        self._views = views
        self._tokens = tokens
        self._feed = feed
        self._recovery = recovery
        self._forks = forks
        self._replays = replays
        self._limits = limits

    async def CreateRun(
        self, request: run_result_pb2.CreateRunRequest, context: Any
    ) -> run_result_pb2.RunResult:
        """See run.proto."""
        call = current_call()
        command = convert.create_from_pb(
            request, self._limits, scope="runs:create", key=call.idempotency_key
        )
        result = await self._runs.create(call.principal, command)
        await announce(context, result)
        return convert.result_to_pb(result.run)

    async def GetRun(self, request: run_pb2.GetRunRequest, context: Any) -> run_pb2.Run:
        """See run.proto."""
        run_id = convert.run_id_from_pb(request.run_id, self._limits)
        return convert.run_to_pb(await self._runs.get(run_id))

    async def ListRuns(
        self, request: run_pb2.ListRunsRequest, context: Any
    ) -> run_pb2.ListRunsResponse:
        """See run.proto."""
        where, page = convert.list_from_pb(request, self._limits)
        page = self._tokens.opened(request, page)
        found = await self._runs.list(where, page)
        return self._tokens.sealed(request, found, convert.list_to_pb(found, page, self._limits))

    async def CancelRun(self, request: run_pb2.CancelRunRequest, context: Any) -> run_pb2.Run:
        """See run.proto."""
        call = current_call()
        run_id = convert.run_id_from_pb(request.run_id, self._limits)
        result = await self._runs.cancel(call.principal, run_id, call.idempotency_key)
        await announce(context, result)
        return convert.run_to_pb(result.run)

    async def GetRunTrace(
        self, request: run_pb2.GetRunTraceRequest, context: Any
    ) -> run_pb2.RunTrace:
        """See run.proto."""
        run_id, kind, page = convert.trace_from_pb(request, self._limits)
        page = self._tokens.opened(request, page)
        run, found = await self._feed.trace(run_id, kind, page)
        answer = convert.trace_to_pb(run, found, page, self._limits)
        return self._tokens.sealed(request, found, answer)

    async def ListCheckpoints(
        self, request: run_pb2.ListCheckpointsRequest, context: Any
    ) -> run_pb2.ListCheckpointsResponse:
        """See run.proto."""
        run_id, kind, page = convert.checkpoints_from_pb(request, self._limits)
        page = self._tokens.opened(request, page)
        found = await self._feed.checkpoints(run_id, kind, page)
        answer = convert.checkpoints_to_pb(run_id, found, page, self._limits)
        return self._tokens.sealed(request, found, answer)

    async def GetRunRecovery(
        self, request: run_pb2.GetRunRecoveryRequest, context: Any
    ) -> run_pb2.RunRecovery:
        """See run.proto."""
        run_id = convert.run_id_from_pb(request.run_id, self._limits)
        return convert.recovery_to_pb(await self._recovery.view(run_id))

    async def ContinueRun(
        self, request: run_pb2.ContinueRunRequest, context: Any
    ) -> run_result_pb2.RunResult:
        """See run.proto."""
        call = current_call()
        run_id = convert.run_id_from_pb(request.run_id, self._limits)
        result = await self._recovery.go_on(call.principal, run_id, call.idempotency_key)
        await announce(context, result)
        return convert.result_to_pb(result.run)

    async def ForkRun(
        self, request: run_pb2.ForkRunRequest, context: Any
    ) -> run_result_pb2.RunResult:
        """See run.proto."""
        call = current_call()
        command = convert.fork_from_pb(request, self._limits, key=call.idempotency_key)
        result = await self._forks.fork(call.principal, command)
        await announce(context, result)
        return convert.result_to_pb(result.run)

    async def GetRunReplay(
        self, request: run_pb2.GetRunReplayRequest, context: Any
    ) -> run_pb2.RunReplay:
        """See run.proto."""
        run_id = convert.run_id_from_pb(request.run_id, self._limits)
        return convert_replay.replay_to_pb(await self._replays.replay(run_id))

    async def DiffCheckpoints(
        self, request: run_pb2.DiffCheckpointsRequest, context: Any
    ) -> run_pb2.CheckpointDiff:
        """See run.proto."""
        run_id, first, last = convert_replay.diff_from_pb(request, self._limits)
        return convert_replay.diff_to_pb(await self._replays.diff(run_id, first, last))

    async def GetRunGraph(
        self, request: run_pb2.GetRunGraphRequest, context: Any
    ) -> run_pb2.RunGraph:
        """See run.proto."""
        run_id = convert.run_id_from_pb(request.run_id, self._limits)
        return run_graph_to_pb(await self._views.graph(run_id))

    async def GetRunPolicyReport(
        self, request: run_pb2.GetRunPolicyReportRequest, context: Any
    ) -> spec_pb2.GetPolicyReportResponse:
        """See run.proto."""
        run_id = convert.run_id_from_pb(request.run_id, self._limits)
        caller = current_call().principal
        return report_to_pb(await self._views.policy_report(caller, run_id))
