"""Skills: what their files say is part of the plan, and a call may add some or take some away."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from kneo_grpc._gen.kneo.v1 import spec_pb2
from kneo_grpc.integrations.models.dummy import DummyModels
from kneo_grpc.ports.models import ModelReply, ModelRequest
from tests.service import Service, create, data, failure

SPEC = {
    "version": "v1",
    "agent": {"name": "root", "system_prompt": "Be kind.", "skills": ["tone"]},
    "skills": {
        "tone": {"source": "skills/tone", "description": "How we speak."},
        "law": {"source": "law.md"},
    },
}


@pytest.fixture
def asked(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ModelRequest]:
    """What the model was asked; the files of both skills lie in the spec root."""
    (tmp_path / "skills" / "tone").mkdir(parents=True)
    write(tmp_path / "skills" / "tone" / "SKILL.md", "---\nname: tone\n---\nSpeak softly.\n")
    write(tmp_path / "law.md", "Quote the law.")
    requests: list[ModelRequest] = []

    async def complete(_: object, request: ModelRequest) -> ModelReply:
        requests.append(request)
        return ModelReply(text="done")

    monkeypatch.setattr(DummyModels, "complete", complete)
    return requests


def write(path: Path, text: str) -> None:
    path.write_text(text)


def system(request: ModelRequest) -> str:
    return next(message.content for message in request.messages if message.role == "system")


async def run(service: Service, **fields: Any) -> dict[str, Any]:
    return data(await service.runs.CreateRun(create(**{"spec": SPEC, **fields})))


async def test_the_model_is_told_what_the_file_says(service: Service, asked) -> None:
    await run(service)
    assert system(asked[0]) == "Be kind.\n\n## Skill: tone\nHow we speak.\n\nSpeak softly."


async def test_a_call_adds_skills_and_takes_some_away(service: Service, asked) -> None:
    result = await run(service, skills={"add": ["law"], "disable": ["tone"]})
    assert system(asked[0]) == "Be kind.\n\n## Skill: law\n\nQuote the law."
    overlay = result["metadata"]["skills_overlay"]
    assert overlay == {"add": ["law"], "disable": ["tone"]}


async def test_what_one_call_adds_another_call_for_the_same_file_does_not_have(
    service: Service, asked, tmp_path: Path
) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(SPEC))
    for _ in range(2):
        await run(service, spec=None, spec_path="flow.json", skills={"add": ["law"]})
        await run(service, spec=None, spec_path="flow.json")
    told = ["Quote the law." in system(request) for request in asked]
    assert told == [True, False, True, False]


async def test_a_changed_file_is_seen_by_new_runs_under_another_digest(
    service: Service, asked, tmp_path: Path
) -> None:
    first = await run(service)
    again = await run(service)
    write(tmp_path / "skills" / "tone" / "SKILL.md", "Speak up.")
    later = await run(service)
    digests = [
        (await service.platform.runs.get(item["run_id"])).plan_digest
        for item in (first, again, later)
    ]
    assert digests[0] == digests[1] != digests[2]
    assert system(asked[2]).endswith("Speak up.")


async def test_a_run_that_exists_reads_no_file_again(
    service: Service, asked, tmp_path: Path
) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(ASKS))
    blocked = await run(service, spec=None, spec_path="flow.json")
    (tmp_path / "skills" / "tone" / "SKILL.md").unlink()
    run_ = await service.platform.runs.get(blocked["run_id"])
    plan = await service.platform.specs.plan(run_.plan_digest)
    assert plan.skills["tone"].text == "Speak softly."
    assert blocked["status"] == "blocked"


ASKS = {
    **SPEC,
    "workflow": {
        "type": "sequential",
        "steps": [
            {"id": "ask", "kind": "human", "ref": "boss"},
            {"id": "do", "kind": "agent", "ref": "root"},
        ],
    },
    "components": {"humans": {"boss": {}}},
}


@pytest.mark.parametrize(
    ("skills", "words"),
    [
        ({"add": ["lwa"]}, "skills.add: the spec declares no skill `lwa`; did you mean `law`?"),
        ({"disable": ["nope"]}, "skills.disable: the spec declares no skill `nope`"),
        ({"add": ["law"], "disable": ["law"]}, "both adds and disables the skill `law`"),
    ],
)
async def test_an_overlay_that_cannot_be_meant_is_refused(
    service: Service, asked, skills, words
) -> None:
    _, error = await failure(service.runs.CreateRun(create(spec=SPEC, skills=skills)))
    assert (error["http"], error["error"]) == (400, "spec_invalid")
    assert words in error["message"]


@pytest.mark.parametrize("source", ["gone", "skills", "big.md", "bytes.md", "out"])
async def test_a_skill_that_cannot_be_read_is_a_finding_with_its_place(
    service: Service, asked, tmp_path: Path, source
) -> None:
    (tmp_path / "big.md").write_text("x" * 65_537)
    (tmp_path / "bytes.md").write_bytes(b"\xff")
    (tmp_path / "out").symlink_to("/etc/hostname")
    spec = {**SPEC, "skills": {"tone": {"source": source}}}
    _, error = await failure(service.runs.CreateRun(create(spec=spec)))
    (found,) = error["diagnostics"]
    assert (error["error"], found["code"]) == ("spec_invalid", "E_SKILL_SOURCE")
    assert found["path"] == "skills.tone.source"
    request = ParseDict({"spec": spec}, spec_pb2.ValidateSpecRequest())
    answer = data(await service.specs.ValidateSpec(request))
    assert (answer["valid"], answer["diagnostics"][0]["code"]) == (False, "E_SKILL_SOURCE")


async def test_a_bundle_takes_no_other_skills(service: Service, asked) -> None:
    request = create(bundle={"kind": "kneo.spec.bundle"}, skills={"add": ["law"]})
    _, error = await failure(service.runs.CreateRun(request))
    assert "a bundle stands alone" in error["message"]
