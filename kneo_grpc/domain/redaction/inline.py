"""Secrets that a text itself names: `password: …`, `"api_key": "…"`, `?access_token=…`."""

import re
from collections.abc import Callable, Iterable

from kneo_grpc.domain.redaction.keys import counts, words_of
from kneo_grpc.domain.redaction.shapes import MARK, Span, replaced

NAME_CHARS_MAX = 48

_SEPARATOR = rb"(?:=>|:=|[:=](?![:=])|%3[ad])"
_REST = (
    rb"[a-z0-9_.-]{0,40}(?P<quote>\\{0,7}[\"'])?[ \t]{0,4}(?P<separator>"
    + _SEPARATOR
    + rb")(?P<gap>[ \t]{0,8}(?:\r?\n[ \t]{1,16})?)"
)
Root = tuple[bytes, "re.Pattern[bytes]"]
"""A literal of a name, and the name with what follows it up to the value."""

_ROOTS: tuple[Root, ...] = tuple(
    (literal, re.compile(root + _REST))
    for literal, root in (
        (b"passw", rb"passw(?:or)?d"),
        (b"passphrase", rb"passphrase"),
        (b"pwd", rb"pwd"),
        (b"secret", rb"secret"),
        (b"token", rb"token"),
        (b"credential", rb"credential"),
        (b"authorization", rb"authorization"),
        (b"api", rb"api[ _.-]?key"),
        (b"private", rb"private[ _.-]?key"),
        (b"access", rb"access[ _.-]?key"),
        (b"signing", rb"signing[ _.-]?key"),
        (b"encryption", rb"encryption[ _.-]?key"),
        (b"client", rb"client[ _.-]?(?:key|cert)"),
        (b"ssn", rb"ssn"),
    )
)
_LEFT = re.compile(rb"[A-Za-z0-9_.-]+\Z")
_QUOTED = re.compile(rb"([\"'])((?:\\.|(?!\1)[^\\])*)\1", re.DOTALL)
_ESCAPED = re.compile(rb"(\\{1,7}[\"'])((?:(?!\1)[^\r\n])*)\1")
_PLAIN = re.compile(
    rb"(?i:(?:bearer|basic|digest|negotiate|ntlm|token)[ \t]+)?[^\s,;&\"'\\]*[^\s,;&\"'\\)\]}>]"
)
_OPEN = re.compile(rb"[\"'][^\r\n]+")
_HARMLESS = re.compile(
    rb"(?i:true|false|null|none|undefined)?\Z|(?:[A-Za-z]+[ \t]+)?\[REDACTED(?:_[A-Z]+)?\]?\Z"
)
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?\Z")
_BRACKETS = {b"{": b"}", b"[": b"]"}


def roots_of(names: Iterable[str]) -> tuple[Root, ...]:
    """Return the roots of an operator's names, which are written in several styles."""
    words = [[word.encode() for word in words_of(name)] for name in names]
    return tuple((part[0], re.compile(rb"[ _.-]?".join(part) + _REST)) for part in words)


def without_named(data: bytes, secret: Callable[[str], bool], more: tuple[Root, ...] = ()) -> bytes:
    """Blank the values of names that secret() finds secret. more: roots of further names."""
    low = data.lower()
    spans: list[Span] = []
    for literal, pattern in (*_ROOTS, *more):
        if literal not in low:
            continue
        covered = 0
        for match in pattern.finditer(low):
            span = _span(data, match, secret) if match.start() >= covered else None
            if span is not None:
                spans.append(span)
                covered = span[1]
    return replaced(data, spans) if spans else data


def _span(data: bytes, match: "re.Match[bytes]", secret: Callable[[str], bool]) -> Span | None:
    start = match.start()
    left = _LEFT.search(data, max(0, start - NAME_CHARS_MAX), start)
    begin = left.start() if left else start
    end = match.start("quote") if match["quote"] else match.start("separator")
    name = data[begin:end].decode("ascii", "replace").strip()
    if not secret(name):
        return None
    place = match.end()
    for pattern in (_QUOTED, _ESCAPED):
        quoted = pattern.match(data, place)
        if quoted:
            return None if _kept(quoted[2], name) else (quoted.start(2), quoted.end(2), MARK)
    opened = _OPEN.match(data, place)
    if opened:
        return place + 1, opened.end(), MARK
    bracket = _BRACKETS.get(data[place : place + 1])
    if bracket and not data.startswith(b"[REDACTED", place):
        until = _closing(data, place, bracket)
    else:
        plain = _PLAIN.match(data, place)
        if plain is None or _kept(plain[0], name):
            return None
        until = plain.end()
    if match["quote"]:
        return place, until, match["quote"] + MARK + match["quote"]
    if match["separator"] == b":":
        return match.start("separator"), until, b"=" + MARK
    return place, until, MARK


def _kept(value: bytes, name: str) -> bool:
    """Tell whether a value says nothing: empty, a flag, a measure, or blanked before."""
    if _HARMLESS.match(value):
        return True
    return _NUMBER.match(value) is not None and counts(name)


def _closing(data: bytes, start: int, bracket: bytes) -> int:
    """Return the place behind the bracket that closes the one at start; the end without one."""
    opening = data[start : start + 1]
    depth = 0
    for match in re.finditer(rb"\"(?:\\.|[^\"\\])*\"|[\[\]{}]", data[start:]):
        depth += (match[0] == opening) - (match[0] == bracket)
        if depth == 0:
            return start + match.end()
    return len(data)
