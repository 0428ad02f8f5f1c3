"""Values that are secret by their shape, wherever they stand.

All work on UTF-8 bytes, because only there lower case keeps every place. Each rule looks for a
literal first and costs nothing where that is missing; no pattern here takes more than linear time.
"""

import re
from collections.abc import Callable, Iterable

from kneo_grpc.domain.redaction.rules import MARKER

MARK = MARKER.encode()
MARK_EMAIL = b"[REDACTED_EMAIL]"
MARK_SSN = b"[REDACTED_SSN]"

Span = tuple[int, int, bytes]
"""Start, end, and what stands there instead."""

EMAIL_CHARS_MAX = 256

_USERINFO = re.compile(rb"://([^/?#\s\"'<>@:\\]*):([^/?#\s\"'<>]*)@")
_DOMAIN = re.compile(rb"(?:@|%40)(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")
_LOCAL = re.compile(rb"[A-Za-z0-9._%+-]+")
_SSN = re.compile(rb"(?<![\w-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![\w-])")
_GAP = rb"(?:[ \t\r\n]|%20|\+|\\[nrt])+"
_CREDENTIAL = rb"([A-Za-z0-9+/._~=-]{%d,})"
_BEARER = re.compile(rb"bearer(?<![a-z0-9]bearer)" + _GAP + _CREDENTIAL % 4)
_SCHEMES = {
    scheme: re.compile(scheme + rb"(?<![a-z0-9_]" + scheme + rb")" + _GAP + _CREDENTIAL % 8)
    for scheme in (b"basic", b"digest", b"negotiate", b"ntlm", b"token")
}
_DIGEST = re.compile(rb"digest(?<![a-z0-9_]digest)[ \t]+([a-z]+=[^\r\n]+)")
_COOKIE = re.compile(
    rb"cookie\\{0,7}[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\{0,7}[\"']?"
    rb"([a-z0-9!#$%&*+.^`|~_-]+=[^\r\n\"'\\]+)"
)
_TOKENS: tuple[tuple[bytes, "re.Pattern[bytes]"], ...] = (
    (b"sk-", re.compile(rb"sk-(?<![A-Za-z0-9]sk-)[A-Za-z0-9_-]{12,}")),
    (b"AKIA", re.compile(rb"AKIA(?<![A-Za-z0-9]AKIA)[0-9A-Z]{16}(?![A-Za-z0-9])")),
    (b"ASIA", re.compile(rb"ASIA(?<![A-Za-z0-9]ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])")),
    (b"gh", re.compile(rb"gh(?<![A-Za-z0-9]gh)[opusr]_[A-Za-z0-9]{20,}")),
    (b"github_pat_", re.compile(rb"github_pat_[A-Za-z0-9_]{20,}")),
    (b"AIza", re.compile(rb"AIza(?<![A-Za-z0-9]AIza)[0-9A-Za-z_-]{30,}")),
    (b"eyJ", re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?")),
    (
        b"PRIVATE KEY",
        re.compile(rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?s:.*?)(?:-----END [A-Z ]{0,40}-----|\Z)"),
    ),
)


def replaced(data: bytes, spans: Iterable[Span]) -> bytes:
    """Return data with spans replaced; of two that overlap the first counts, of two that
    start together the longer.
    """
    pieces: list[bytes] = []
    place = 0
    for start, end, text in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= place:
            pieces += (data[place:start], text)
            place = end
    return b"".join((*pieces, data[place:])) if pieces else data


def without_userinfo(data: bytes) -> bytes:
    """Blank the password of `scheme://user:password@host`."""
    if b"://" not in data or b"@" not in data:
        return data
    return _USERINFO.sub(lambda m: b"://" + m[1] + b":" + (m[2] and MARK) + b"@", data)


def without_emails(data: bytes) -> bytes:
    """Blank e-mail addresses."""
    if b"@" not in data and b"%40" not in data:
        return data
    spans = []
    for match in _DOMAIN.finditer(data):
        before = data[max(0, match.start() - EMAIL_CHARS_MAX) : match.start()]
        local = _LOCAL.match(before[::-1])
        if local:
            spans.append((match.start() - local.end(), match.end(), MARK_EMAIL))
    return replaced(data, spans)


def without_ssns(data: bytes) -> bytes:
    """Blank United States social security numbers."""
    return _SSN.sub(MARK_SSN, data) if data.count(b"-") >= 2 else data


def without_schemes(data: bytes) -> bytes:
    """Blank what follows the name of an HTTP authentication scheme."""
    low = data.lower()
    spans: list[Span] = []
    if b"bearer" in low:
        spans += [(m.start(1), m.end(1), MARK) for m in _BEARER.finditer(low)]
    for scheme, pattern in _SCHEMES.items():
        if scheme in low:
            spans += [
                (m.start(1), m.end(1), MARK)
                for m in pattern.finditer(low)
                if _is_credential(data[m.start(1) : m.end(1)])
            ]
    if b"digest" in low:
        spans += [(m.start(1), m.end(1), MARK) for m in _DIGEST.finditer(low)]
    if b"cookie" in low:
        spans += [(m.start(1), m.end(1), MARK) for m in _COOKIE.finditer(low)]
    return replaced(data, spans) if spans else data


def _is_credential(value: bytes) -> bool:
    """Tell a credential from a word of prose: `Basic dXNlcjpwYXNz`, but not `Basic research`."""
    inner = value[1:]
    return not value.rstrip(b".").isalpha() or (inner != inner.lower() and inner != inner.upper())


def without_tokens(data: bytes) -> bytes:
    """Blank keys and tokens that their issuers gave a form of their own."""
    for literal, pattern in _TOKENS:
        if literal in data:
            data = pattern.sub(MARK, data)
    return data


SHAPES: tuple[Callable[[bytes], bytes], ...] = (
    without_userinfo,
    without_emails,
    without_ssns,
    without_schemes,
    without_tokens,
)
"""In the order of their work: an address's password could pass for a part of an e-mail address."""
