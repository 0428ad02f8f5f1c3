"""What the steps of these tests do, and the ledger in which each notes that it was executed."""

import re
from dataclasses import dataclass

from kneo_grpc.integrations.models.dummy import DummyModels
from kneo_grpc.ports.code import call_context
from kneo_grpc.ports.models import ModelReply, ModelRequest


@dataclass(frozen=True)
class Line:
    """process: number of the process in this test; run: the run's input; key: idempotency key."""

    process: int
    run: str
    path: str
    attempt: int
    key: str


LEDGER: list[Line] = []
PROCESS = [0]


def run_of(text: str) -> str:
    found = re.search(r"t\d{4}", text)
    assert found is not None, text
    return found.group()


def note(text: str) -> bool:
    """Write a line; tell whether it is the step's first."""
    call = call_context.get()
    line = Line(PROCESS[0], run_of(text), call.step_path, call.attempt, call.idempotency_key)
    first = all((known.run, known.path) != (line.run, line.path) for known in LEDGER)
    LEDGER.append(line)
    return first


def plain(text: str) -> str:
    note(text)
    return text + "."


def broken(text: str) -> str:
    note(text)
    raise ValueError("it broke")


def flaky(text: str) -> str:
    if note(text):
        raise ValueError("not yet")
    return text + "!"


def instead(text: str) -> str:
    note(text)
    return text + " instead"


class NotedModels:
    """The provider dummy with three models; the agents of these tests are all the step x#1."""

    def names(self) -> tuple[str, ...]:
        return ("dummy",)

    async def complete(self, request: ModelRequest) -> ModelReply:
        run = run_of(request.messages[-1].content)
        number = 1 + sum(line.run == run and line.path == "x#1" for line in LEDGER)
        LEDGER.append(Line(PROCESS[0], run, "x#1", number, "model"))
        if request.model == "broken" or (request.model == "flaky" and number == 1):
            raise ValueError("it broke")
        return await DummyModels().complete(request)
