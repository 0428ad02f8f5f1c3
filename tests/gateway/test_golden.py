"""Every rpc and every error as JSON, through a real Envoy, compared with a file that shows it.

Clock and ids are the test's, so nothing is masked. `pytest --rewrite-golden` writes the files anew.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from kneo_grpc.api.server import SERVICES
from kneo_grpc.app import wiring
from kneo_grpc.domain.errors import KneoError
from tests.gateway import support_route_cases  # noqa: F401 # importing registers its cases
from tests.gateway.support_cases import CASES
from tests.gateway.support_golden import Front, Request, open_front, shown, staged
from tests.service import import_code

in_module_loop = pytest.mark.asyncio(loop_scope="module")

GOLDEN = Path(__file__).with_name("golden")
NOT_SHOWN = {"MetaService.GetOpenApi": "test_interface compares it with the contract"}
NOT_OF_THE_EDGE = {
    "conflict": "only its subclasses are raised",
    "lease_lost": "workers meet it, callers do not",
    "migration_failed": "the process does not start",
    "start_refused": "the process does not start",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    async for opened in open_front(tmp_path_factory.mktemp("golden")):
        yield opened


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(tmp_path))
    # A release changes no golden file.
    monkeypatch.setattr(wiring, "__version__", "1.2.3")
    yield from import_code(tmp_path)


def rpcs() -> dict[str, list[tuple[str, str]]]:
    """Every rpc with its (verb, path template) pairs, the first one first."""
    found = {}
    for service in map(descriptor_pool.Default().FindServiceByName, SERVICES):
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            rules = (rule, *rule.additional_bindings)
            verbs = [(item.WhichOneof("pattern"), item) for item in rules]
            pairs = [(verb.upper(), getattr(item, verb)) for verb, item in verbs]
            found[f"{service.name}.{method.name}"] = pairs
    return found


def reads() -> set[str]:
    """Rpcs that change nothing, so that they can be asked twice."""
    return {
        f"{service.name}.{method.name}"
        for service in map(descriptor_pool.Default().FindServiceByName, SERVICES)
        for method in service.methods
        if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    }


def other_routes() -> list[tuple[str, str, str]]:
    """Every (rpc, verb, path template) of those that change something, but for the first ones,
    which the golden files show.
    """
    asked_once = {name: pairs for name, pairs in rpcs().items() if name not in reads()}
    return [(rpc, *pair) for rpc, pairs in asked_once.items() for pair in pairs[1:]]


def moved(asked: Request, rpc: str, verb: str, template: str) -> Request:
    """The request on another of its rpc's routes."""
    first_verb, first_template = rpcs()[rpc][0]
    assert (asked.method, verb) == (first_verb, first_verb)
    path, _, query = asked.path.partition("?")
    found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", first_template), path)
    assert found is not None, f"the case's path {path} is not {first_template}"
    path = template.format(**found.groupdict())
    return replace(asked, path=f"{path}?{query}" if query else path)


def reasons(kind: type[KneoError] = KneoError) -> set[str]:
    return {kind.reason}.union(*(reasons(child) for child in kind.__subclasses__()))


@in_module_loop
@pytest.mark.parametrize("name", sorted(CASES))
async def test_an_answer_is_as_its_file_shows(
    name: str, front: Front, code: ModuleType, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with staged(CASES[name], front, code, tmp_path) as stage:
        asked = await CASES[name].make(stage)
        answer = await stage.send(asked, name)
        others = rpcs()[name][1:] if name in reads() else []
        for verb, template in others:
            other = await stage.send(moved(asked, name, verb, template), name)
            assert shown(other) == shown(answer), template
    # Headers that are too large are not read, and the request's id is among them.
    assert answer.headers.get("x-request-id") == (None if answer.status_code == 431 else name)
    found = {"request": asked.shown(), "response": shown(answer)}
    path = GOLDEN / f"{name}.json"
    if request.config.getoption("--rewrite-golden"):
        # Keys are sorted because those of a Struct have no order of their own.
        text = json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    assert found == json.loads(path.read_text(encoding="utf-8"))


@in_module_loop
@pytest.mark.parametrize(("rpc", "verb", "template"), other_routes())
async def test_each_other_route_answers_the_same(
    rpc: str, verb: str, template: str, front: Front, code: ModuleType, tmp_path: Path
) -> None:
    async with staged(CASES[rpc], front, code, tmp_path) as stage:
        asked = await CASES[rpc].make(stage)
        answer = await stage.send(moved(asked, rpc, verb, template), rpc)
    golden = json.loads((GOLDEN / f"{rpc}.json").read_text(encoding="utf-8"))
    assert shown(answer) == golden["response"]


def test_every_rpc_and_every_reason_has_a_file_and_no_file_is_left_over() -> None:
    files = {path.stem for path in GOLDEN.glob("*.json")}
    assert set(rpcs()) - files == set(NOT_SHOWN)
    shown_reasons = {name.split(".")[1] for name in files if name.startswith("error.")}
    assert reasons() - shown_reasons == set(NOT_OF_THE_EDGE)
    assert files == set(CASES)


def test_each_file_s_answer_is_of_the_reason_that_its_name_says() -> None:
    for path in GOLDEN.glob("error.*.json"):
        answer = json.loads(path.read_text(encoding="utf-8"))["response"]
        body = answer["body"]
        assert answer["status"] >= 400, path.stem
        known = None if answer["status"] == 431 else path.stem
        assert (body.pop("error"), body.pop("request_id")) == (path.stem.split(".")[1], known)
        detail = body.pop("detail")
        assert detail == {"error": path.stem.split(".")[1], **body}


def test_every_path_under_v1_also_stands_without_it() -> None:
    for rpc, pairs in rpcs().items():
        paths = {path for _, path in pairs}
        bare = {path.removeprefix("/v1") for path in paths}
        assert paths == bare | {f"/v1{path}" for path in bare}, rpc
