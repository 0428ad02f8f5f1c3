"""Writes docs/spec-reference.md and docs/spec-schema.json from the shapes and the table of codes.

--check changes nothing and exits with 1 when a file is not what it would write.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kneo_grpc.spec.codes import CHAPTERS, CODES, OLD_NAMES
from kneo_grpc.spec.json_schema import json_schema

_NAME_MAX = 128

DOCS = Path(__file__).parents[1] / "docs"

INTRO = """\
# The spec language, version v1

<!-- Written by scripts/generate_spec_reference.py; what is edited here is lost. -->

A spec is one YAML or JSON document in UTF-8: an agent, a workflow, and the parts they are made of.
An editor that reads JSON Schema completes and checks it with [spec-schema.json](spec-schema.json);
for YAML, put this line on top:

```yaml
# yaml-language-server: $schema=https://example.com/path/to/spec-schema.json
```

A small one:

```yaml
version: v1
agent:
  name: writer
  system_prompt: Write one paragraph.
  model: {provider: dummy, name: dummy}
workflow:
  type: sequential
  steps:
    - writer
    - {id: approve, kind: human, ref: editor}
components:
  humans:
    editor: {description: Is it good enough?, timeout_seconds: 86400, on_timeout: escalate}
```

The provider `dummy` needs no network and no key; it repeats the text, and the one tool that it ever
asks for is `web_search` ([its rules](../README.md#the-model-dummy)).

## How it is read

- Unknown fields are refused, with the nearest known one as a suggestion. Every finding has a code,
  a path, and, for text, line and column.
- Keys are text as written, and no key stands twice. `yes`, `no`, `on` and `off` are booleans;
  dates are text; `4.0` is 4; a leading zero makes no number. Whole numbers lie below 2^53.
- Anchors, aliases and `<<` work; tags do not.
- Limits: 256 KiB, 64 levels, 50,000 values with aliases expanded, 16 workflows in each other.
- Names of parts hold no `/`, `#` or line break, have no blank at their ends, and at most 128
  characters. Parts may be declared in any order, also after what refers to them.
- A spec without `version`, or with `v0`, is rewritten: `root_agent` to `agent`, `root_workflow` to
  `workflow`, `component_agents` and `component_workflows`, `functions` and `humans` to their places
  under `components`; a list of steps, or steps without a type, to a sequential workflow.

## Which limit of tools wins

`tools.permissions` and `policies.tool` of an agent say the same in different words, and both
count: where they differ, the stricter one holds. `false` wins over `true`; a denied tool is not
shown to the model, even when it is included; where `allow` names tools, no others may be called;
`denied_domains` win over `allowed_domains`.

## What this release runs

The language is larger than what one release executes. What it does not run yet is refused before a
run begins, with a code of the chapter *This release* below, and never left out silently.

"""


def main() -> int:
    """Write or compare the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, text in files().items():
        path = DOCS / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text)
    if stale and check:
        print(f"out of date: {', '.join(stale)}; run {Path(__file__).name}", file=sys.stderr)
    return 1 if stale and check else 0


def files() -> dict[str, str]:
    """Return what the files must hold, by name."""
    schema = json_schema()
    return {
        "spec-reference.md": INTRO + "".join(_fields(schema)) + "".join(_codes()),
        "spec-schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
    }


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    shapes = {"Spec": schema, **{name: schema["$defs"][name] for name in _order(schema)}}
    yield "# Fields\n\n"
    for name, shape in shapes.items():
        yield f"## {name}\n\n{shape['description']}\n\n"
        yield "| field | type | default | meaning |\n| --- | --- | --- | --- |\n"
        required = shape.get("required", ())
        for field, part in shape["properties"].items():
            default = "required" if field in required else _default(part)
            meaning = part.get("description", "")
            yield f"| `{field}` | {_type(part)} | {default} | {_cell(meaning)} |\n"
        if shape.get("additionalProperties"):
            yield "\nOther fields are allowed.\n"
        yield "\n"


def _order(schema: dict[str, Any]) -> list[str]:
    """Return the shapes in the order in which a reader meets them."""
    met: list[str] = []

    def visit(part: Any) -> None:
        if isinstance(part, list):
            for item in part:
                visit(item)
        elif isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name and name not in met:
                met.append(name)
                visit(schema["$defs"][name])
            for item in part.values():
                visit(item)

    visit(schema["properties"])
    return met


def _default(part: dict[str, Any]) -> str:
    if "default" not in part:
        return ""
    value = part["default"]
    return "" if value in ([], {}) or isinstance(value, dict) else f"`{json.dumps(value)}`"


def _type(part: dict[str, Any]) -> str:
    """Say in words what a field takes; that null is as good as leaving it out is not repeated."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return ", ".join(f"`{word}`" for word in part["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in part:
            kinds = [item for item in part[choice] if item != {"type": "null"}]
            return " or ".join(_type(item) for item in kinds)
    kind = part.get("type", "any value")
    if isinstance(kind, list):
        kind = next(item for item in kind if item != "null")
    if kind == "array":
        return f"list of {_type(part['items'])}"
    if kind == "object":
        inner = part.get("additionalProperties")
        return f"by name: {_type(inner)}" if isinstance(inner, dict) and inner else "object"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    return words.get(kind, kind) + _bounds(part)


def _bounds(part: dict[str, Any]) -> str:
    if part.get("pattern") or part.get("maxLength") == _NAME_MAX:
        return " (a name)"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    found = [f"{sign} {part[key]}" for key, sign in signs.items() if key in part]
    if part.get("maxLength"):
        found.append(f"at most {part['maxLength']} characters")
    return f" ({', '.join(found)})" if found else ""


def _codes() -> Iterator[str]:
    yield "# Diagnostic codes\n\n"
    yield "The first letter is the severity: `E` an error, which stops the compiler; `W` a\n"
    yield "warning; `I` an information. Errors come first, each severity in document order.\n\n"
    for chapter, rows in CHAPTERS.items():
        yield f"## {chapter}\n\n"
        yield "| code | severity | meaning | how to mend it |\n| --- | --- | --- | --- |\n"
        for name in rows:
            code = CODES[name]
            words = f"{_cell(code.meaning)} | {_cell(code.mend)}"
            yield f"| `{name}` | {code.severity.value} | {words} |\n"
        yield "\n"
    yield "## Older names\n\n"
    yield "Codes that earlier platforms gave, and what they are called here:\n\n"
    for old, new in OLD_NAMES.items():
        yield f"- `{old}`: `{new}`\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
