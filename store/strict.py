"""Reading what people write: unknown keys, wrong types and wrong values as sentences.

Both `sluice.toml` and the documents of `sluice apply` go through here, so both say the same things the same
way: where, what was found, what is wanted, what to do. Nothing here knows a file format; values are those
that a TOML or JSON parser gives.
"""

import difflib
from collections.abc import Iterable
from typing import Any, get_args, get_origin

import msgspec
from msgspec import inspect

FOUND_CHARACTERS_MAX = 60  # a wrong value is quoted up to here; enough to recognise it


class Wrong(Exception):
    """One value that cannot be taken. The text says what was found and what is wanted, not where."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that `name` was probably meant to be, or "" if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return close[0] if close else ""


def unknown_key(path: str, key: str, known: Iterable[str]) -> str:
    """The sentences for a key that does not exist; `path` ends where the key would be appended."""
    names = sorted(known)
    guess = nearest(key, names)
    if guess:
        return f'{path}: unknown key "{key}". The nearest known key is "{guess}": correct the name.'
    return f'{path}: unknown key "{key}". Remove it, or use one of: {", ".join(names)}.'


def take(value: object, wanted: Any, *, strict: bool = True, secret: bool = False) -> Any:
    """`value` as type `wanted` (with its msgspec constraints).

    Args:
      strict: False also reads text as numbers and booleans, and "a, b" as a list (environment variables).
      secret: the value is not quoted in the error.
    Raises:
      Wrong: the value has another type, or breaks a bound.
    """
    if not strict and isinstance(value, str) and _is_list(wanted):
        value = [item.strip() for item in value.split(",") if item.strip()]
    try:
        return msgspec.convert(value, wanted, strict=strict)
    except msgspec.ValidationError:
        found = "the value found" if secret else describe_value(value)
        raise Wrong(f"{found} cannot be used here; wanted: {describe_type(wanted)}") from None


def describe_value(value: object) -> str:
    """A value as a person would name it: `"30s" (text)`, `-1 (a whole number)`."""
    match value:
        case bool():
            return f"{str(value).lower()} (true or false)"
        case str():
            return f"{_short(msgspec.json.encode(value).decode())} (text)"
        case int():
            return f"{value} (a whole number)"
        case float():
            return f"{value} (a number)"
        case list() | tuple():
            return f"a list of {len(value)}"
        case dict():
            return "a table"
    return f"{_short(str(value))} (a {type(value).__name__})"


def describe_type(wanted: Any) -> str:
    """What a type asks for, in words: `a whole number, 1 to 65535`, `one of "a", "b"`."""
    return _describe(inspect.type_info(wanted))


def choices(wanted: Any) -> tuple[str, ...]:
    """The values of a Literal type, () for other types."""
    info = inspect.type_info(wanted)
    return tuple(str(v) for v in info.values) if isinstance(info, inspect.LiteralType) else ()


def _describe(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(type=inner):
            return _describe(inner)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            name = "a whole number" if isinstance(info, inspect.IntType) else "a number"
            return name + _bounds(info.ge, info.le)
        case inspect.StrType():
            return "text" + (f" of at least {info.min_length} character" if info.min_length else "")
        case inspect.LiteralType():
            return "one of " + ", ".join(f'"{value}"' for value in info.values)
        case inspect.VarTupleType() | inspect.ListType():
            return f"a list, each item {_describe(info.item_type)}"
        case inspect.TupleType():
            return "[" + ", ".join(_describe(item) for item in info.item_types) + "]"
        case inspect.UnionType():
            return " or ".join(_describe(item) for item in info.types)
        case inspect.StructType() | inspect.DictType():
            return "a table"
    return type(info).__name__.removesuffix("Type").lower()


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f", {low} to {high}"
    if low is not None:
        return f", {low} or more"
    return "" if high is None else f", {high} or less"


def _is_list(wanted: Any) -> bool:
    while hasattr(wanted, "__metadata__"):
        wanted = get_args(wanted)[0]
    return get_origin(wanted) in (tuple, list)


def _short(text: str) -> str:
    return text if len(text) <= FOUND_CHARACTERS_MAX else text[: FOUND_CHARACTERS_MAX - 1] + "…"
