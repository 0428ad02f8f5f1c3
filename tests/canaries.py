"""Secrets that a test plants, and where it looks for them."""

import base64
import itertools
import json
import random
import re
import string
from collections.abc import Callable
from typing import Any

CHARS = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
# The names of both lists of the contract, and a few in other styles.
KEYS = (
    *("api_key", "apikey", "authorization", "bearer", "cookie", "credential", "password"),
    *("passwd", "private_key", "refresh_token", "secret", "session", "set_cookie", "token"),
    *("email", "ssn", "social_security", "ca_bundle", "client_cert", "client_key", "apiKey"),
    *("X-Api-Key", "clientSecret", "accessToken", "dbPassword"),
)

# A secret in JSON inside of a text is known by names that say so; `session:` and `email:` do not.
NAMED = tuple(
    key for key in KEYS if key not in ("bearer", "cookie", "session", "set_cookie", "email",
                                       "social_security", "ca_bundle"))  # fmt: skip
_RUN = re.compile(rb"[A-Za-z0-9+/]{15,}")
_WORD = re.compile(rb"[A-Za-z0-9-]+")

Some = Callable[..., str]
Shape = Callable[[Some], tuple[str, str]]


class Canaries:
    """Makes secrets, every one of them once, and finds those that got out."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.cores: dict[str, str] = {}
        self._shapes = itertools.cycle(SHAPES.items())
        self._keys = itertools.cycle(KEYS)
        self._named = itertools.cycle(NAMED)

    def text(self, *, email: bool = True) -> str:
        """A text with a secret of the next shape; every fifth one is in base64."""
        name, shape = next(self._shapes)
        if name == "email" and not email:
            return self.text(email=False)
        text, core = shape(self._some)
        self.cores[core] = name
        words = f"see {text} for more"
        if len(self.cores) % 5 == 0:
            return base64.b64encode(words.encode()).decode()
        return words

    def word(self) -> str:
        """A secret without a space before or after it."""
        core = f"sk-{self._some(24)}"
        self.cores[core] = "word"
        return core

    def data(self, *, depth: int = 2) -> dict[str, Any]:
        """An object with secrets below secret keys and in texts, at several depths."""
        key = next(self._keys)
        found: dict[str, Any] = {
            key: self._kept(f"key {key}"),
            self.word(): "as a key",
            "note": self.text(),
            "list": [self.text(), 1, None],
            "json": json.dumps({next(self._named): self._kept("json"), "other": 1}),
        }
        if depth:
            found["inner"] = self.data(depth=depth - 1)
            found[next(self._keys)] = {"below": [self._kept("below a key")]}
        return found

    def escaped(self, output: bytes) -> dict[str, str]:
        """The secrets that stand in an output, as they are or in base64, with their kinds."""
        seen = [output]
        for run in set(_RUN.findall(output)):
            for offset in range(4):
                part = run[offset:]
                part = part[:-1] if len(part) % 4 == 1 else part
                seen.append(base64.b64decode(part + b"=" * (-len(part) % 4)))
        # A secret has only characters of words, and an output says most of its words many times.
        words = b"\n".join({word for text in seen for word in _WORD.findall(text)})
        assert all(_WORD.fullmatch(core.encode()) for core in self.cores)
        return {core: kind for core, kind in self.cores.items() if core.encode() in words}

    def _kept(self, kind: str) -> str:
        core = self._some(20)
        self.cores[core] = kind
        return core

    def _some(self, size: int, chars: str = CHARS) -> str:
        return "".join(self._random.choice(chars) for _ in range(size))


def _made(before: str, size: int, after: str = "", chars: str = CHARS) -> Shape:
    def make(some: Some) -> tuple[str, str]:
        core = some(size, chars)
        return f"{before}{core}{after}", core

    return make


def _basic(some: Some) -> tuple[str, str]:
    core = some(16)
    return f"Basic {base64.b64encode(f'user:{core}'.encode()).decode()}", core


def _ssn(some: Some) -> tuple[str, str]:
    core = "-".join(some(size, "123456789") for size in (3, 2, 4))
    return core, core


def _jwt(some: Some) -> tuple[str, str]:
    core = some(30)
    return f"eyJhbGciOiJIUzI1NiJ9.eyJ{some(20)}.{core}", core


SHAPES: dict[str, Shape] = {
    "email": _made("", 14, "@corp.example"),
    "ssn": _ssn,
    "bearer": _made("Bearer ", 24),
    "basic": _basic,
    "digest": _made('Digest username="u", response="', 24, '"'),
    "negotiate": _made("Negotiate ", 24),
    "ntlm": _made("NTLM ", 24),
    "token scheme": _made("Token ", 24),
    "cookie": _made("Cookie: sid=", 20),
    "set-cookie": _made("Set-Cookie: sid=", 20, "; Path=/"),
    "sk": _made("sk-", 20),
    "akia": _made("AKIA", 16, chars=UPPER),
    "asia": _made("ASIA", 16, chars=UPPER),
    "github": _made("ghp_", 36),
    "github fine": _made("github_pat_", 40),
    "google": _made("AIza", 35),
    "jwt": _jwt,
    "password": _made("password=", 14),
    "passwd": _made("passwd: ", 14),
    "secret": _made("secret = ", 14),
    "token": _made("token: ", 14),
    "api key": _made("api-key=", 14),
    "authorization": _made("authorization: ", 14),
    "credential": _made("credential=", 14),
    "userinfo": _made("postgresql://u:", 14, "@db.example/x"),
    "query": _made("https://host.example/x?a=1&access_token=", 20, "&b=2"),
}
