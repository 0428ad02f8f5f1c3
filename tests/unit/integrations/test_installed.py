"""Functions and tools that installed packages offer."""

import logging
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kneo_grpc.integrations.code import CodeRegistry
from kneo_grpc.integrations.installed import FUNCTIONS, TOOLS, InstalledCode, installed_code
from kneo_grpc.ports.code import CodeMissing, CodeNotAllowed, RegisteredTool

PACKAGE = """
from kneo_grpc import Tool

def draft(text):
    return f"draft of {text}"

def look_up(user_id: str) -> str:
    "Look somebody up."
    return user_id

MADE = Tool(name="made", description="M.", parameters={"type": "object"}, handler=str)
NUMBER = 3
"""


class Installed:
    """Entry points as packages declare them. asked: the groups that were looked for."""

    def __init__(self, **groups: dict[str, str]) -> None:
        self.asked: list[str] = []
        self._groups = {
            f"kneo.{name}": [EntryPoint(key, value, f"kneo.{name}") for key, value in found.items()]
            for name, found in groups.items()
        }

    def __call__(self, group: str) -> list[EntryPoint]:
        self.asked.append(group)
        return self._groups.get(group, [])


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "kneo_test_shop.py").write_text(textwrap.dedent(PACKAGE))
    (tmp_path / "kneo_test_exits.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("kneo_test_shop", None)


def test_functions_are_called_by_name_and_by_path() -> None:
    find = Installed(functions={"shop.draft": "kneo_test_shop:draft"})
    code = CodeRegistry((), installed=InstalledCode(find))
    for name in ("shop.draft", "kneo_test_shop.draft"):
        assert code.function(name)("x") == "draft of x"
    with pytest.raises(CodeNotAllowed):
        code.function("kneo_test_shop.look_up")


def test_tools_are_known_by_the_name_of_the_entry_point() -> None:
    find = Installed(tools={"find_user": "kneo_test_shop:look_up", "made": "kneo_test_shop:MADE"})
    code = CodeRegistry((), installed=InstalledCode(find))
    assert sorted(code.tools()) == ["find_user", "made"]
    assert code.tools()["find_user"].description == "Look somebody up."
    assert code.tool("find_user", None)({"user_id": "u"}) == "u"
    with pytest.raises(CodeMissing):
        code.tool("look_up", None)


def test_what_is_installed_is_looked_for_once_and_late() -> None:
    find = Installed(tools={"find_user": "kneo_test_shop:look_up"})
    code = CodeRegistry(("kneo_grpc.examples",), installed=InstalledCode(find))
    code.function("kneo_grpc.examples.functions.draft_report")
    assert find.asked == []
    for _ in range(3):
        code.tools()
        with pytest.raises(CodeNotAllowed):
            code.function("shop.draft")
    assert find.asked == [TOOLS, FUNCTIONS]


def test_what_is_registered_wins() -> None:
    find = Installed(
        tools={"made": "kneo_test_shop:MADE"}, functions={"shop.draft": "kneo_test_shop:draft"}
    )
    own = RegisteredTool(name="made", description="Own.", parameters={}, handler=len)
    code = CodeRegistry((), [own], installed=InstalledCode(find))
    code.register_function("shop.draft", str.upper)
    assert code.tools()["made"] is own
    assert code.tool("made", None) is len
    assert code.function("shop.draft") is str.upper
    code.remove_tool("made")
    assert code.tools()["made"].description == "M."


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("gone", "kneo_test_nothing:tool", "ModuleNotFoundError"),
        ("lacks", "kneo_test_shop:nothing", "AttributeError"),
        ("exits", "kneo_test_exits:tool", "SystemExit"),
        ("number", "kneo_test_shop:NUMBER", "a tool must be callable"),
        ("other", "kneo_test_shop:MADE", "a tool of the name made"),
        ("draft", "kneo_test_shop:draft", "draft needs a description"),
    ],
)
def test_a_broken_entry_point_is_logged_and_left_out(caplog, name, value, reason) -> None:
    find = Installed(tools={name: value, "find_user": "kneo_test_shop:look_up"})
    with caplog.at_level(logging.ERROR):
        tools = InstalledCode(find).tools()
    assert list(tools) == ["find_user"]
    (record,) = caplog.records
    assert record.message.startswith(f"the entry point {name} of kneo.tools cannot be used: ")
    assert reason in record.message


def test_of_two_entry_points_of_one_name_the_first_counts(caplog) -> None:
    points = [
        EntryPoint("find_user", f"kneo_test_shop:{name}", TOOLS) for name in ("look_up", "draft")
    ]
    tools = InstalledCode(lambda group: points).tools()
    assert tools["find_user"].handler({"user_id": "u"}) == "u"
    assert "name is taken" in caplog.text


def test_a_process_has_one_look_at_its_packages() -> None:
    assert installed_code() is installed_code()
    assert isinstance(installed_code().tools(), dict)
