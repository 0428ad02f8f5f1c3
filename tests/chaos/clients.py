"""Closed-loop clients: each makes one run after the other and sees it through to its end."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
from google.protobuf.json_format import ParseDict

from kneo_grpc._gen.kneo.v1 import (
    human_task_pb2,
    human_task_pb2_grpc,
    run_pb2,
    run_pb2_grpc,
    run_result_pb2,
)
from tests.chaos.shapes import KINDS, shape_of

CALL_SECONDS = 5
POLL_SECONDS = 0.1
RIVAL_SHARE = 0.3
APPROVED_SHARE = 0.4
"""Of the tasks, those that two people decide at once; of the others, those that are approved."""

AGAIN = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
"""Told by the network or a service that is not there: the other service is asked."""

RESTING = frozenset({"blocked", "completed", "failed", "cancelled", "expired", "timed_out"})

CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_retries", 0),
]


class Answer(NamedTuple):
    """A decision on a task. content: None where what was asked about is approved as it is."""

    decision: str
    content: str | None


@dataclass
class Flow:
    """One run as its client saw it. input: unique to the key. Times are on the ledger's clock.

    accepted_at: when a create was answered; ended_at: when the client was done with the run.
    told: status and output of every answer that showed the run at its end. answers: the decisions
    that a call was told were taken, by task.
    """

    kind: str
    key: str
    began_at: float
    run_id: str = ""
    accepted_at: float = 0.0
    ended_at: float = 0.0
    status: str = ""
    told: set[tuple[str, str]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)

    @property
    def input(self) -> str:
        """The run's input text."""
        return f"{self.kind} {self.key}"


@dataclass
class Stubs:
    """What a client calls at one API process."""

    runs: Any
    tasks: Any


@dataclass
class Load:
    """All clients. answers: how often each error was answered, by code and reason."""

    ports: list[int]
    seed: int
    clients: int
    flows: list[Flow] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    stopping: bool = False
    _stubs: list[Stubs] = field(default_factory=list)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Let the clients run; whoever still runs at the end is cut off."""
        async with contextlib.AsyncExitStack() as stack:
            for port in self.ports:
                channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL)
                await stack.enter_async_context(channel)
                runs = run_pb2_grpc.RunServiceStub(channel)
                self._stubs.append(Stubs(runs, human_task_pb2_grpc.HumanTaskServiceStub(channel)))
            self._tasks = [
                asyncio.create_task(self._client(number)) for number in range(self.clients)
            ]
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drain(self, seconds: float) -> None:
        """Begin no further run and see the present ones through, as far as the time allows."""
        self.stopping = True
        done, _ = await asyncio.wait(self._tasks, timeout=seconds)
        for task in done:
            task.result()

    def check(self) -> None:
        """Raise what a client ended with."""
        for task in self._tasks:
            if task.done():
                task.result()

    def ended_between(self, start: float, end: float) -> int:
        """How many runs clients were done with in that time."""
        return sum(start <= flow.ended_at < end for flow in self.flows)

    async def _client(self, number: int) -> None:
        dice = random.Random(f"{self.seed} client {number}")
        count = 0
        while not self.stopping:
            (kind,) = dice.choices(tuple(KINDS), [kind.share for kind in KINDS.values()])
            flow = Flow(kind, f"{self.seed}-{number}-{count}", time.time())
            self.flows.append(flow)
            await _Session(self, self._stubs, flow, dice, at=number + count).run()
            flow.ended_at = time.time()
            count += 1


class _Refused(Exception):
    """Somebody else was faster."""


class _Session:
    """Sees one run through."""

    def __init__(
        self, load: Load, stubs: list[Stubs], flow: Flow, dice: random.Random, at: int
    ) -> None:
        self._load = load
        self._stubs = stubs
        self._flow = flow
        self._dice = dice
        self._at = at

    async def run(self) -> None:
        """Create the run and do what its kind asks for."""
        flow = self._flow
        kind = KINDS[flow.kind]
        request = ParseDict(
            {
                "input": flow.input,
                "spec": shape_of(flow.kind).spec(),
                "async_mode": self._dice.random() < kind.queued,
            },
            run_result_pb2.CreateRunRequest(),
        )
        answer = await self._insist(lambda api: api.runs.CreateRun, request, key=flow.key)
        flow.run_id, flow.accepted_at = answer.run_id, time.time()
        self._tell(answer)
        if kind.cancels:
            await asyncio.sleep(self._dice.uniform(0, 0.4))
            cancel = run_pb2.CancelRunRequest(run_id=flow.run_id)
            self._tell(await self._insist(lambda api: api.runs.CancelRun, cancel))
        run = await self._answered() if kind.answers else await self._rest()
        flow.status = run.status

    async def _rest(self) -> Any:
        """Ask for the run until it has ended or waits for a person."""
        request = run_pb2.GetRunRequest(run_id=self._flow.run_id)
        while True:
            run = await self._insist(lambda api: api.runs.GetRun, request)
            self._tell(run)
            if run.status in RESTING:
                return run
            await asyncio.sleep(POLL_SECONDS)

    async def _answered(self) -> Any:
        """Answer whatever people are asked, also while the run works, until the run has ended."""
        look = run_pb2.GetRunRequest(run_id=self._flow.run_id)
        wanted = human_task_pb2.ListHumanTasksRequest(run_id=self._flow.run_id)
        answered: set[str] = set()
        while True:
            run = await self._insist(lambda api: api.runs.GetRun, look)
            self._tell(run)
            if run.status in RESTING - {"blocked"}:
                return run
            found = await self._insist(lambda api: api.tasks.ListHumanTasks, wanted)
            tasks = [task for task in found.tasks if task.id not in answered]
            await asyncio.gather(*(self._decide(task) for task in tasks))
            answered |= {task.id for task in tasks}
            if not tasks:
                await asyncio.sleep(POLL_SECONDS)

    async def _decide(self, task: Any) -> None:
        """Have one or two people decide a task at the same time, each at a process of their own."""
        answers = [Answer("edited", f"{self._flow.key} {task.id[-6:]} first")]
        if self._dice.random() < RIVAL_SHARE:
            answers.append(Answer("edited", f"{self._flow.key} {task.id[-6:]} second"))
        elif self._dice.random() < APPROVED_SHARE:
            answers = [Answer("approved", None)]
        taken = await asyncio.gather(
            *(
                self._answer(task, answer, number, len(answers))
                for number, answer in enumerate(answers)
            )
        )
        self._flow.answers[task.id] = [answer for answer in taken if answer is not None]

    async def _answer(self, task: Any, answer: Answer, number: int, count: int) -> Answer | None:
        """Send a decision until it is taken or, where another one may be faster, refused."""
        request = human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=task.id,
            request_id=task.pending_human_request_id,
            decision=answer.decision,
            content=answer.content,
        )
        person = _Session(self._load, self._stubs, self._flow, self._dice, self._at + number)
        try:
            told = await person._insist(
                lambda api: api.tasks.ResumeHumanTask,
                request,
                key=f"{self._flow.key}-{task.id}-{number}",
                refusable=count > 1 or bool(shape_of(self._flow.kind).spare),
            )
        except _Refused:
            return None
        self._tell(told)
        return answer

    async def _insist(
        self,
        method: Callable[[Stubs], Callable[..., Awaitable[Any]]],
        request: Any,
        key: str = "",
        refusable: bool = False,
    ) -> Any:
        """Repeat a call, with the same key, until it is answered. refusable: raises _Refused when
        the run's state speaks against it.
        """
        metadata = (("idempotency-key", key),) if key else ()
        while True:
            call = method(self._stubs[self._at % len(self._stubs)])
            try:
                return await call(request, timeout=CALL_SECONDS, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if refusable and error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    self._load.answers["a decision was refused, another one was faster"] += 1
                    raise _Refused from error
                self._note(error)
                if error.code() is not grpc.StatusCode.ABORTED:
                    self._at += 1
            await asyncio.sleep(POLL_SECONDS)

    def _note(self, error: grpc.aio.AioRpcError) -> None:
        """Count an error; what no client should be told is kept with the run."""
        trailers: Any = error.trailing_metadata() or ()
        body = dict(trailers).get("x-kneo-error-json")
        reason = json.loads(body)["error"] if body else "no reason"
        self._load.answers[f"{error.code().name} {reason}"] += 1
        if error.code() is not grpc.StatusCode.ABORTED and error.code() not in AGAIN:
            text = f"{error.code().name} {reason}: {error.details()}"
            if text not in self._flow.wrong:
                self._flow.wrong.append(text)

    def _tell(self, answer: Any) -> None:
        if answer.status in RESTING - {"blocked"}:
            self._flow.told.add((answer.status, answer.output_text))
