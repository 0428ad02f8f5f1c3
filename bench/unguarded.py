"""A service without the guards of the edge, to be measured beside one with them: no redaction of
answers and log lines, no audit records and nobody who seals them, no keys, no policies.

It takes the command line of `kneo`. Only the bench starts it.
"""

import asyncio
import runpy
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from kneo_grpc.api.redaction import AnswerRedactor
from kneo_grpc.domain.change import Change
from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.redaction.redactor import Redactor
from kneo_grpc.platform.runs import Runs
from kneo_grpc.platform.sealer import Sealer
from kneo_grpc.platform.standing_policies import Standing, StandingPolicies


async def _answer(self: AnswerRedactor, message: Message, *, ordered: bool = False) -> bytes:
    return message.SerializeToString()


async def _never(self: Sealer) -> None:
    await asyncio.Event().wait()


async def _none_stands(self: StandingPolicies) -> Mapping[str, Standing]:
    return {}


def _take_away() -> None:
    completed: Any = Runs._completed

    def unaudited(self: Runs, *arguments: Any) -> Change:
        change: Change = completed(self, *arguments)
        return evolve(change, audit=())

    taken: dict[type, dict[str, Any]] = {
        AnswerRedactor: {"answer": _answer},
        Redactor: {"suspicious": lambda self, raw: False},
        Runs: {"_completed": unaudited},
        Sealer: {"run_once": _never},
        StandingPolicies: {"known": _none_stands},
    }
    for kind, members in taken.items():
        for name, member in members.items():
            assert hasattr(kind, name), f"{kind.__name__} has no {name} to take away"
            setattr(kind, name, member)


if __name__ == "__main__":
    _take_away()
    runpy.run_module("kneo_grpc", run_name="__main__")
