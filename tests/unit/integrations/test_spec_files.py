"""Files of specs come from the root and nowhere else."""

import os
import socket
import time
from pathlib import Path

import pytest

from kneo_grpc.domain.errors import InvalidInput, SpecPathConfined
from kneo_grpc.integrations.project_folder import CONFIG_NAMES, find_config, project_folder
from kneo_grpc.integrations.spec_files import ConfinedFiles, examples_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.yaml").write_text("a: 1\n")
    (folder / "sub" / "b.yaml").write_text("b: 1\n")
    (tmp_path / "secret.yaml").write_text("secret: 1\n")
    return folder


@pytest.mark.parametrize("name", ["a.yaml", "./a.yaml", "sub/b.yaml", "sub//b.yaml"])
def test_files_below_the_root_are_read(root: Path, name: str) -> None:
    assert ConfinedFiles(root).read(name).content in (b"a: 1\n", b"b: 1\n")
    assert ConfinedFiles(root).read(name).name == name


def test_an_absolute_path_must_lie_below_the_root(root: Path) -> None:
    assert ConfinedFiles(root).read(str(root / "a.yaml")).content == b"a: 1\n"
    with pytest.raises(SpecPathConfined):
        ConfinedFiles(root).read(str(root.parent / "secret.yaml"))


@pytest.mark.parametrize(
    "name",
    [
        "../secret.yaml",
        "sub/../a.yaml",
        "sub/../../secret.yaml",
        "~/x.yaml",
        "~root/x",
        "a\0.yaml",
        "/etc/passwd",
        "/dev/zero",
        "/proc/self/environ",
        "..",
        "/",
    ],
)
def test_what_leaves_the_root_is_confined(root: Path, name: str) -> None:
    with pytest.raises(SpecPathConfined):
        ConfinedFiles(root).read(name)


def test_links_may_lead_about_inside_but_not_out(root: Path) -> None:
    (root / "in").symlink_to("sub/b.yaml")
    (root / "folder").symlink_to("sub")
    (root / "out").symlink_to("../secret.yaml")
    (root / "away").symlink_to("..")
    (root / "nowhere").symlink_to("gone.yaml")
    (root / "far").symlink_to("/nonexistent/file")
    files = ConfinedFiles(root)
    assert files.read("in").content == b"b: 1\n"
    assert files.read("folder/b.yaml").content == b"b: 1\n"
    for name in ("out", "away/secret.yaml", "far"):
        with pytest.raises(SpecPathConfined):
            files.read(name)
    with pytest.raises(InvalidInput, match="no spec file nowhere"):
        files.read("nowhere")


def test_a_circle_of_links_is_told(root: Path) -> None:
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    with pytest.raises(SpecPathConfined):
        ConfinedFiles(root).read("x")
    with pytest.raises(SpecPathConfined):
        ConfinedFiles(root).read("a.yaml/../x", ())


def test_pipes_sockets_and_devices_are_no_specs(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(root / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(SpecPathConfined, match="no plain file"):
                ConfinedFiles(root).read(name)
    # A root that holds devices does not make them specs.
    for name in ("zero", "null", "tty"):
        with pytest.raises((SpecPathConfined, InvalidInput)):
            ConfinedFiles(Path("/dev")).read(name)


@pytest.mark.parametrize("name", ["gone.yaml", "gone/x.yaml", "sub", "a.yaml/x", ".", ""])
def test_what_is_not_there_is_told(root: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="there is no spec file") as caught:
        ConfinedFiles(root).read(name)
    assert not isinstance(caught.value, SpecPathConfined)
    assert caught.value.details == {"spec_path": name}


def test_a_name_that_is_too_long_is_told(root: Path) -> None:
    with pytest.raises(InvalidInput):
        ConfinedFiles(root).read("x" * 4000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(root: Path) -> None:
    (root / "a.yaml").chmod(0)
    with pytest.raises(InvalidInput, match="cannot be read"):
        ConfinedFiles(root).read("a.yaml")


def test_no_more_than_the_limit_is_read(root: Path) -> None:
    with (root / "large").open("wb") as file:
        file.truncate(10 * 1024 * 1024)
    assert len(ConfinedFiles(root, bytes_max=1000).read("large").content) == 1001


def test_a_link_put_in_after_the_look_leads_nowhere(root: Path, monkeypatch) -> None:
    files = ConfinedFiles(root)
    locate = files._locate

    def late(path: Path, name: str):
        found = locate(path, name)
        (root / "sub").rename(root / "old")
        (root / "sub").symlink_to(root.parent)
        (root.parent / "b.yaml").write_text("stolen")
        return found

    monkeypatch.setattr(files, "_locate", late)
    with pytest.raises(InvalidInput, match="cannot be read"):
        files.read("sub/b.yaml")


def test_include_paths_are_looked_through_in_order(root: Path) -> None:
    (root / "lib").mkdir()
    (root / "lib" / "b.yaml").write_text("lib\n")
    files = ConfinedFiles(root)
    assert files.read("b.yaml", ["lib", "sub"]).content == b"lib\n"
    assert files.read("b.yaml", ["sub", "lib"]).content == b"b: 1\n"
    assert files.read("a.yaml", ["lib"]).content == b"a: 1\n"
    assert files.read("b.yaml", [".", "gone", "sub", "sub"]).content == b"b: 1\n"
    with pytest.raises(InvalidInput, match=r"there is no spec file c\.yaml"):
        files.read("c.yaml", ["lib", "lib/.", "sub"])
    for folder in ("..", "~", "/etc"):
        with pytest.raises(SpecPathConfined):
            files.read("passwd", [folder])


def test_include_paths_in_a_circle_end(root: Path) -> None:
    (root / "lib").symlink_to("lib2")
    (root / "lib2").symlink_to("lib")
    (root / "self").symlink_to(".")
    assert ConfinedFiles(root).read("b.yaml", ["self", "self/self", "sub"]).content == b"b: 1\n"
    with pytest.raises(SpecPathConfined):
        ConfinedFiles(root).read("b.yaml", ["lib"])


def test_the_shipped_examples_stand_in_where_the_root_has_none(root: Path) -> None:
    files = ConfinedFiles(root, examples=examples_folder())
    name = "examples/smoke_human_workflow.yaml"
    assert b"workflow" in files.read(name).content
    (root / "examples").mkdir()
    (root / name).write_text("mine")
    assert files.read(name).content == b"mine"
    for other in ("examples/../spec_files.py", "examples/gone.yaml", "examples"):
        with pytest.raises(InvalidInput):
            files.read(other)


@pytest.mark.parametrize(
    "name", [".kneo/config.yaml", ".kneo/config.yml", "kneo_serv.yaml", "kneo_serv.yml"]
)
def test_the_config_is_found_in_the_root(root: Path, name: str) -> None:
    assert ConfinedFiles(root).project() is None
    (root / ".kneo").mkdir()
    (root / name).write_text("project: {name: a}")
    found = ConfinedFiles(root).project()
    assert found is not None
    assert (found.name, found.content) == (name, b"project: {name: a}")


def test_the_config_must_not_lead_out_of_the_root(root: Path) -> None:
    (root / "kneo_serv.yaml").symlink_to("../secret.yaml")
    with pytest.raises(SpecPathConfined):
        ConfinedFiles(root).project()


def test_the_operator_may_name_a_config_anywhere(root: Path) -> None:
    files = ConfinedFiles(root, config=root.parent / "secret.yaml")
    found = files.project()
    assert found is not None and found.content == b"secret: 1\n"
    with pytest.raises(InvalidInput, match="cannot read the project config"):
        ConfinedFiles(root, config=root / "gone").project()


def test_the_nearest_config_upwards_counts(root: Path) -> None:
    (root.parent / "kneo_serv.yml").write_text("")
    deep = root / "sub" / "deeper"
    deep.mkdir()
    assert find_config(deep) == root.parent / "kneo_serv.yml"
    (root / ".kneo").mkdir()
    (root / ".kneo" / "config.yaml").write_text("")
    found = find_config(deep)
    assert found == root / ".kneo" / "config.yaml"
    assert project_folder(found) == root
    assert project_folder(root.parent / "kneo_serv.yml") == root.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose times count as settled at once."""
    monkeypatch.setattr("kneo_grpc.integrations.spec_files.SETTLED_NS", -(10**15))
    return tmp_path


def _tick() -> None:
    """Let the times of files move on."""
    time.sleep(0.02)


@pytest.mark.parametrize("name", CONFIG_NAMES)
def test_the_projects_stamp_tells_a_config_that_comes_changes_and_goes(
    project: Path, name: str
) -> None:
    files = ConfinedFiles(project)
    seen = [files.project_stamp()]
    for change in (
        lambda: (project / name).parent.mkdir(exist_ok=True),
        lambda: (project / name).write_text("a: 1"),
        lambda: (project / name).write_text("a: 2"),
        lambda: (project / name).unlink(),
        lambda: (project / name).write_text("a: 2"),
    ):
        assert files.project_stamp() == seen[-1], "nothing has happened"
        _tick()
        change()
        seen.append(files.project_stamp())
    made = 0 if (project / name).parent == project else 1
    assert len(set(seen)) == 5 + made


def test_the_projects_stamp_looks_only_where_something_is(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ConfinedFiles(project)
    looks = []
    look = os.stat
    monkeypatch.setattr(
        "kneo_grpc.integrations.spec_files.os.stat",
        lambda path, **more: looks.append(path) or look(path, **more),
    )
    first = files.project_stamp()
    looks.clear()
    assert files.project_stamp() == first
    assert looks == [project]


def test_a_link_to_nowhere_is_looked_at_each_time(project: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "folder"
    (project / ".kneo").symlink_to(elsewhere)
    files = ConfinedFiles(project)
    before = files.project_stamp()
    assert files.project_stamp() == before
    elsewhere.mkdir()
    (elsewhere / "config.yaml").write_text("a: 1")
    assert files.project_stamp() != before
