"""What commands print: JSON for programs, tables for people, failures on stderr."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from kneo_grpc.cli.spec_file import SpecFile
from kneo_grpc.domain.errors import InvalidInput, KneoError, ProjectConfigInvalid

Json = dict[str, Any]
_PIPE_COLUMNS = 200
# Control characters but for tab and newline: a model's text must not steer the terminal.
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def as_json(value: Any, *, keep: tuple[str, ...] = ()) -> None:
    """Print a value as JSON in ASCII, indented, without secrets. keep: see safe()."""
    typer.echo(json_text(safe(value, keep=keep)))


def safe(value: Any, *, keep: tuple[str, ...] = ()) -> Any:
    """Return a value without what is secret in it. keep: keys of an object whose values stay, since
    they hold only names of secrets.
    """
    # The rules take a moment to load, which help does without.
    from kneo_grpc.domain.redaction import Redactor, rules_of
    from kneo_grpc.integrations.variables import environment

    redactor = Redactor(rules_of(environment())[0])
    if not keep:
        return redactor.data(value)
    return {
        key: item if key in keep else redactor.data({key: item})[key] for key, item in value.items()
    }


def json_text(value: Any) -> str:
    """Return a value as JSON in ASCII, indented."""
    return json.dumps(value, indent=2)


def text(value: Any) -> str:
    """Return what a person reads for a value: nothing for None, JSON for objects and lists."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value).translate(_CONTROL)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False).translate(_CONTROL)
    return str(value).translate(_CONTROL)


def line(value: str, *, err: bool = False) -> None:
    """Print text as it is, without control characters; on stderr if err."""
    typer.echo(value.translate(_CONTROL), err=err)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows below a head of column names; the first column is never folded."""
    # Rich takes a quarter of a second to load, which JSON output and help do without.
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, padding=(0, 2), collapse_padding=True)
    for index, column in enumerate(columns):
        grid.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        grid.add_row(*(text(value) for value in row))
    _print_rich(grid)


def facts(pairs: Mapping[str, Any]) -> None:
    """Print names and values one below the other; empty values are left out."""
    # See table().
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        if value not in (None, "", [], {}):
            grid.add_row(name, text(value))
    _print_rich(grid)


def page_note(page: Json, noun: str, *, none: str | None = None) -> None:
    """Tell that a page is not the whole list, or that there is nothing. none: how to say that."""
    count, total = page.get("count", 0), page.get("total", 0)
    if total == 0:
        line(none or f"No {noun}.")
    elif count < total:
        line(f"{count} of {total} {noun}; --limit and --offset show others.")
        if page.get("next_page_token"):
            line(f"The next page: --page-token {page['next_page_token']}")


def diagnostics(
    findings: Iterable[Mapping[str, Any]], spec_file: SpecFile | None, *, err: bool = False
) -> None:
    """Print one line per finding: `path:line:column: severity CODE message (suggestion)`; where the
    line is not known, the place in the spec stands before the suggestion.

    They come in the order of the file, those without a line last: on its way a spec keeps no order,
    so that of the findings may be any.
    """
    placed = [(spec_file.place(item) if spec_file else _place(item), item) for item in findings]
    for place, finding in sorted(placed, key=lambda pair: _in_file(pair[0])):
        known = place[place.rfind(":") + 1 :].isdigit()
        inside = f" at {finding['path']}" if finding.get("path") and not known else ""
        hint = f" ({finding['suggestion']})" if finding.get("suggestion") else ""
        words = f"{finding.get('severity')} {finding.get('code')} {finding.get('message')}"
        line(safe(f"{place}: {words}{inside}{hint}".replace("\n", " ")), err=err)


def failure(error: KneoError, spec_file: SpecFile | None = None) -> None:
    """Print an expected failure on stderr, with its diagnostics or its field faults."""
    fail_line(f"{error.message} ({error.reason})")
    found = _objects(error.details.get("diagnostics"))
    if len(found) > 1 or not isinstance(error, ProjectConfigInvalid):
        # The message tells of a config's first fault, with its place.
        diagnostics(found, spec_file, err=True)
    faults = _objects(error.details.get("fields"))
    # The message tells of the first one.
    for fault in faults if len(faults) > 1 else ():
        line(safe(f"  {fault.get('field')}: {fault.get('message')}"), err=True)
    if error.details.get("required_scope"):
        line(f"  required scope: {error.details['required_scope']}", err=True)


def fail_line(message: str) -> None:
    """Print `error: message` on stderr."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    line(safe(message), err=True)


def write(text: str, output: Path | None) -> None:
    """Print a text, or write it into a file. Raises InvalidInput when that cannot be written."""
    if output is None:
        typer.echo(text.translate(_CONTROL), nl=not text.endswith("\n"))
        return
    try:
        output.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"cannot write {output}: {error.strerror or error}") from None


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Turn a spinner on stderr while the block works; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    # See table().
    from rich.console import Console

    with Console(stderr=True).status(f"{doing} …"):
        yield


def _in_file(place: str) -> tuple[bool, str, int, int]:
    name, _, numbers = place.rpartition(":")
    name, _, line_number = name.rpartition(":")
    if numbers.isdigit() and line_number.isdigit():
        return False, name, int(line_number), int(numbers)
    return True, "", 0, 0


def _place(finding: Mapping[str, Any]) -> str:
    file, line_number = finding.get("file"), finding.get("line")
    if not file or line_number is None:
        return file or "spec"
    return f"{file}:{line_number}:{finding.get('column') or 1}"


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _print_rich(grid: Any) -> None:
    # See table().
    from rich.console import Console

    # A pipe has no width: rows stay on one line there.
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    Console(markup=False, highlight=False, emoji=False, width=width).print(grid)
