"""The wheel alone serves: what a service needs at run time is in the package."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.processes import plain_environment

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 120


def run(*words: str | Path, folder: Path, env: dict[str, str] | None = None) -> str:
    """Run a command in a folder; return what it printed on standard output.

    env: None for this process's own, which may say how packages are fetched.
    """
    done = subprocess.run(
        words,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def has_build_backend() -> bool:
    """Tell whether this environment's setuptools will do, so that none has to be fetched."""
    try:
        return int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, because setuptools puts what it finds in build/ into it."""
    source = tmp_path_factory.mktemp("source")
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "kneo_grpc", source / "kneo_grpc", ignore=unwanted)
    for path in ROOT.iterdir():
        if path.name in ("pyproject.toml", "README.md") or path.name.startswith("LICENSE"):
            shutil.copy(path, source)
    isolation = ("--no-isolation",) if has_build_backend() else ()
    run(sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", "dist", folder=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel and its gateway, at the versions we develop with.

    Its folder is returned.
    """
    folder = tmp_path_factory.mktemp("installed")
    wanted = (f"{wheel}[gateway]", "--constraint", ROOT / "constraints.txt")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv:
        run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", folder=folder)
        python = folder / "venv" / "bin" / "python"
        run(uv, "pip", "install", "--quiet", "--python", python, *wanted, folder=folder)
    else:
        run(sys.executable, "-m", "venv", folder / "venv", folder=folder)
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", *wanted, folder=folder)
    return folder / "venv"


def test_the_wheel_holds_what_is_read_at_run_time(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    kinds = (".py", ".pyi", ".sql", ".yaml", ".lua", ".binpb", "py.typed")
    package = ROOT / "kneo_grpc"
    needed = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.name.endswith(kinds)
    }
    assert needed - held == set()


def test_the_demo_runs_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    binaries = installed / "bin"
    env = plain_environment(tmp_path)
    script = "import kneo_grpc; print(kneo_grpc.__file__)"
    place = run(binaries / "python", "-c", script, folder=tmp_path, env=env)
    assert Path(place.strip()).is_relative_to(installed)
    printed = run(binaries / "kneo", "demo", "--once", folder=tmp_path, env=env)
    assert "is blocked: Approve this smoke run." in printed
    assert "run is completed: Final answer: hello" in printed
    assert re.findall(r"^ +(\d+)  \S+Z  (\w+)", printed, re.MULTILINE) == [
        ("1", "workflow_started"),
        ("2", "human_intervention_requested"),
        ("3", "workflow_resumed"),
        ("4", "run_started"),
        ("5", "run_completed"),
        ("6", "workflow_completed"),
    ]
