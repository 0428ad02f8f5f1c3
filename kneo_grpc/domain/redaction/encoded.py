"""Base64 in texts: found without decoding what cannot hold text, and written again as base64.

Nothing here knows what a secret is: the caller gives the function that blanks.
"""

import base64
import re
from collections.abc import Callable

RUN = b"a" * 15
"""Fifteen characters of base64 are eleven bytes: a social security number."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_CLASS = bytes(97 if code in _ALPHABET else 32 for code in range(256))
# Four characters that stand for three bytes of ASCII: each of those has its highest bit unset, and
# the first one is printable, a tab or an end of line.
_QUAD = rb"[CDI-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/]"
_TEXT = re.compile(rb"(?:" + _QUAD + rb"){3}")
_BLOCK = re.compile(rb"[A-Za-z0-9+/]{15,}(?:\r?\n[A-Za-z0-9+/]{4,})*={0,2}")
# Text between other bytes: it starts in ASCII, so that chance does not make one of an image.
_PRINTABLE = re.compile(rb"[\t\n\r\x20-\x7e]{11,}[\t\n\r\x20-\x7e\x80-\xff]*")


def may_hold_text(raw: bytes) -> bool:
    """Tell whether there is base64 of a few characters of ASCII."""
    classes = raw.translate(_CLASS)
    start = classes.find(RUN)
    while start >= 0:
        end = classes.find(b" ", start)
        end = len(raw) if end < 0 else end
        if _TEXT.search(raw, start, end):
            return True
        start = classes.find(RUN, end)
    return False


def blanked(raw: bytes, blank: Callable[[bytes], bytes]) -> bytes:
    """Return raw with the texts inside of base64 blanked; what blank leaves stays byte for byte."""
    return _BLOCK.sub(lambda match: _block(match.group(), blank), raw)


def _block(block: bytes, blank: Callable[[bytes], bytes]) -> bytes:
    joined = block.translate(None, b"\r\n=")
    if not _TEXT.search(joined):
        return block
    clean, start_of_changed = joined, 0
    # Where other characters of the alphabet stand before it, base64 starts at one of four places.
    for offset in range(4):
        head, body = clean[:offset], clean[offset:]
        body, rest = (body[:-1], body[-1:]) if len(body) % 4 == 1 else (body, b"")
        decoded = base64.b64decode(body + b"=" * (-len(body) % 4))
        told = _texts(decoded, blank)
        if told != decoded:
            clean = head + base64.b64encode(told).rstrip(b"=") + rest
            start_of_changed = offset
    if clean == joined:
        return block
    if block.endswith(b"=") or (len(joined) - start_of_changed) % 4 == 0:
        clean += b"=" * ((start_of_changed - len(clean)) % 4)
    width = block.find(b"\n")
    if width < 0:
        return clean
    return b"\n".join(clean[start : start + width] for start in range(0, len(clean), width))


def _texts(decoded: bytes, blank: Callable[[bytes], bytes]) -> bytes:
    try:
        decoded.decode()
    except UnicodeDecodeError:
        return _PRINTABLE.sub(lambda match: blank(match.group()), decoded)
    return blank(decoded)
