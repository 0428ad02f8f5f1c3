"""What the name of a value says about it."""

import enum
import re
from collections.abc import Iterable


class KeyKind(enum.Enum):
    """PLAIN: judged by its shape. IDENTITY: names who acts or where a thing belongs, so an e-mail
    address stays. SECRET: blanked whatever it looks like.
    """

    PLAIN = 0
    IDENTITY = 1
    SECRET = 2


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_SECRET = (
    r"[a-z0-9]*(?:password|passwd|passphrase)[a-z0-9]*",
    r"[a-z0-9]*(?:token|secret|apikey|cookie|credential|email)s?",
    # The shell's PWD is a folder.
    "authorization|bearer|sessions?|ssn|social_security|(?<=[a-z0-9]_)pwd",
    "(?:api|private|access|signing|encryption|client|ssh|master)_?keys?",
    "ca_bundle|client_certs?",
)
_HARMLESS = re.compile(
    r"_(?:(?:input|output|total|prompt|completion|max|cached|reasoning)_tokens|token_usage"
    r"|tokens_(?:[a-z0-9]+_)*total|page_tokens?|session_ids?|service_tokens)(?=_)"
)
_IDENTITY = re.compile(
    r"_(?:assignees?|reviewers?|approvers?|approved_by|requested_by|decided_by|escalated?_to"
    r"|actor|principal|owner|session_ids?)_\Z"
)
_MEASURE = re.compile(
    r"_(?:tokens|counts?|totals?|limit|budget|usage|used|max|min|size|length|seconds|ms|minutes"
    r"|hours|days|ttl|timeout|rate|index|version)(?=_)"
)
_CACHE_MAX = 4096


class Keys:
    """Judges names. more: further words that make a name secret, spelt in any case and style."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        extra = [re.escape(_words(word).strip("_")) for word in more]
        self._secret = re.compile(rf"_(?:{'|'.join((*_SECRET, *extra))})(?=_)")
        self._known: dict[str, KeyKind] = {}

    def kind(self, name: str) -> KeyKind:
        """Return what a name says. Whole words count: `secretary` and `tokenizer` say nothing."""
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= _CACHE_MAX:
                self._known.clear()
            found = self._known[name] = self._judged(_words(name))
        return found

    def _judged(self, words: str) -> KeyKind:
        if self._secret.search(_HARMLESS.sub("", words)):
            return KeyKind.SECRET
        return KeyKind.IDENTITY if _IDENTITY.search(words) else KeyKind.PLAIN


def counts(name: str) -> bool:
    """Tell whether a number under a secret name only measures, such as `token_budget`."""
    return _MEASURE.search(_words(name)) is not None


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, split at case, digits and what is no letter."""
    return [word.lower() for word in _WORD.findall(name)]


def _words(name: str) -> str:
    """Return `_words_of_a_name_`."""
    return f"_{'_'.join(words_of(name))}_"
