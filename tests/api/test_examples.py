"""The tutorial's examples run, and give what the tutorial says."""

import re
import shutil
from pathlib import Path

import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2
from tests.service import create, data

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
WORKFLOW_KINDS = {"sequential", "graph", "concurrent", "handoff", "group-chat"}

ROW = re.compile(r"^\| (.+?) \| \[(\w+\.yaml)\]\(\.\./examples/\w+\.yaml\) \| (.+?) \| (.+?) \|$")
DECISION = re.compile(r"(approve|reject|edit)(?: `([^`]*)`)?")
WORDS = {"approve": "approved", "reject": "rejected", "edit": "edited"}


def table() -> list[tuple[str, str, str, str]]:
    """The page's examples: kind, file, decisions, output."""
    found = [ROW.match(line) for line in PAGE.read_text().splitlines()]
    return [match.groups() for match in found if match]


async def decided(service, run, decision: str, content: str | None):
    (task,) = (
        await service.tasks.ListHumanTasks(
            human_task_pb2.ListHumanTasksRequest(run_id=run["run_id"])
        )
    ).tasks
    return data(
        await service.tasks.ResumeHumanTask(
            human_task_pb2.ResumeHumanTaskRequest(
                continuation_id=task.id,
                request_id=task.pending_human_request_id,
                decision=WORDS[decision],
                content=content,
            )
        )
    )


def test_the_page_has_an_example_of_every_kind() -> None:
    assert {kind for kind, *_ in table()} == WORKFLOW_KINDS | {"nested", "asking a person"}
    assert PAGE.read_text().count(".yaml](../examples/") == len(table())


@pytest.mark.parametrize(("kind", "name", "answers", "output"), table())
async def test_an_example_gives_what_the_page_says(
    service, tmp_path, kind, name, answers, output
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    request = create("owls", spec_path=f"examples/{name}")
    run = data(await service.runs.CreateRun(request))
    if kind in WORKFLOW_KINDS:
        assert run["metadata"]["workflow_type"] == kind
    decisions = DECISION.findall(answers)
    assert bool(decisions) == (answers != "nobody is asked")
    for decision, content in decisions:
        assert run["status"] == "blocked"
        run = await decided(service, run, decision, content or None)
    assert run["status"] == "completed"
    assert run["output_text"] == "\n\n".join(re.findall("`([^`]*)`", output))
