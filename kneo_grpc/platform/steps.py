"""Executes one step: a function or an agent. What goes wrong in it becomes StepFailed."""

import asyncio
import contextlib
import inspect
import json
import logging
from collections.abc import Callable
from types import FunctionType
from typing import Any

from kneo_grpc.agents import machine as agents
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.plan import AgentPlan, Plan
from kneo_grpc.engine.messages import Note, RunStep, StepCompleted, StepFailed
from kneo_grpc.engine.texts import OUTPUT_CHARS_MAX, preview
from kneo_grpc.platform.threads import CodeExit, StepThreads
from kneo_grpc.ports.code import CallContext, Code, CodeMissing, CodeNotAllowed, call_context
from kneo_grpc.ports.models import ModelMessage, ModelRequest, Models

logger = logging.getLogger("kneo_grpc.steps")


class StepExecutor:
    """Performs the engine's RunStep commands."""

    def __init__(self, models: Models, code: Code, threads: StepThreads) -> None:
        self._models = models
        self._code = code
        self._threads = threads

    async def execute(
        self, run_id: RunId, run_attempt: int, plan: Plan, command: RunStep
    ) -> StepCompleted | StepFailed:
        """Execute a step within its timeout. Only a cancellation of the step is raised; one that
        users' code raises of itself is a failure like another.
        """
        step = command.step
        notes: list[Note] = []
        call = _Call(run_id=run_id, attempt=run_attempt + command.attempt - 1, command=command)
        limit = None if step.timeout_seconds is None else asyncio.timeout(step.timeout_seconds)
        try:
            async with limit or contextlib.nullcontext():
                return await self._perform(plan, call, notes)
        except TimeoutError as error:
            if limit is None or not limit.expired():
                return _failed(command, error, notes)
            seconds = f"{step.timeout_seconds:g}"
            return StepFailed(
                path=command.path,
                error_type="RetryTimeoutError",
                message=f"Operation timed out after {seconds} seconds.",
                notes=tuple(notes),
            )
        except asyncio.CancelledError as error:
            if _stopped():
                raise
            return _failed(command, error, notes)
        except Exception as error:
            return _failed(command, error, notes)

    async def _perform(
        self, plan: Plan, call: "_Call", notes: list[Note]
    ) -> StepCompleted | StepFailed:
        step = call.command.step
        if step.kind == "function":
            done: StepCompleted | StepFailed = await self._function(plan, call)
        else:
            assert step.kind == "agent", f"the engine executes no {step.kind} itself"
            done = await self._agent(plan.agents[step.ref], plan, call, notes)
        if isinstance(done, StepCompleted) and len(done.output) > OUTPUT_CHARS_MAX:
            # No database takes any text, and a result that cannot be stored would be made again.
            return StepFailed(
                path=done.path,
                error_type="output_too_large",
                message=f"the step gave more than {OUTPUT_CHARS_MAX} characters",
                retriable=False,
                notes=done.notes,
            )
        return done

    async def _function(self, plan: Plan, call: "_Call") -> StepCompleted:
        function = self._code.function(plan.functions[call.command.step.ref].implementation)
        result = await self._call(call.context(0), function, call.command.text)
        return StepCompleted(path=call.command.path, output=_text(result))

    async def _agent(
        self, agent: AgentPlan, plan: Plan, call: "_Call", notes: list[Note]
    ) -> StepCompleted | StepFailed:
        skills = [plan.skills[name] for name in agent.skills]
        heard = _heard(call.command)
        state, commands = agents.begin(agent, call.command.text, skills, heard)
        while True:
            events: list[agents.AgentEvent] = []
            for wish in commands:
                if isinstance(wish, agents.AgentDone):
                    return _agent_result(call.command, agent, wish, notes)
                if isinstance(wish, agents.CallModel):
                    events.append(await self._ask_model(agent, plan, wish, state.iterations))
            calls = [wish for wish in commands if isinstance(wish, agents.CallTool)]
            events.extend(
                await asyncio.gather(
                    *(self._use_tool(agent, plan, call, wish, notes) for wish in calls)
                )
            )
            commands = ()
            for event in events:
                state, commands = agents.advance(agent, state, event)

    async def _ask_model(
        self, agent: AgentPlan, plan: Plan, wish: agents.CallModel, iteration: int
    ) -> agents.ModelReplied:
        reply = await self._models.complete(
            ModelRequest(
                provider=agent.provider,
                model=agent.model,
                settings=agent.model_settings,
                messages=[
                    ModelMessage(role=message.role, content=message.content)
                    for message in wish.messages
                ],
                tools=[plan.tools[name] for name in wish.tools],
                planning=wish.planning,
            )
        )
        calls = tuple(
            agents.ToolCall(
                id=f"call_{iteration}_{number}", name=wanted.name, arguments=wanted.arguments
            )
            for number, wanted in enumerate(reply.tool_calls)
        )
        return agents.ModelReplied(text=reply.text, tool_calls=calls, usage=reply.usage)

    async def _use_tool(
        self,
        agent: AgentPlan,
        plan: Plan,
        call: "_Call",
        wish: agents.CallTool,
        notes: list[Note],
    ) -> agents.ToolReturned:
        """Run a tool; a tool's own failure is an answer that the model sees."""
        name = wish.call.name
        fields = {
            "agent_name": agent.name,
            "step_id": call.command.step.id,
            "tool_name": name,
            "metadata": {"call_id": wish.call.id},
        }
        permitted = agent.tool_permissions.get("allow")
        if name not in agent.tools or (permitted and name not in permitted):
            notes.append(Note(type="tool_policy_denied", fields=fields))
            return agents.ToolReturned(
                call_id=wish.call.id, text=_tool_error(f"tool {name} is not allowed")
            )
        notes.append(Note(type="tool_call_started", fields=fields))
        try:
            handler = self._code.tool(name, plan.tools[name].implementation)
            result = await self._call(call.context(wish.index), handler, dict(wish.call.arguments))
        except (Exception, asyncio.CancelledError) as error:
            if _stopped():
                raise
            logger.warning("tool failed", extra={"tool": name, "error": type(error).__name__})
            notes.append(
                Note(type="tool_call_completed", fields={**fields, "error": type(error).__name__})
            )
            return agents.ToolReturned(call_id=wish.call.id, text=_tool_error(str(error)))
        notes.append(Note(type="tool_call_completed", fields=fields))
        return agents.ToolReturned(call_id=wish.call.id, text=_text(result))

    async def _call(self, context: CallContext, code: Callable[..., Any], argument: Any) -> Any:
        """Call users' code: coroutine functions here, all others in a thread."""
        token = call_context.set(context)
        try:
            if _is_async(code):
                return await code(argument)
            return await self._threads.run(code, argument)
        finally:
            call_context.reset(token)


class _Call:
    """What identifies the calls of one execution of a step."""

    def __init__(self, *, run_id: RunId, attempt: int, command: RunStep) -> None:
        self.command = command
        self._run_id = run_id
        self._attempt = attempt

    def context(self, index: int) -> CallContext:
        """index: 0-based number of the call within the step. The path holds the iteration."""
        path, executed = self.command.path, self.command.step.id
        # What works in the place of the path's step does something else than that step.
        own = path.rpartition("/")[2] == f"{executed}#{self.command.iteration}"
        work = path if own else f"{path}#{executed}"
        return CallContext(
            run_id=self._run_id,
            step_path=path,
            idempotency_key=f"{self._run_id}/{work}/{index}",
            attempt=self._attempt,
        )


def _agent_result(
    command: RunStep, agent: AgentPlan, done: agents.AgentDone, notes: list[Note]
) -> StepCompleted | StepFailed:
    if done.stopped:
        return StepFailed(
            path=command.path,
            error_type="max_iterations",
            message=f"Agent {agent.name} reached {agent.max_iterations} iterations.",
            retriable=False,
            notes=tuple(notes),
        )
    return StepCompleted(
        path=command.path, output=done.text, metadata=done.metadata, notes=tuple(notes)
    )


def _heard(command: RunStep) -> list[agents.Message]:
    """Return a conversation as the agent knows it: its own turns, and what others said, by name."""
    return [
        agents.Message(role="assistant", content=item.text)
        if item.name == command.step.id
        else agents.Message(
            role="user" if item.role == "assistant" else item.role,
            content=f"{item.name}: {item.text}" if item.name else item.text,
        )
        for item in command.said
    ]


def _is_async(code: Callable[..., Any]) -> bool:
    if type(code) is FunctionType and not code.__dict__:
        # Nothing wraps it or marks it, so its code says it all; asking goes ten times as fast.
        return bool(code.__code__.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(code)


def _stopped() -> bool:
    """Tell whether this task was asked to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failed(command: RunStep, error: BaseException, notes: list[Note]) -> StepFailed:
    """A step's exception as data. Its text is the user's own code's and belongs to the run."""
    name = error.name if isinstance(error, CodeExit) else type(error).__name__
    return StepFailed(
        path=command.path,
        error_type=name,
        message=preview(str(error)) or name,
        retriable=not isinstance(error, (CodeMissing, CodeNotAllowed, TypeError)),
        notes=tuple(notes),
    )


def _tool_error(message: str) -> str:
    return json.dumps({"error": preview(message)})


def _text(result: Any) -> str:
    if isinstance(result, str):
        # A lone surrogate cannot be stored or sent as UTF-8.
        return result.encode("utf-8", "replace").decode()
    return "" if result is None else str(result)
