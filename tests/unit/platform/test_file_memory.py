"""Specs in files that stayed as they were are not read again; all others are, at once."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from kneo_grpc.app.settings import Settings
from kneo_grpc.app.sources import build_sources
from kneo_grpc.domain.errors import InvalidInput, SpecPathConfined
from kneo_grpc.platform.spec_sources import Material
from kneo_grpc.platform.specs import SpecSource
from tests.fakes import FakeClock

SETTLED = 10
"""Seconds for which every file that a test does not touch has been as it is."""


TICK_SECONDS = 0.02
"""Longer than a tick of the clock by which a file system tells times."""


class Root:
    """A spec root whose files changed a while ago, by a clock that is ahead."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(datetime.now(UTC) + timedelta(seconds=SETTLED))
        self.sources = build_sources(Settings(spec_root=folder), self.clock)

    def write(self, name: str, prompt: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"version": "v1", "agent": {"name": "a", "x": prompt}}))

    def remembered(self, name: str = "spec.yaml", **more) -> str | None:
        source = SpecSource(spec_path=name, **more)

        async def call() -> Material | None:
            return self.sources.gather_known(source)

        found = asyncio.run(call())
        return None if found is None else found.document().data["agent"]["x"]

    def learn(self, name: str = "spec.yaml", **more) -> None:
        """Read often enough for it to be remembered."""
        for _ in range(2):
            self.sources.gather(SpecSource(spec_path=name, **more))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(tmp_path / "root")
    root.write("spec.yaml", "one")
    return root


def test_it_is_remembered_after_the_second_reading(root: Root) -> None:
    assert root.remembered() is None
    root.sources.gather(SpecSource(spec_path="spec.yaml"))
    assert root.remembered() is None
    root.sources.gather(SpecSource(spec_path="spec.yaml"))
    assert root.remembered() == "one"
    assert root.remembered(overrides={"agent": {"x": "two"}}) is None


def test_a_file_that_changed_just_now_is_not(root: Root) -> None:
    root.clock.advance(timedelta(seconds=-SETTLED))
    root.learn()
    assert root.remembered() is None


def rewrite(root: Root) -> None:
    # As long as before, at the same instant: only the time of change tells.
    path = root.folder / "spec.yaml"
    times = path.stat()
    time.sleep(TICK_SECONDS)
    root.write("spec.yaml", "two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(root: Root) -> None:
    root.write("other.yaml", "two")
    (root.folder / "other.yaml").rename(root.folder / "spec.yaml")


def link(root: Root) -> None:
    root.write("inner/two.yaml", "two")
    (root.folder / "spec.yaml").unlink()
    (root.folder / "spec.yaml").symlink_to("inner/two.yaml")


@pytest.mark.parametrize("change", [rewrite, replace, link])
def test_a_change_counts_at_once(root: Root, change) -> None:
    root.learn()
    change(root)
    assert root.remembered() is None
    root.learn()
    assert root.remembered() == "two"


def test_a_config_that_appears_counts_at_once(root: Root) -> None:
    root.learn()
    (root.folder / ".kneo").mkdir()
    assert root.remembered() is None
    root.learn()
    (root.folder / ".kneo" / "config.yaml").write_text("project: {name: shop}\n")
    assert root.remembered() is None
    root.learn()
    assert root.remembered() == "one"
    time.sleep(TICK_SECONDS)
    (root.folder / ".kneo" / "config.yaml").write_text("project: {name: shoe}\n")
    assert root.remembered() is None


def test_an_overlay_that_changes_counts_at_once(root: Root) -> None:
    root.write("over.yaml", "over")
    root.learn(overlays=("over.yaml",))
    assert root.remembered(overlays=("over.yaml",)) == "over"
    root.write("over.yaml", "under")
    assert root.remembered(overlays=("over.yaml",)) is None


def test_a_file_that_appears_in_an_earlier_folder_counts_at_once(root: Root) -> None:
    (root.folder / "kneo_serv.yaml").write_text(
        "project: {name: shop}\nspecs: {include_paths: [first, second]}\n"
    )
    root.write("second/part.yaml", "second")
    root.learn("part.yaml")
    assert root.remembered("part.yaml") == "second"
    root.write("first/part.yaml", "first")
    assert root.remembered("part.yaml") is None


def test_a_link_that_leads_out_meanwhile_is_refused(root: Root, tmp_path: Path) -> None:
    root.learn()
    (tmp_path / "outside.yaml").write_text("version: v1\n")
    (root.folder / "spec.yaml").unlink()
    (root.folder / "spec.yaml").symlink_to(tmp_path / "outside.yaml")
    assert root.remembered() is None
    with pytest.raises(SpecPathConfined):
        root.learn()


def test_a_file_that_is_gone_is_missed(root: Root) -> None:
    root.learn()
    (root.folder / "spec.yaml").unlink()
    assert root.remembered() is None
    with pytest.raises(InvalidInput):
        root.learn()


@pytest.mark.parametrize("name", ["a\0b", "x" * 5_000, "spec.yaml/deeper"])
def test_a_name_that_no_file_has_is_not_remembered(root: Root, name: str) -> None:
    assert root.remembered(name) is None
    with pytest.raises((InvalidInput, SpecPathConfined)):
        root.learn(name)
    assert root.remembered(name) is None


def test_calls_that_came_together_share_a_look_and_the_next_one_looks_anew(root: Root) -> None:
    root.learn()
    looks = []
    look = root.sources._files.project_stamp
    source = SpecSource(spec_path="spec.yaml")

    def counted():
        looks.append(1)
        return look()

    async def calls() -> list[Material | None]:
        together = [root.sources.gather_known(source) for _ in range(3)]
        await asyncio.sleep(0)
        time.sleep(TICK_SECONDS)  # noqa: ASYNC251 # nobody else shall come in between
        root.write("spec.yaml", "two")
        await asyncio.sleep(0)
        return [*together, root.sources.gather_known(source)]

    root.sources._files.project_stamp = counted
    found = asyncio.run(calls())
    assert [material is None for material in found] == [False, False, False, True]
    assert len(looks) == 2
