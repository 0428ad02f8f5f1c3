"""What is said of code that cannot be imported."""

from pathlib import Path

import pytest

from kneo_grpc.integrations.code import CodeRegistry
from kneo_grpc.ports.code import CodeMissing

MODULES = {
    "broken": "import os\nSECRET = 'hunter2'\nraise RuntimeError(f'no key {SECRET}')\n",
    "needy": "import module_that_nobody_has\n",
    "wrong": "def f(:\n",
    "ends": "raise SystemExit(3)\n",
    "fine": "def draft(text): return text\nNUMBER = 3\n",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch) -> str:
    """A package whose modules fail in all ways; returns its name."""
    package = tmp_path / "kneo_test_imports"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, content in MODULES.items():
        (package / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return package.name


def why(allow: str, implementation: str) -> str:
    with pytest.raises(CodeMissing) as told:
        CodeRegistry((allow,)).function(implementation)
    return str(told.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "broken.x",
            "the module kneo_test_imports.broken fails with RuntimeError: no key hunter2 (",
        ),
        ("broken.x", "kneo_test_imports/broken.py:3)"),
        ("needy.x", "ModuleNotFoundError: No module named 'module_that_nobody_has' ("),
        ("wrong.x", "fails with SyntaxError: "),
        ("wrong.x", "(wrong.py, line 1)"),
        ("ends.x", "fails with SystemExit: 3"),
        ("fine.darft", "has no `darft`; did you mean `draft`?"),
        ("gone.x", "there is no module kneo_test_imports.gone in or below"),
        ("fine.NUMBER", "cannot be called"),
    ],
)
def test_in_ones_own_project_the_real_error_is_told(shop, name, words) -> None:
    assert words in why("*", f"{shop}.{name}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "broken.x",
            "cannot be imported: the module kneo_test_imports.broken fails with RuntimeError",
        ),
        ("needy.x", "needy needs the module module_that_nobody_has, which is not there"),
        (
            "wrong.x",
            "cannot be imported: the module kneo_test_imports.wrong fails with SyntaxError",
        ),
        ("fine.darft", "does not exist: the module kneo_test_imports.fine has no `darft`"),
        ("gone.x", "does not exist: there is no module kneo_test_imports.gone"),
    ],
)
def test_a_service_tells_what_failed_and_logs_the_rest(shop, name, words, caplog) -> None:
    told = why(shop, f"{shop}.{name}")
    assert words in told
    assert "hunter2" not in told and str(Path.cwd()) not in told
    logged = [record for record in caplog.records if record.name == "kneo_grpc.code"]
    assert bool(logged) is ("cannot be imported" in told)
