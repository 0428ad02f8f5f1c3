"""What a process adds to the built-in rules: its operator's words and patterns, and the secrets
that it holds itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from kneo_grpc.domain.redaction.keys import KeyKind, Keys, counts, words_of

MARKER = "[REDACTED]"
SECRET_CHARS_MIN = 8
WORD_CHARS_MIN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """keys: words that make a key secret. patterns: regular expressions of secret values.

    secrets: values that this process holds and must not show, wherever they stand.
    """

    keys: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)


def rules_of(source: Mapping[str, str], *, named: tuple[str, ...] = ()) -> tuple[Rules, list[str]]:
    """Read the rules from environment variables; also return what is wrong with them.

    named: variables that hold secrets though their names do not say so.
    """
    faults = []
    keys = tuple(filter(None, (w.strip() for w in source.get(_KEYS, "").split(","))))
    if any(not any(c.isascii() and c.isalnum() for c in key) for key in keys):
        faults.append(f"{_KEYS} takes names made of ASCII letters and digits")
        keys = ()
    patterns = []
    for number, text in enumerate(source.get(_PATTERNS, "").split(), start=1):
        try:
            if re.compile(text.encode()).search(b"") is not None:
                raise ValueError("matches nothing at all")
            patterns.append(text)
        except (re.error, ValueError) as error:
            faults.append(f"{_PATTERNS}: pattern {number} cannot be used: {error}")
    return Rules(keys=keys, patterns=tuple(patterns), secrets=secrets_in(source, named)), faults


_KEYS = "KNEO_SERV_REDACT_KEYS"
_PATTERNS = "KNEO_SERV_REDACT_PATTERNS"


def secrets_in(source: Mapping[str, str], named: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the secret values of environment variables: of those whose names say so, of those
    that are named, and the passwords of addresses.
    """
    keys = Keys()
    found = set()
    for name, value in source.items():
        if name == "KNEO_SERV_API_KEYS":
            found |= {entry.split(":", 2)[1].strip() for entry in value.split(";") if ":" in entry}
        elif name in named or _holds_secret(name, keys):
            found.add(value.strip())
        if "://" in value:
            found |= _passwords(value)
    return tuple(sorted(filter(_distinct, found), key=len, reverse=True))


def _holds_secret(variable: str, keys: Keys) -> bool:
    """Tell whether a variable holds a secret itself: desktops have sessions, git an e-mail address,
    and some variables tell only where a secret is.
    """
    words = words_of(variable)
    if keys.kind(variable) is not KeyKind.SECRET or counts(variable):
        return False
    return _INNOCENT.isdisjoint(words) and words[-1] not in _PLACES


_INNOCENT = frozenset({"session", "email", "cookie"})
_PLACES = frozenset({"file", "path", "dir", "url", "name", "id"})


def _passwords(address: str) -> set[str]:
    try:
        password = urlsplit(address.strip()).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()


def _distinct(secret: str) -> bool:
    """Short values and plain words stand in honest texts too; to blank them there would say what
    they are. Where they stand as a password, key name and address tell.
    """
    plain = secret.isalpha() and secret.islower()
    return len(secret) >= (WORD_CHARS_MIN if plain else SECRET_CHARS_MIN)
