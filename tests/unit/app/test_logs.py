"""Log lines without secrets."""

import asyncio
import io
import json
import logging
import sys
import threading
from dataclasses import replace

import pytest

from kneo_grpc.app.logs import JsonFormatter, TurnHandler
from kneo_grpc.app.redaction import build_redactor
from kneo_grpc.app.settings import Settings, read_settings
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.domain.redaction import Redactor, Rules

SECRET = "sk-abcdefghijklmnopqrst"


def line(message: str, redactor: Redactor | None = None, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", **extra})
    found: dict[str, object] = json.loads(JsonFormatter(redactor).format(record))
    return found


def test_a_line_without_secrets_is_as_it_was() -> None:
    extra = {"run_id": "run_1", "count": 3, "usage": {"total_tokens": 4}, "who": "Füße"}
    assert {key: line("done", **extra)[key] for key in extra} == extra


def test_messages_their_arguments_and_extras_are_blanked() -> None:
    found = line("got %s", args=(SECRET,), password="hunter", their={"input": f"x {SECRET}"})
    assert found["message"] == "got [REDACTED]"
    assert (found["password"], found["their"]) == ("[REDACTED]", {"input": "x [REDACTED]"})


class Odd:
    def __str__(self) -> str:
        return f"an object that says {SECRET}"


def test_objects_that_are_no_json_are_judged_by_their_text() -> None:
    assert line("x", thing=Odd())["thing"] == "an object that says [REDACTED]"
    assert line("x", thing={1, 2})["thing"] in ([1, 2], "{1, 2}")


class Broken:
    def __str__(self) -> str:
        raise ValueError(SECRET)


def test_a_line_that_cannot_be_made_tells_nothing() -> None:
    for found in (line("x", thing=Broken()), line("%d", args=(SECRET,))):
        assert found["message"] == "a log line could not be made"
        assert SECRET not in str(found)


def test_an_exception_shows_its_frames_but_neither_secrets_nor_paths() -> None:
    try:
        raise OSError(f"cannot read /etc/kneo/keys.pem of {SECRET}")
    except OSError:
        found = str(line("failed", exc_info=sys.exc_info())["traceback"])
    assert "cannot read [PATH] of [REDACTED]" in found
    assert __file__ in found


def test_the_settings_secrets_are_known_and_never_shown() -> None:
    source = {
        "KNEO_SERV_DATABASE_URL": "postgresql://kneo:correct-horse-9@db/kneo",
        "KNEO_SERV_API_KEYS": "ann:key-of-ann-1:viewer",
        "KNEO_SERV_HEALTH_MCP_SECRETS": "SEARCH_ACCESS",
        "SEARCH_ACCESS": "search-4711-x",
    }
    settings = read_settings(source)
    redactor = build_redactor(settings)
    for secret in ("correct-horse-9", "key-of-ann-1", "search-4711-x"):
        assert secret not in repr(settings)
        assert line(f"it is {secret}", redactor)["message"] == "it is [REDACTED]"


def test_the_project_s_secrets_are_known(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / ".kneo" / "config.yaml"
    config.parent.mkdir()
    config.write_text("project: {name: p}\nsecrets: {extra_env: {search: SEARCH_ACCESS}}\n")
    monkeypatch.setenv("SEARCH_ACCESS", "search-4711-x")
    redactor = build_redactor(replace(Settings(), spec_root=tmp_path, redaction=Rules()))
    assert redactor.text("say search-4711-x") == "say [REDACTED]"


def test_rules_that_cannot_be_used_refuse_to_start() -> None:
    with pytest.raises(StartRefused, match="KNEO_SERV_REDACT_PATTERNS: pattern 2"):
        read_settings({"KNEO_SERV_REDACT_PATTERNS": "fine ("})


def test_lines_of_one_turn_of_the_loop_are_written_together_and_warnings_at_once() -> None:
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return super().write(text)

    stream = Stream()
    logger = logging.Logger("turns", logging.INFO)
    logger.addHandler(TurnHandler(stream))

    async def talk() -> None:
        logger.info("one")
        logger.info("two")
        assert written == []
        await asyncio.sleep(0)
        assert written == ["one\ntwo\n"]
        logger.info("three")
        logger.warning("four")
        assert written[1:] == ["three\nfour\n"]
        thread = threading.Thread(target=logger.info, args=("five",))
        thread.start()
        thread.join()
        assert written[2:] == ["five\n"]

    asyncio.run(talk())
    logger.info("six")
    assert stream.getvalue().splitlines()[-1] == "six"
