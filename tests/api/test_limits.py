"""Every limit on requests: under it, at it and over it, and settings that are none."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from kneo_grpc._gen.kneo.v1 import human_task_pb2, run_result_pb2, spec_pb2
from kneo_grpc.api.server import RECEIVE_BYTES_MAX
from kneo_grpc.app.settings import BODY_BYTES_MAX, Settings, read_settings
from kneo_grpc.domain.errors import StartRefused
from tests.service import Service, failure, open_service

LIMIT = 200


@dataclass(frozen=True)
class Case:
    """A field that a limit holds. build: a request of which the field measures n."""

    variable: str
    field: str
    rpc: str
    build: Callable[[int], Message]


def create(**fields: Any) -> Message:
    return ParseDict({"input": "hi", **fields}, run_result_pb2.CreateRunRequest())


def validate(**fields: Any) -> Message:
    return ParseDict(fields, spec_pb2.ValidateSpecRequest())


def decide(**fields: Any) -> Message:
    data = {"continuation_id": "cont_x", "request_id": "req_x", "decision": "approved"}
    return ParseDict({**data, **fields}, human_task_pb2.ResumeHumanTaskRequest())


def json_of(size: int) -> dict[str, str]:
    """An object of `size` bytes as JSON; its letters take two bytes each."""
    frame = len('{"a":""}')
    return {"a": "é" * ((size - frame) // 2) + "x" * ((size - frame) % 2)}


CREATE, VALIDATE = "RunService/CreateRun", "SpecService/ValidateSpec"
RESUME = "HumanTaskService/ResumeHumanTask"
CASES = [
    Case("MAX_INPUT_CHARS", "input", CREATE, lambda n: create(input="é" * n)),
    Case("MAX_INPUT_CHARS", "input", "SpecService/RunSpec", lambda n: create(input="é" * n)),
    Case("MAX_HUMAN_CONTENT_CHARS", "content", RESUME, lambda n: decide(content="é" * n)),
    Case("MAX_INLINE_SPEC_BYTES", "spec", VALIDATE, lambda n: validate(spec=json_of(n))),
    Case("MAX_INLINE_SPEC_BYTES", "bundle", VALIDATE, lambda n: validate(bundle=json_of(n))),
    Case("MAX_OVERRIDES_BYTES", "overrides", VALIDATE, lambda n: validate(overrides=json_of(n))),
    Case("MAX_METADATA_BYTES", "metadata", CREATE, lambda n: create(metadata=json_of(n))),
    Case("MAX_METADATA_BYTES", "metadata", RESUME, lambda n: decide(metadata=json_of(n))),
    Case("MAX_LIST_ITEMS", "overlays", VALIDATE, lambda n: validate(overlays=["x"] * n)),
    Case("MAX_PATH_CHARS", "spec_path", VALIDATE, lambda n: validate(spec_path="é" * n)),
    Case("MAX_PATH_CHARS", "overlays[0]", VALIDATE, lambda n: validate(overlays=["é" * n])),
    Case("MAX_PATH_CHARS", "environment", CREATE, lambda n: create(environment="é" * n)),
    Case("MAX_PATH_CHARS", "session_id", CREATE, lambda n: create(session_id="é" * n)),
    Case("MAX_PATH_CHARS", "selected_option", RESUME, lambda n: decide(selected_option="é" * n)),
]
FIELD_LIMITS = sorted({case.variable for case in CASES})


@pytest.fixture
async def limited(settings: Settings, tmp_path: Path) -> AsyncIterator[Service]:
    """A service all of whose field limits are small."""
    found = read_settings({f"KNEO_SERV_{name}": str(LIMIT) for name in FIELD_LIMITS})
    async for opened in open_service(replace(settings, limits=found.limits), tmp_path):
        yield opened


async def complaint(service: Service, rpc: str, request: Message) -> tuple[str, set[str]]:
    """Return an error's reason and the fields that it names; nothing of a success."""
    call = service.channel.unary_unary(f"/kneo.v1.{rpc}")(request.SerializeToString())
    try:
        await call
    except grpc.aio.AioRpcError:
        _, error = await failure(call)
        return error["error"], {item["field"] for item in error.get("fields", [])}
    return "", set()


async def test_each_limit_under_at_and_over(limited: Service) -> None:
    for case in CASES:
        for size in (LIMIT - 1, LIMIT):
            _, fields = await complaint(limited, case.rpc, case.build(size))
            assert case.field not in fields, (case, size)
        reason, fields = await complaint(limited, case.rpc, case.build(LIMIT + 1))
        assert (reason, fields) == ("validation_error", {case.field}), case


async def test_the_limit_of_whole_requests(settings: Settings, tmp_path: Path) -> None:
    limit = 3_000
    async for service in open_service(replace(settings, body_bytes_max=limit), tmp_path):
        for size in (limit - 1, limit, limit + 1):
            request = create(input="")
            request.input = "x" * (size - len(request.SerializeToString()) - 1)
            assert len(request.SerializeToString()) == size
            reason, _ = await complaint(service, CREATE, request)
            assert (reason == "payload_too_large") == (size > limit), size


async def test_a_page_has_its_limits(service: Service) -> None:
    for field, least, most in (("limit", 1, 1_000), ("offset", 0, 10_000)):
        for number in (least - 1, least, most, most + 1, 2**31 - 1, -(2**31)):
            request = ParseDict({field: number}, spec_pb2.ListSkillsRequest())
            _, fields = await complaint(service, "SpecService/ListSkills", request)
            assert (field in fields) == (not least <= number <= most), (field, number)


DEFAULTS = {
    "MAX_BODY_BYTES": 1_048_576,
    "MAX_INPUT_CHARS": 20_000,
    "MAX_HUMAN_CONTENT_CHARS": 20_000,
    "MAX_INLINE_SPEC_BYTES": 262_144,
    "MAX_OVERRIDES_BYTES": 65_536,
    "MAX_METADATA_BYTES": 32_768,
    "MAX_LIST_ITEMS": 100,
    "MAX_PATH_CHARS": 4_096,
}


def test_the_defaults_are_the_contracts() -> None:
    found = read_settings({})
    assert found.body_bytes_max == DEFAULTS["MAX_BODY_BYTES"]
    for name, value in DEFAULTS.items():
        if name != "MAX_BODY_BYTES":
            assert getattr(found.limits, name.removeprefix("MAX_").lower()) == value


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "1e3", "1_000", "٣", "many", "inf", "9" * 20])
def test_a_limit_that_is_none_refuses_to_start(value: str) -> None:
    with pytest.raises(StartRefused) as raised:
        read_settings({f"KNEO_SERV_{name}": value for name in DEFAULTS})
    for name in DEFAULTS:
        assert f"KNEO_SERV_{name} must be" in raised.value.message


def test_what_is_over_the_largest_limit_is_still_received() -> None:
    assert RECEIVE_BYTES_MAX > BODY_BYTES_MAX
    read_settings({"KNEO_SERV_MAX_BODY_BYTES": str(BODY_BYTES_MAX)})
    with pytest.raises(StartRefused, match="must be at most"):
        read_settings({"KNEO_SERV_MAX_BODY_BYTES": str(BODY_BYTES_MAX + 1)})


def test_a_blank_limit_is_the_default() -> None:
    assert read_settings({"KNEO_SERV_MAX_INPUT_CHARS": " "}).limits.input_chars == 20_000
