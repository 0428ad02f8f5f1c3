"""The profiles file: who may read it, and what becomes of it when several write."""

import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kneo_grpc.cli.profiles import Profile, Profiles
from kneo_grpc.domain.errors import InvalidInput, NotFound

# As the reference command line writes it.
OLD = {
    "active": "b",
    "profiles": {
        "a": {"service_url": "http://a", "api_key": "tok-a"},
        "b": {"service_url": "http://b", "api_key": None},
    },
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own" / "profiles.json"


def add(path: Path, name: str) -> None:
    saved = Profile(service_url=f"http://{name}")
    Profiles.change(path, lambda p: replace(p, by_name={**p.by_name, name: saved}))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_old_file_is_read_and_upgraded_by_the_next_change(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps(OLD))
    path.chmod(0o644)
    assert Profiles.read(path).get("a").api_key == "tok-a"
    assert json.loads(path.read_text()) == OLD
    add(path, "c")
    written = json.loads(path.read_text())
    assert written["schema_version"] == 1
    assert (written["active"], list(written["profiles"])) == ("b", ["a", "b", "c"])
    assert written["profiles"]["a"] == OLD["profiles"]["a"]
    assert mode(path) == 0o600


def test_a_change_that_fails_leaves_the_file_alone(path: Path) -> None:
    add(path, "a")
    before = path.read_bytes()

    def failing(profiles: Profiles) -> Profiles:
        profiles.get("gone")
        return profiles

    with pytest.raises(NotFound):
        Profiles.change(path, failing)
    assert path.read_bytes() == before


def test_the_folder_of_its_own_is_the_owners_only(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".kneo_serv"
    folder.mkdir(mode=0o755)
    add(None, "a")
    assert mode(folder) == 0o700
    assert mode(folder / "profiles.json") == 0o600


def test_a_folder_that_others_use_too_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    add(tmp_path / "profiles.json", "a")
    assert mode(tmp_path) == 0o755
    assert mode(tmp_path / "profiles.json") == 0o600
    assert {mode(item) for item in tmp_path.iterdir()} == {0o600}


def test_a_link_stays_one(tmp_path: Path, path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "real.json")
    add(path, "a")
    assert path.is_symlink()
    assert "a" in json.loads((tmp_path / "real.json").read_text())["profiles"]


@pytest.mark.parametrize(
    "content",
    [
        {"active": 5},
        {"profiles": []},
        {"profiles": {"a": {}}},
        {"profiles": {"a": {"service_url": 5}}},
        {"profiles": {"a": {"service_url": "x", "api_key": []}}},
        {"profiles": {"a": "x"}},
        {"schema_version": 2, "active": None, "profiles": {}},
        {"schema_version": "1"},
    ],
)
def test_a_file_that_is_not_understood_is_neither_read_nor_replaced(path, content) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="is not a profiles file"):
        add(path, "b")
    assert json.loads(path.read_text()) == content


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot"):
        add(tmp_path / "file" / "profiles.json", "a")


def test_commands_that_write_at_once_lose_nothing(path: Path) -> None:
    script = (
        "import sys\n"
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "from kneo_grpc.cli.profiles import Profile, Profiles\n"
        "for number in range(20):\n"
        "    name = f'{sys.argv[2]}-{number}'\n"
        "    saved = Profile(service_url='http://x')\n"
        "    Profiles.change(Path(sys.argv[1]),\n"
        "        lambda p: replace(p, by_name={**p.by_name, name: saved}))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(index)])
        for index in range(4)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    names = {f"{index}-{number}" for index in range(4) for number in range(20)}
    assert set(Profiles.read(path).by_name) == names
    assert [item.name for item in path.parent.iterdir() if "lock" not in item.name] == [path.name]


@pytest.mark.parametrize(
    "words",
    [
        ("a", "--service-url", "nowhere"),
        ("a", "--service-url", "ftp://x"),
        ("a", "--service-url", "http://user:pw@x"),
        ("a", "--service-url", "http://x", "--api-key", "kä"),
        (" ", "--service-url", "http://x"),
    ],
)
def test_what_no_command_could_use_is_not_saved(kneo, tmp_path: Path, words) -> None:
    result = kneo("config", "profile", "set", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "own" / "profiles.json").exists()


def test_a_profile_is_shown_by_its_name_as_word_or_as_option(kneo):
    for name in ("a", "b"):
        kneo("config", "profile", "set", name, "--service-url", f"http://{name}:1")
    shown = [
        json.loads(kneo("config", "profile", "show", *words, "--json").stdout)["name"]
        for words in (("a",), ("--name", "a"), ("a", "--name", "a"), ())
    ]
    assert shown == ["a", "a", "a", "b"]
    assert kneo("config", "profile", "show", "a", "--name", "b").exit_code == 2
