"""HumanTaskService."""

from typing import Any

from kneo_grpc._gen.kneo.v1 import human_task_pb2, human_task_pb2_grpc, run_result_pb2
from kneo_grpc.api.call import announce, current_call
from kneo_grpc.api.convert import human as convert
from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.convert.runs import result_to_pb
from kneo_grpc.api.page_tokens import PageTokens
from kneo_grpc.platform.human_tasks import HumanTasks


class HumanTaskServicer(human_task_pb2_grpc.HumanTaskServiceServicer):
    """Shows what people are asked and takes their decisions."""

    def __init__(self, tasks: HumanTasks, tokens: PageTokens, limits: Limits) -> None:
        self._tasks = tasks
        self._tokens = tokens
        self._limits = limits

    async def ListHumanTasks(
        self, request: human_task_pb2.ListHumanTasksRequest, context: Any
    ) -> human_task_pb2.ListHumanTasksResponse:
        """See human_task.proto."""
        where, page = convert.list_from_pb(request, self._limits)
        page = self._tokens.opened(request, page)
        found = await self._tasks.list(where, page)
        return self._tokens.sealed(request, found, convert.list_to_pb(found, page, self._limits))

    async def GetHumanTask(
        self, request: human_task_pb2.GetHumanTaskRequest, context: Any
    ) -> human_task_pb2.HumanTask:
        """See human_task.proto."""
        task_id = convert.continuation_from_pb(request.continuation_id, self._limits)
        return convert.task_to_pb(await self._tasks.get(task_id))

    async def ResumeHumanTask(
        self, request: human_task_pb2.ResumeHumanTaskRequest, context: Any
    ) -> run_result_pb2.RunResult:
        """See human_task.proto."""
        call = current_call()
        task_id, answer = convert.decision_from_pb(request, self._limits)
        result = await self._tasks.resume(call.principal, task_id, answer, call.idempotency_key)
        await announce(context, result)
        return result_to_pb(result.run)
