"""Finds the word that was probably meant, in bounded time."""

from collections.abc import Iterable

_LENGTH_MAX = 64
_DISTANCE_MAX = 4


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate with the fewest slips of the pen between it and the word; None when
    all are too far: more than a third of the word, or 4.

    A slip is a letter too many, too few, other, or two changed places; capitals are no slip. The
    first of equals is returned. Words beyond 64 characters are near to nothing.
    """
    plain = word.lower()
    best, least = None, min(len(plain) // 3, _DISTANCE_MAX) + 1
    if len(plain) > _LENGTH_MAX:
        return None
    for candidate in candidates:
        if abs(len(candidate) - len(plain)) < least:
            found = _slips(plain, candidate.lower(), least)
            if found < least:
                best, least = candidate, found
    return best


def _slips(one: str, other: str, limit: int) -> int:
    """Return the distance (optimal string alignment), or limit when it is not below that.

    Only the diagonal band that can lead to a distance below the limit is computed.
    """
    width = len(other)
    before: list[int] = []
    row = list(range(width + 1))
    for place, letter in enumerate(one, start=1):
        low, high = max(1, place - limit), min(width, place + limit)
        above = row
        row = [limit] * (width + 1)
        row[0] = place
        for at in range(low, high + 1):
            same = letter == other[at - 1]
            cost = min(above[at] + 1, row[at - 1] + 1, above[at - 1] + (not same))
            if place > 1 and at > 1 and letter == other[at - 2] and one[place - 2] == other[at - 1]:
                cost = min(cost, before[at - 2] + 1)
            row[at] = cost
        if min(row) >= limit:
            return limit
        before = above
    return min(row[width], limit)
