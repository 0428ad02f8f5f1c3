"""Blanks secrets in texts and in JSON-like data."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from kneo_grpc.domain.redaction.encoded import blanked, may_hold_text
from kneo_grpc.domain.redaction.inline import roots_of, without_named
from kneo_grpc.domain.redaction.keys import KeyKind, Keys, counts, words_of
from kneo_grpc.domain.redaction.rules import MARKER, Rules
from kneo_grpc.domain.redaction.shapes import MARK, SHAPES, without_emails

DEPTH_MAX = 200
TEXT_CHARS_MIN = 6
BASE64_LAYERS = 2

_FOLD = bytes(48 if 48 <= code <= 57 else ord(chr(code).lower()) for code in range(128)) + bytes(
    range(128, 256)
)
_DIGITS = bytes(48 if 48 <= code <= 57 else code for code in range(256))
_LETTERS = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalpha() else 32 for code in range(256)
)
_PUNCTUATION = bytes(code for code in range(32, 127) if not chr(code).isalnum())

Mark = tuple[bytes, "re.Pattern[bytes] | None"]

_GAP = rb"(?:[\s+]|%00|\\)"
# Words that hold none of these, which is nearly all words, are known at a glance the second time.
_WORD_MARKS = (
    *(b"passw", b"passphrase", b"pwd", b"secret", b"credential", b"cookie", b"authorization"),
    *(b"bearer", b"basic", b"digest", b"negotiate", b"ntlm", b"token", b"session", b"email"),
    *(b"ssn", b"social", b"bundle", b"cert", b"key", b"akia", b"asia", b"aiza", b"eyj"),
    *(b"gho", b"ghp", b"ghu", b"ghs", b"ghr", b"github"),
)
WORDS_MAX = 20_000
WORD_CHARS_MAX = 40
STRANGE_MAX = 1000
# Literals of secret values in folded text (lower case, digits as 0), some with a closer look.
_MARKS: tuple[Mark, ...] = (
    (b"bearer", re.compile(rb"bearer" + _GAP)),
    (b"basic", re.compile(rb"basic" + _GAP + rb"+[a-z0+/._~=-]{8}")),
    (b"digest", re.compile(rb"digest" + _GAP + rb"+[a-z0+/._~=-]{8}|digest[ \t]+[a-z]+=")),
    (b"negotiate", re.compile(rb"negotiate" + _GAP)),
    (b"ntlm", re.compile(rb"ntlm" + _GAP)),
    (b"akia", re.compile(rb"akia[a-z0]{16}")),
    (b"asia", re.compile(rb"asia[a-z0]{16}")),
    (b"aiza", re.compile(rb"aiza[a-z0_-]{30}")),
    (b"eyj", re.compile(rb"eyj[a-z0_-]{8,}\.eyj")),
    (b"gh", re.compile(rb"gh[opusr]_[a-z0]{20}")),
    (b"github_pat_", None),
)
_DOMAIN = re.compile(rb"@[A-Za-z0-9.-]*\.[A-Za-z]{2}")
_USERINFO = re.compile(rb"://[^/?#\s\"'<>@:]*:[^/?#\s\"'<>]*@")
# Literals of secret names, in folded text without punctuation.
_NAME_MARKS: tuple[Mark, ...] = (
    (b"passw", None),
    (b"passphrase", None),
    (b"pwd", None),
    (b"secret", None),
    (b"credential", None),
    (b"cookie", None),
    (b"authorization", None),
    (b"bearer", None),
    (b"session", re.compile(rb"session(?!id)")),
    (b"email", None),
    (b"ssn", None),
    (b"socialsecurity", None),
    (b"cabundle", None),
    (b"clientcert", None),
    (b"key", re.compile(rb"(?:api|private|access|signing|encryption|client|ssh|master)key")),
)
_COUNTED = re.compile(rb"(?:input|output|total|prompt|completion|max)_tokens(?=[\x00-\x1f\"])")
_VALUE_KEYS = frozenset({"value", "values", "before", "after", "default"})
_NAME_KEYS = ("path", "name", "key", "header", "field")
_REFERENCE = frozenset({"name", "env_var", "present"})
_PATH_PARTS = re.compile(r"[.\[\]/]+")


class Redactor:
    """Blanks what the rules find secret. What they do not find comes back as the same object."""

    def __init__(self, rules: Rules | None = None) -> None:
        rules = rules or Rules()
        self._keys = Keys(rules.keys)
        self._patterns = tuple(re.compile(text.encode()) for text in rules.patterns)
        self._secrets = tuple(_spellings(rules.secrets))
        self._roots = roots_of(rules.keys)
        own: list[Mark] = [("".join(words_of(word)).encode(), None) for word in rules.keys]
        self._name_marks = (*_NAME_MARKS, *own)
        parts = [max(words_of(word), key=len).encode() for word in rules.keys]
        self._word_marks = (*_WORD_MARKS, *parts)
        self._harmless: set[bytes] = set()
        self._harmless_texts: set[str] = set()

    def kind(self, name: str) -> KeyKind:
        """Return what the name of a value says about it."""
        return self._keys.kind(name)

    def suspicious(self, raw: bytes) -> bool:
        """Tell whether there may be a secret in raw, which holds texts in UTF-8 between other
        bytes: a serialized message or JSON. Never False where `text` or `data` would blank.
        """
        if self._patterns:
            # What stands around a text on the wire is not what the pattern was written for.
            return True
        strange = set(raw.translate(_LETTERS).split()) - self._harmless
        if strange and self._telling(strange) and self._marked(raw):
            return True
        if b"@" in raw and (_DOMAIN.search(raw) or (b"://" in raw and _USERINFO.search(raw))):
            return True
        if b"sk-" in raw or b"%40" in raw or b"000-00-0000" in raw.translate(_DIGITS):
            return True
        return any(secret in raw for secret in self._secrets) or may_hold_text(raw)

    def _telling(self, words: set[bytes]) -> bool:
        """Tell whether one of the words holds a mark; remember those that do not, unless they are
        too many to be words.
        """
        together = b" ".join(words)
        found = [mark for mark in self._word_marks if mark in together]
        if len(words) <= STRANGE_MAX:
            if len(self._harmless) > WORDS_MAX:
                self._harmless.clear()
            plain = (word for word in words if not any(mark in word for mark in found))
            self._harmless.update(word for word in plain if len(word) <= WORD_CHARS_MAX)
        return bool(found)

    def _marked(self, raw: bytes) -> bool:
        """Look closer at what words alone do not tell."""
        folded = raw.translate(_FOLD)
        if _marked(folded, _MARKS) or _named_token(folded):
            return True
        return _marked(folded.translate(None, _PUNCTUATION), self._name_marks)

    def text(self, value: str, kind: KeyKind = KeyKind.PLAIN) -> str:
        """Return a text with what is secret in it blanked. kind: what its name says."""
        if kind is KeyKind.SECRET:
            return MARKER if value else value
        if len(value) < TEXT_CHARS_MIN or value in self._harmless_texts:
            return value
        raw = value.encode("utf-8", "surrogatepass")
        if not self.suspicious(raw):
            if len(value) <= WORD_CHARS_MAX:
                if len(self._harmless_texts) > WORDS_MAX:
                    self._harmless_texts.clear()
                self._harmless_texts.add(value)
            return value
        clean = self._blanked(raw, emails=kind is not KeyKind.IDENTITY)
        return value if clean == raw else clean.decode("utf-8", "surrogatepass")

    def raw(self, value: bytes) -> bytes:
        """Return UTF-8 with what is secret in it blanked; other bytes as they are."""
        try:
            value.decode()
        except UnicodeDecodeError:
            return value
        return self._blanked(value) if self.suspicious(value) else value

    def data(self, value: Any, kind: KeyKind = KeyKind.PLAIN, *, depth: int = 0) -> Any:
        """Return JSON-like data (dicts, lists, tuples, texts, numbers, None; anything else counts
        as its text) with what is secret in it blanked. Deeper than 200 levels all is blanked.
        """
        if isinstance(value, str):
            return self.text(value, kind)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return MARKER if kind is KeyKind.SECRET else value
        if depth > DEPTH_MAX:
            return MARKER
        if isinstance(value, Mapping):
            if kind is KeyKind.SECRET and not _is_reference(value):
                return MARKER if value else value
            return self._mapping(value, kind, depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            if kind is KeyKind.SECRET:
                return MARKER if value else value
            items = [self.data(item, kind, depth=depth + 1) for item in value]
            return value if all(map(_is, items, value)) else items
        text = str(value)
        clean = self.text(text, kind)
        return value if clean == text else clean

    def _mapping(self, value: Mapping[Any, Any], kind: KeyKind, depth: int) -> Any:
        told = self._told_by_sibling(value)
        clean: dict[Any, Any] = {}
        changed = False
        for key, item in value.items():
            name = key if isinstance(key, str) else str(key)
            item_kind = self._keys.kind(name)
            if item_kind is KeyKind.PLAIN:
                item_kind = told if told is not None and name in _VALUE_KEYS else item_kind
            if item_kind is KeyKind.PLAIN and kind is KeyKind.IDENTITY:
                item_kind = kind
            if item_kind is KeyKind.SECRET and type(item) in (int, float) and counts(name):
                item_kind = KeyKind.PLAIN
            new_item = self.data(item, item_kind, depth=depth + 1)
            new_key = self._key(name, clean)
            changed = changed or new_item is not item or new_key != name
            clean[new_key if new_key != name else key] = new_item
        return clean if changed else value

    def _key(self, name: str, taken: Mapping[Any, Any]) -> str:
        """Return a key with what is secret in it blanked, unlike the keys before it."""
        clean = self.text(name)
        if clean == name:
            return name
        number, tried = 1, clean
        while tried in taken:
            number += 1
            tried = f"{clean}#{number}"
        return tried

    def _told_by_sibling(self, value: Mapping[Any, Any]) -> KeyKind | None:
        """Return what `{"name": …, "value": …}` says of its value, in whose stead name speaks."""
        if _VALUE_KEYS.isdisjoint(value):
            return None
        for key in _NAME_KEYS:
            name = value.get(key)
            if isinstance(name, str):
                kinds = {self._keys.kind(part) for part in _PATH_PARTS.split(name)}
                for kind in (KeyKind.SECRET, KeyKind.IDENTITY):
                    if kind in kinds:
                        return kind
        return None

    def _blanked(self, raw: bytes, *, emails: bool = True, layers: int = BASE64_LAYERS) -> bytes:
        for secret in self._secrets:
            raw = raw.replace(secret, MARK)
        for pattern in self._patterns:
            raw = pattern.sub(MARK, raw)
        for shape in SHAPES:
            if emails or shape is not without_emails:
                raw = shape(raw)
        raw = without_named(raw, self._is_secret, self._roots)
        if layers and may_hold_text(raw):
            raw = blanked(raw, lambda text: self._blanked(text, emails=emails, layers=layers - 1))
        return raw

    def _is_secret(self, name: str) -> bool:
        return self._keys.kind(name) is KeyKind.SECRET


def _marked(text: bytes, marks: tuple[Mark, ...]) -> bool:
    return any(mark in text and (closer is None or closer.search(text)) for mark, closer in marks)


def _named_token(folded: bytes) -> bool:
    """Tell whether there is a token that is no count of a model's tokens."""
    found = folded.count(b"token")
    return bool(found) and found > len(_COUNTED.findall(folded))


def _spellings(secrets: tuple[str, ...]) -> list[bytes]:
    """Return secrets as they may stand in a text: as they are, in an address, in JSON."""
    found = {secret.encode() for secret in secrets}
    found |= {quote(secret, safe="").encode() for secret in secrets}
    found |= {json.dumps(secret)[1:-1].encode() for secret in secrets}
    return sorted(found, key=len, reverse=True)


def _is_reference(value: Mapping[Any, Any]) -> bool:
    """Tell an entry of an inventory, which says where a secret is and not what it is."""
    rest = value.keys() - _REFERENCE
    return (
        rest <= {"value", "status"}
        and len(rest) + len(_REFERENCE) == len(value)
        and value["present"] in (True, False)
        and value.get("value") in (None, MARKER)
        and value.get("status") in (None, "present", "missing")
    )


def _is(one: Any, other: Any) -> bool:
    return one is other
