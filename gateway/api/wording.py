"""What msgspec says of a value, as a sentence for whoever wrote the request."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import inspect

from gateway.api.shapes import HEX

_NOUNS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_COUNTED = {"str": "character", "array": "item", "object": "pair"}
_TIME = "Write the time as RFC 3339 with offset, such as 2026-12-01T09:00:00+08:00."
_DURATION = "Write the duration as in ISO 8601, such as PT24H or P2D."


def _type(found: re.Match[str]) -> str:
    wanted = [_NOUNS.get(name, name) for name in found[1].split(" | ") if name != "null"]
    return f"This must be {' or '.join(wanted)}, not {_NOUNS.get(found[2], found[2])}."


def _length(found: re.Match[str]) -> str:
    bound, count = "may have at most" if found[2] == "<=" else "must have at least", int(found[3])
    return f"It {bound} {count:,} {_COUNTED.get(found[1], 'item')}{'' if count == 1 else 's'}."


def _range(found: re.Match[str]) -> str:
    return f"The {'most' if '<' in found[1] else 'least'} is {found[2]}."


def _form(found: re.Match[str]) -> str:
    return "Write octets as hex digits, two each." if found[1] == HEX else f"It must have the form {found[1]}"


_TABLE: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"Expected `([^`]+)`, got `(\w+)`", _type),
    (r"Expected `(\w+)` of length (<=|>=) (\d+)", _length),
    (r"Expected `\w+` (<=|>=|<|>) (-?[\d.]+)", _range),
    (r"Expected `str` matching regex '(.*)'", _form),
    (
        r"(?:Invalid RFC3339 encoded datetime|Expected `datetime` with a timezone component).*",
        lambda _: _TIME,
    ),
    (r"Invalid ISO8601 duration.*", lambda _: _DURATION),
)
_RULES = tuple((re.compile(pattern, re.DOTALL), say) for pattern, say in _TABLE)
_NO_SUCH_VALUE = re.compile(r"Invalid (?:enum )?value (.*)", re.DOTALL)


def sentence(text: str, steps: Sequence[str], kind: Any) -> str:
    """A sentence for a ValidationError's text.

    Args:
      steps: names and indexes that lead to the value.
      kind: the type of the whole body.
    """
    for rule, say in _RULES:
        if found := rule.fullmatch(text):
            return say(found)
    if found := _NO_SUCH_VALUE.fullmatch(text):
        allowed = _values(inspect.type_info(kind), steps)
        known = f" Use one of: {', '.join(sorted(allowed))}." if allowed else ""
        return f"There is no value {found[1]} here.{known}"
    return f"{text.replace('`', '')}."


def _values(kind: inspect.Type, steps: Sequence[str]) -> set[str]:
    """The values that are allowed where the steps lead."""
    kinds = list(_plain([kind]))
    for step in steps:
        inside: list[inspect.Type] = []
        for one in kinds:
            if isinstance(one, inspect.StructType):
                inside += [field.type for field in one.fields if field.encode_name == step]
                if one.tag_field == step:
                    inside.append(inspect.LiteralType((one.tag,)))
            elif isinstance(one, inspect.ListType):
                inside.append(one.item_type)
            elif isinstance(one, inspect.DictType):
                inside.append(one.value_type)
        kinds = list(_plain(inside))
    return {str(value) for one in kinds if isinstance(one, inspect.LiteralType) for value in one.values}


def _plain(kinds: Iterable[inspect.Type]) -> Iterable[inspect.Type]:
    """Unions and described types as what they hold."""
    for kind in kinds:
        if isinstance(kind, inspect.UnionType):
            yield from _plain(kind.types)
        elif isinstance(kind, inspect.Metadata):
            yield from _plain([kind.type])
        else:
            yield kind
