"""kneo maintenance."""

import json
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest

from kneo_grpc.domain.errors import Forbidden, InvalidInput, StartRefused

FACTS = {"source": "a.sqlite", "destination": "b.sqlite", "bytes_copied": 12_288}
TASKS = {"counts": {"expired": 1, "escalated": 0, "continued": 2}}
PRUNES = [
    ("prune-timed-out-runs", "prune_timed_out_runs", {"counts": {"timed_out": 3}}),
    ("prune-expired-human-tasks", "prune_expired_human_tasks", TASKS),
    ("prune-retention", "prune_retention", {"counts": {"runs": 7, "audit": 0}}),
]
each_prune = pytest.mark.parametrize(("word", "method", "answer"), PRUNES)


@pytest.fixture
def commands(monkeypatch):
    """Puts functions in the place of backup and restore; returns what they were called with."""
    calls = []
    module = types.ModuleType("kneo_grpc.app.maintenance_command")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def put(result):
        def function(path):
            calls.append(path)
            if isinstance(result, Exception):
                raise result
            return result

        module.run_backup = module.run_restore = function
        return calls

    return put


@each_prune
def test_json_is_the_answer_as_it_came(kneo, backend, word, method, answer):
    backend.answers[method] = answer
    result = kneo("maintenance", word, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == answer
    assert backend.calls == [(method, ())]


@each_prune
def test_a_failure_is_told_on_stderr(kneo, backend, word, method, answer):
    backend.answers[method] = Forbidden("no", required_scope="maintenance:write")
    result = kneo("maintenance", word)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: no (forbidden)\n  required scope: maintenance:write\n"


def test_people_get_the_counts(kneo, backend):
    backend.answers.update({method: answer for _, method, answer in PRUNES})
    assert kneo("maintenance", "prune-timed-out-runs").stdout.split() == ["timed", "out", "3"]
    lines = kneo("maintenance", "prune-expired-human-tasks").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["continued", "2"],
        ["escalated", "0"],
        ["expired", "1"],
    ]
    assert kneo("maintenance", "prune-retention").stdout.split() == ["audit", "0", "runs", "7"]


def test_retention_without_settings_says_so(kneo, backend):
    backend.answers["prune_retention"] = {"counts": {}}
    result = kneo("maintenance", "prune-retention")
    assert result.stdout == "Nothing is removed: no KNEO_SERV_RETENTION_…_DAYS is set.\n"
    assert json.loads(kneo("maintenance", "prune-retention", "--json").stdout) == {"counts": {}}


def test_a_backup_tells_its_size(kneo, commands, tmp_path):
    path = tmp_path / "copy.sqlite"
    copied = SimpleNamespace(source=Path("a.sqlite"), destination=Path("b.sqlite"), size=12_288)
    calls = commands(copied)
    result = kneo("maintenance", "backup", str(path))
    assert (result.exit_code, result.stdout) == (0, f"Wrote {path} (12,288 bytes).\n")
    as_json = json.loads(kneo("maintenance", "backup", str(path), "--json").stdout)
    assert as_json == FACTS
    assert calls == [path, path]


def test_a_restore_tells_its_size(kneo, commands, tmp_path):
    path = tmp_path / "copy.sqlite"
    copied = SimpleNamespace(source=Path("a.sqlite"), destination=Path("b.sqlite"), size=12_288)
    calls = commands(copied)
    path.touch()
    result = kneo("maintenance", "restore", str(path))
    assert (result.exit_code, result.stdout) == (
        0,
        f"Restored b.sqlite from {path} (12,288 bytes).\n",
    )
    as_json = json.loads(kneo("maintenance", "restore", str(path), "--json").stdout)
    assert as_json == FACTS
    assert calls == [path, path]


@pytest.mark.parametrize("word", ["backup", "restore"])
@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidInput("PostgreSQL has tools of its own"), "invalid_request"),
        (StartRefused("another service uses the file"), "start_refused"),
    ],
)
def test_a_copy_that_is_refused_is_told(kneo, commands, tmp_path, word, options, error, reason):
    commands(error)
    path = tmp_path / "copy.sqlite"
    path.touch()
    result = kneo("maintenance", word, str(path), *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {error.message} ({reason})\n"


@pytest.mark.parametrize(
    "words",
    [
        ("backup",),
        ("restore",),
        ("restore", "missing.sqlite"),
        ("restore", "."),
        ("backup", "copy.sqlite", "--service-url", "http://a"),
        ("prune",),
    ],
)
def test_wrong_usage_exits_with_2(kneo, commands, backend, words):
    calls = commands(0)
    assert kneo("maintenance", *words).exit_code == 2
    assert (calls, backend.calls) == ([], [])
