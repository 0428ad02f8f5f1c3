"""A thousand secrets in every field that a caller can send; none comes out, and nothing else is
touched."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import AsyncMock

import grpc
import pytest
from google.api import httpbody_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from kneo_grpc._gen.kneo.v1 import human_task_pb2, run_pb2, run_result_pb2
from kneo_grpc.api import policy
from kneo_grpc.api.interceptor import EdgeInterceptor
from kneo_grpc.api.keys import ApiKeys
from kneo_grpc.api.redaction import AnswerRedactor
from kneo_grpc.api.server import SERVICES
from kneo_grpc.app.logs import JsonFormatter
from kneo_grpc.domain.errors import FieldsInvalid, NotFound
from kneo_grpc.domain.redaction import KeyKind, Redactor
from kneo_grpc.integrations.clock import SystemClock
from kneo_grpc.integrations.ids import Uuid7Source
from kneo_grpc.platform.denials import Denials
from tests.canaries import Canaries
from tests.service import create, data, function_spec

STRUCT = "google.protobuf.Struct"
# These name who acts or where a thing belongs: an e-mail address is no secret there.
IDENTITIES = frozenset({"session_id"})


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Every log line of this process as the service prints it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    loggers = [logging.getLogger(), logging.getLogger("kneo_grpc")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield stream
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


class Outputs:
    """Calls a service and keeps all that it says."""

    def __init__(self, service: Any, canaries: Canaries) -> None:
        self._service = service
        self._canaries = canaries
        self.said: list[bytes] = []
        self.codes: set[grpc.StatusCode] = set()

    async def call(self, path: str, request: Message, answer: type[Message]) -> Message | None:
        """Call with secrets in the headers too; None where the call fails."""
        call = self._service.channel.unary_unary(
            path, request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString)(request, metadata=self._headers())  # fmt: skip
        try:
            reply: Message = await call
        except grpc.aio.AioRpcError as error:
            self.codes.add(error.code())
            self._keep(error.details() or "")
            for _, value in (*error.initial_metadata(), *error.trailing_metadata()):
                self._keep(value)
            return None
        self.codes.add(grpc.StatusCode.OK)
        self._keep(reply.SerializeToString())
        # As JSON too, where a text may be spelt in another way than on the wire.
        self._keep(json.dumps(data(reply)))
        for _, value in (*await call.initial_metadata(), *await call.trailing_metadata()):
            self._keep(value)
        return reply

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (
            ("x-request-id", self._canaries.word()),
            ("idempotency-key", self._canaries.word()),
            ("user-agent", self._canaries.text()),
            ("x-other", self._canaries.text()),
            ("x-envoy-original-path", f"/v1/runs/{self._canaries.word()}?token=abc"),
        )

    def _keep(self, value: str | bytes) -> None:
        self.said.append(value if isinstance(value, bytes) else value.encode())

    def escaped(self, logged: io.StringIO) -> dict[str, str]:
        return self._canaries.escaped(b"\n".join((*self.said, logged.getvalue().encode())))


def methods() -> Iterator[tuple[str, type[Message], type[Message]]]:
    """Every rpc with its request's and its answer's class."""
    for service in map(descriptor_pool.Default().FindServiceByName, SERVICES):
        for method in service.methods:
            yield (
                f"/{service.full_name}/{method.name}",
                message_factory.GetMessageClass(method.input_type),
                message_factory.GetMessageClass(method.output_type),
            )


def plant(message: Message, field: FieldDescriptor, canaries: Canaries) -> bool:
    """Put a secret into a field; False where it takes no text."""
    if field.message_type is not None and field.message_type.full_name == STRUCT:
        ParseDict(canaries.data(), getattr(message, field.name))
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        if field.is_repeated:
            inner = inner.add()
        planted = [plant(inner, item, canaries) for item in field.message_type.fields]
        return any(planted)
    elif field.type != FieldDescriptor.TYPE_STRING:
        return False
    elif field.is_repeated:
        getattr(message, field.name).extend([canaries.text(), canaries.word()])
    else:
        setattr(message, field.name, canaries.text(email=field.name not in IDENTITIES))
    return True


async def test_no_field_of_any_request_gives_a_secret_away(service, logged) -> None:
    canaries = Canaries(1)
    outputs = Outputs(service, canaries)
    planted = 0
    for path, request_type, answer_type in methods():
        everywhere = request_type()
        for field in request_type.DESCRIPTOR.fields:
            # Alone too, so that no other fault stands before it.
            for _ in range(4):
                request = request_type()
                if request_type is run_result_pb2.CreateRunRequest:
                    request = create(spec=function_spec("note"), async_mode=True)
                if plant(request, field, canaries):
                    planted += 1
                    await outputs.call(path, request, answer_type)
            plant(everywhere, field, canaries)
        await outputs.call(path, everywhere, answer_type)
    assert planted > 200
    assert len(canaries.cores) > 1000
    assert outputs.codes >= {
        grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND,
    }  # fmt: skip
    assert logged.getvalue().count("http_request") > 200
    assert outputs.escaped(logged) == {}


def loaded_spec(canaries: Canaries, *functions: str) -> dict[str, Any]:
    """A spec with secrets in its texts, names and settings, and a person in it."""
    spec = function_spec(*functions)
    human = {
        "description": canaries.text(),
        "assignee": "boss@corp.example",
        "context": canaries.data(),
        "options": [canaries.word(), canaries.text()],
    }
    steps = spec["workflow"]["steps"]
    steps.insert(1, {"id": canaries.word(), "kind": "human", "ref": "boss"})
    spec["components"]["humans"] = {"boss": human}
    spec["workflow"]["name"] = canaries.word()
    spec["agent"]["description"] = canaries.text()
    spec["agent"]["model"] = {"provider": "dummy", "name": "d", "extra": canaries.data()}
    return spec


async def read_all(outputs: Outputs, run_id: str) -> dict[str, Message]:
    """Every view of a run, and every list."""
    found = {}
    for path, request_type, answer_type in methods():
        name = path.rpartition("/")[2]
        if not name.startswith(("Get", "List", "Diff")) or name == "GetPolicyReport":
            continue
        request = request_type()
        if "run_id" in request_type.DESCRIPTOR.fields_by_name:
            request.run_id = run_id
        answer = await outputs.call(path, request, answer_type)
        if answer is not None:
            found[name] = answer
    return found


async def test_no_view_of_a_run_gives_a_secret_away(service, logged) -> None:
    canaries = Canaries(2)
    outputs = Outputs(service, canaries)
    for functions in (("note", "logs"), ("note", "spills"), ("logs", "broken")):
        for _ in range(3):
            request = create(
                f"start {canaries.text()} and {canaries.text()}",
                spec=loaded_spec(canaries, *functions),
                overrides={"agent": {"model": {"extra": canaries.data()}}},
                metadata=canaries.data(),
                session_id=canaries.word(),
            )
            blocked = await outputs.call(
                "/kneo.v1.RunService/CreateRun", request, run_result_pb2.RunResult
            )
            assert blocked is not None, outputs.said[-8:]
            assert blocked.status == "blocked"
            found = await read_all(outputs, blocked.run_id)
            asked = found["GetRun"].pending_human_request
            assert asked.assignee == "boss@corp.example"
            answer = human_task_pb2.ResumeHumanTaskRequest(
                continuation_id=blocked.continuation_id,
                request_id=asked.request_id,
                decision="edited",
                content=f"take {canaries.text()}",
            )
            ParseDict(canaries.data(), answer.metadata)
            path = "/kneo.v1.HumanTaskService/ResumeHumanTask"
            ended = await outputs.call(path, answer, run_result_pb2.RunResult)
            assert ended is not None
            assert ended.status == ("completed" if "broken" not in functions
                                    and "spills" not in functions else "failed")  # fmt: skip
            found = await read_all(outputs, blocked.run_id)
            assert {"GetRunTrace", "ListCheckpoints", "GetRunReplay", "DiffCheckpoints"} <= set(
                found
            )
    assert len(canaries.cores) > 400
    assert "their.code" in logged.getvalue()
    assert outputs.escaped(logged) == {}


async def test_what_was_sent_is_kept_and_worked_on_as_it_is(service, code) -> None:
    secret = "password=hunter2hunter2 boss@corp.example sk-abcdefghijklmnopqrst"
    spec = function_spec("note", "note")
    spec["workflow"]["steps"][1]["id"] = "again"
    spec["workflow"]["steps"].insert(1, {"id": "ask", "kind": "human", "ref": "boss"})
    spec["components"]["humans"] = {"boss": {"description": "Well?"}}
    blocked = await service.runs.CreateRun(create(secret, spec=spec))
    request = data(blocked)["metadata"]["request"]
    ended = await service.tasks.ResumeHumanTask(
        human_task_pb2.ResumeHumanTaskRequest(
            continuation_id=blocked.continuation_id, request_id=request["id"], decision="approved"
        )
    )
    assert ended.output_text == "password=[REDACTED] [REDACTED_EMAIL] [REDACTED].."
    stored = await service.platform.store.load_run(blocked.run_id)
    assert (stored.input_text, stored.output_text) == (secret, f"{secret}..")


HARMLESS = {
    "text": 'Füße & naïve 日本 🙂 — secretary, tokenizer; usage: 12 tokens \t\r\n \\ "quoted"',
    "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "token_usage": {"a": 1}},
    "session_id": "s-2026-11-21",
    "digest": "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
    "id": "run_01a1fe0e-1f86-7880-93f4-833d37149082",
    "at": "2026-11-21T12:21:40.870765Z",
    "numbers": [0, -1, 1.5, 9007199254740991, None, True, False, [], {}, ""],
    "max_tokens": 4000,
}


async def test_what_is_no_secret_comes_back_byte_for_byte(service) -> None:
    text = json.dumps(HARMLESS, ensure_ascii=False)
    spec = function_spec("note")
    spec["agent"]["model"] = {
        "provider": "dummy",
        "name": "d",
        "extra": {**HARMLESS, "assignee": "a@b.cd"},
    }
    result = await service.runs.CreateRun(create(text, spec=spec, session_id="team-7"))
    run = await service.runs.GetRun(run_pb2.GetRunRequest(run_id=result.run_id))
    assert (run.input_text, run.output_text, run.session_id) == (text, f"{text}.", "team-7")
    shown = MessageToDict(run.metadata)["spec"]["agent"]["model"]["extra"]
    assert shown == {**HARMLESS, "assignee": "a@b.cd"}


class Future:
    """A servicer of rpcs that nobody has written yet: it says what it is told."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.pieces: list[bytes] = []
        self.kind = "text/plain"

    def handlers(self) -> grpc.GenericRpcHandler:
        body = httpbody_pb2.HttpBody
        return grpc.method_handlers_generic_handler(
            "kneo.v1.FutureService",
            {
                "Say": grpc.unary_unary_rpc_method_handler(
                    self.say, run_pb2.Run.FromString, run_pb2.Run.SerializeToString
                ),
                "Follow": grpc.unary_stream_rpc_method_handler(
                    self.follow, run_pb2.Run.FromString, run_pb2.Run.SerializeToString
                ),
                "Export": grpc.unary_stream_rpc_method_handler(
                    self.export, run_pb2.Run.FromString, body.SerializeToString
                ),
            },
        )

    async def say(self, request: run_pb2.Run, context: Any) -> run_pb2.Run:
        if self.fails:
            raise self.fails
        return request

    async def follow(self, request: run_pb2.Run, context: Any) -> AsyncIterator[run_pb2.Run]:
        for _ in range(3):
            yield request
        if self.fails:
            raise self.fails

    async def export(self, request: Any, context: Any) -> AsyncIterator[httpbody_pb2.HttpBody]:
        for piece in self.pieces:
            yield httpbody_pb2.HttpBody(content_type=self.kind, data=piece)


@pytest.fixture
async def future(monkeypatch, tmp_path) -> AsyncIterator[tuple[Future, grpc.aio.Channel]]:
    rpcs = {f"/kneo.v1.FutureService/{name}": policy.OPEN for name in ("Say", "Follow", "Export")}
    monkeypatch.setattr("kneo_grpc.api.interceptor.POLICY", rpcs)
    edge = EdgeInterceptor(
        keys=ApiKeys(()),
        ids=Uuid7Source(),
        answers=AnswerRedactor(Redactor()),
        denials=Denials(AsyncMock(), SystemClock(), Uuid7Source()),
        body_bytes_max=2**22,
    )
    server = grpc.aio.server(interceptors=(edge,))
    servicer = Future()
    server.add_generic_rpc_handlers((servicer.handlers(),))
    server.add_insecure_port(f"unix:{tmp_path}/future.sock")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/future.sock") as channel:
        yield servicer, channel
    await server.stop(None)


async def test_an_answer_does_not_wait_for_its_log_line(future, monkeypatch) -> None:
    _servicer, channel = future
    happened = []
    read = run_pb2.Run.SerializeToString
    answer, log = AnswerRedactor.answer, EdgeInterceptor._log

    async def answered(self: AnswerRedactor, message: Any, **options: Any) -> bytes:
        # This is scheduled before the line; by then the handler has returned.
        told = await answer(self, message, **options)
        asyncio.get_running_loop().call_soon(happened.append, "answered")
        return told

    def logged(self: EdgeInterceptor, served: Any) -> None:
        happened.append("logged")
        assert served.seconds > 0
        log(self, served)

    monkeypatch.setattr(AnswerRedactor, "answer", answered)
    monkeypatch.setattr(EdgeInterceptor, "_log", logged)
    say = channel.unary_unary("/kneo.v1.FutureService/Say", read, run_pb2.Run.FromString)
    assert await say(run_pb2.Run(id="run_1")) == run_pb2.Run(id="run_1")
    assert happened == ["answered", "logged"]


def run_with_secret() -> run_pb2.Run:
    run = run_pb2.Run(id="run_1", output_text="sk-abcdefghijklmnopqrst", visited_steps=["a", "b"])
    ParseDict({"password": "hunter", "n": 1}, run.metadata)
    return run


def expected() -> run_pb2.Run:
    run = run_with_secret()
    run.output_text = "[REDACTED]"
    ParseDict({"password": "[REDACTED]", "n": 1}, run.metadata)
    return run


async def test_of_a_list_only_what_may_hold_a_secret_is_opened() -> None:
    opened = []

    class Noting(Redactor):
        def text(self, value: str, kind: KeyKind = KeyKind.PLAIN) -> str:
            opened.append(value)
            return super().text(value, kind)

    plain = run_pb2.Run(id="run_1", input_text="nothing of interest")
    answer = run_pb2.ListRunsResponse(runs=[plain, run_with_secret()])
    sent = run_pb2.ListRunsResponse.FromString(await AnswerRedactor(Noting()).answer(answer))
    assert list(sent.runs) == [plain, expected()]
    assert run_with_secret().output_text in opened
    assert plain.input_text not in opened


async def test_an_rpc_that_does_not_exist_yet_gives_nothing_away(future) -> None:
    _, channel = future
    run = run_pb2.Run
    say = channel.unary_unary("/kneo.v1.FutureService/Say", run.SerializeToString, run.FromString)
    assert await say(run_with_secret()) == expected()
    follow = channel.unary_stream(
        "/kneo.v1.FutureService/Follow", run.SerializeToString, run.FromString
    )
    assert [item async for item in follow(run_with_secret())] == [expected()] * 3


@pytest.mark.parametrize("kind", [
    NotFound("no run sk-abcdefghijklmnopqrst", resource="sk-abcdefghijklmnopqrst", token="hunter"),
    FieldsInvalid([("sk-abcdefghijklmnopqrst", "is sk-abcdefghijklmnopqrst")]),
    RuntimeError("sk-abcdefghijklmnopqrst"),
])  # fmt: skip
async def test_no_error_gives_anything_away(future, kind: Exception, logged) -> None:
    servicer, channel = future
    servicer.fails = kind
    run = run_pb2.Run
    for path, kind in (("Say", channel.unary_unary), ("Follow", channel.unary_stream)):
        call = kind(f"/kneo.v1.FutureService/{path}", run.SerializeToString, run.FromString)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            answer = call(run_with_secret())
            await answer if path == "Say" else [item async for item in answer]
        told = f"{caught.value.details()} {caught.value.trailing_metadata()}"
        assert "sk-abc" not in told and "hunter" not in told
    assert "sk-abc" not in logged.getvalue()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-ndjson"])
@pytest.mark.parametrize("size", [1, 7, 1000, 5000])
async def test_no_body_that_leaves_in_pieces_gives_anything_away(future, kind, size) -> None:
    servicer, channel = future
    line = json.dumps({"api_key": "hunter2hunter2", "text": "see sk-abcdefghijklmnopqrst"}) + "\n"
    filler = json.dumps({"n": "word " * 60}) + "\n"
    text = ((line + filler) * 8).encode()
    servicer.kind, servicer.pieces = kind, [text[i : i + size] for i in range(0, len(text), size)]
    export = channel.unary_stream(
        "/kneo.v1.FutureService/Export",
        run_pb2.Run.SerializeToString,
        httpbody_pb2.HttpBody.FromString,
    )
    sent = [item async for item in export(run_pb2.Run())]
    assert {item.content_type for item in sent} == {kind}
    shown = line.replace("hunter2hunter2", "[REDACTED]").replace(
        "sk-abcdefghijklmnopqrst", "[REDACTED]"
    )
    assert b"".join(item.data for item in sent).decode() == (shown + filler) * 8


async def test_a_large_answer_is_looked_at_beside_the_event_loop(future) -> None:
    _, channel = future
    run = run_pb2.Run
    say = channel.unary_unary("/kneo.v1.FutureService/Say", run.SerializeToString, run.FromString)
    text = "words and more words " * 20_000
    large = run_pb2.Run(output_text=f"{text}sk-abcdefghijklmnopqrst {text}")
    assert (await say(large)).output_text == f"{text}[REDACTED] {text}"
