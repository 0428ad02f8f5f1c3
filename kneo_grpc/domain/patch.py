"""What changed between two JSON values, small enough to store at every checkpoint.

A patch is a list of operations `[op, path, value]`, applied in order:
`["set", path, value]`, `["del", path]`, `["add", path, items]` (items appended to the list at
path); a path is a list of object keys.
Lists that only grew become one `add`, so a history of n entries costs n entries in all, not n
squared.
"""

from typing import Any

Patch = list[list[Any]]


def diff(before: Any, after: Any) -> Patch:
    """Return the operations that turn before into after."""
    operations: Patch = []
    _diff(before, after, [], operations)
    return operations


def apply(value: Any, patch: Patch) -> Any:
    """Return value with the operations done; the value given is left as it is where it is not
    touched.
    """
    for operation in patch:
        value = _apply(
            value, operation[1], operation[0], operation[2] if len(operation) > 2 else None
        )
    return value


def _diff(before: Any, after: Any, path: list[str], operations: Patch) -> None:
    """path: to these values; changed on the way down and restored on the way up."""
    if before is after:
        return
    kind = type(after)
    if type(before) is kind:
        if kind is dict:
            _diff_objects(before, after, path, operations)
            return
        if _same(before, after):
            return
        if kind is list and _starts_with(after, before):
            operations.append(["add", [*path], after[len(before) :]])
            return
    operations.append(["set", [*path], after])


def _diff_objects(
    before: dict[str, Any], after: dict[str, Any], path: list[str], operations: Patch
) -> None:
    if not before.keys() <= after.keys():
        operations.extend(["del", [*path, key]] for key in before if key not in after)
    for key, item in after.items():
        if key not in before:
            operations.append(["set", [*path, key], item])
        elif before[key] is not item:
            path.append(key)
            _diff(before[key], item, path, operations)
            path.pop()


def _starts_with(long: list[Any], short: list[Any]) -> bool:
    return bool(short) and len(short) < len(long) and _same(long[: len(short)], short)


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: to Python 1, 1.0 and True are equal."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _apply(value: Any, path: list[str], op: str, argument: Any) -> Any:
    if not path:
        return [*value, *argument] if op == "add" else argument
    key, rest = path[0], path[1:]
    changed = dict(value)
    if op == "del" and not rest:
        del changed[key]
    else:
        changed[key] = _apply(value.get(key), rest, op, argument)
    return changed
