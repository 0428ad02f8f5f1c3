"""Scalars of the spec language, in the one form that has the same digest from every source.

Numbers are canonical: whole numbers are ints (`4.0` is 4), and whole numbers from 2^53 on are
refused, because a JSON reader cannot tell them apart.
"""

import math
import re

WHOLE_LIMIT = 2**53

_BOOLEANS = {
    word: value
    for value, words in ((True, ("true", "yes", "on")), (False, ("false", "no", "off")))
    for text in words
    for word in (text, text.capitalize(), text.upper())
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# A leading zero makes no number: YAML 1.1 reads 010 as 8, YAML 1.2 as 10.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_BASED = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_STARTS = frozenset("0123456789+-.")
_DIGITS_MAX = 400


class ScalarRefused(ValueError):
    """The value has no canonical form. code: E_NUMBER or E_TEXT."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def plain(text: str) -> str | int | float | bool | None:
    """Return what an unquoted YAML scalar stands for; dates and times stay text.

    Raises ScalarRefused for numbers without canonical form.
    """
    if text and text[0] in _STARTS:
        return _number(text)
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    return text


def canonical_number(value: float) -> int | float:
    """Return whole numbers as int. Raises ScalarRefused beyond 2^53 and for values not finite."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ScalarRefused("E_NUMBER", "the number is not finite")
        if not value.is_integer():
            return value
    if abs(value) >= WHOLE_LIMIT:
        raise ScalarRefused("E_NUMBER", "whole numbers must lie between -2^53 and 2^53")
    return int(value)


def checked_text(text: str) -> str:
    """Return text that every store and reader can hold. Raises ScalarRefused for others."""
    if "\0" in text:
        raise ScalarRefused("E_TEXT", "the text holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ScalarRefused("E_TEXT", "the text holds half of a surrogate pair") from None
    return text


def _number(text: str) -> str | int | float:
    if _INT.fullmatch(text):
        return canonical_number(int(_short(text)))
    if _BASED.fullmatch(text):
        return canonical_number(int(_short(text), 0)) if text[-1] != "_" else text
    if _FLOAT.fullmatch(text):
        return canonical_number(float(_short(text)))
    if _NOT_FINITE.fullmatch(text):
        raise ScalarRefused("E_NUMBER", "the number is not finite")
    return text


def _short(text: str) -> str:
    if len(text) > _DIGITS_MAX:
        raise ScalarRefused("E_NUMBER", f"the number has more than {_DIGITS_MAX} digits")
    return text.replace("_", "")
