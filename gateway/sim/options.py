"""Options of the simulators: structs whose fields carry their help; any command line can render them.

A field `receipts_delay_s: Annotated[float, help_("...")] = 0.0` is the flag `--receipts-delay`, in seconds:
units stay in the names of fields and in the help of flags. `option_fields` gives the table; `parse` is
argparse over it.
"""

import argparse
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

Options = TypeVar("Options", bound=msgspec.Struct)

_UNITS = {"_s": "seconds"}


def help_(text: str, *choices: str) -> msgspec.Meta:
    """What an option does, and the words it takes where it takes only some."""
    return msgspec.Meta(description=text, extra={"choices": choices})


class OptionField(msgspec.Struct, frozen=True):
    """One option, ready for click or argparse.

    `kind` is int, float, str or bool (a switch), or dict: `WORD=NUMBER,WORD=NUMBER`, which `mapping` reads.
    """

    name: str
    flag: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()


def mapping(text: str) -> dict[str, float]:
    """`DELIVRD=0.9,UNDELIV=0.1` as a dict. Raises ValueError with the pair that cannot be read."""
    pairs = {}
    for pair in filter(None, text.split(",")):
        word, equals, number = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is not WORD=NUMBER; write for example DELIVRD=0.9,UNDELIV=0.1")
        pairs[word.strip()] = float(number)
    return pairs


def option_fields(options: type[msgspec.Struct]) -> list[OptionField]:
    """The options of a struct, in its order."""
    hints = get_type_hints(options, include_extras=True)
    fields = []
    for field in msgspec.structs.fields(options):
        hint = hints[field.name]
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        meta = next((note for note in notes if note.description), msgspec.Meta())
        unit = next((unit for suffix, unit in _UNITS.items() if field.name.endswith(suffix)), "")
        stem = field.name[:-2] if unit else field.name
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        fields.append(
            OptionField(
                name=field.name,
                flag="--" + stem.replace("_", "-"),
                kind=get_origin(kind) or kind,
                default=default,
                help=f"{meta.description or ''}{f' ({unit})' if unit else ''}",
                choices=tuple((meta.extra or {}).get("choices", ())),
            )
        )
    return fields


def build(options: type[Options], values: dict[str, Any]) -> Options:
    """An options struct from parsed values; texts of dict fields are read by `mapping`.

    Raises:
      ValueError: a mapping that cannot be read, a word that is no choice, a share above 1.
    """
    given = dict(values)
    for field in option_fields(options):
        value = given.get(field.name, field.default)
        if field.kind is dict and isinstance(value, str):
            given[field.name] = mapping(value)
        elif field.choices and value not in field.choices:
            raise ValueError(f"{field.flag} {value} is none of {', '.join(field.choices)}")
    try:
        return msgspec.convert(given, options)
    except msgspec.ValidationError as error:
        raise ValueError(f"An option cannot be: {error}") from error


def parse(options: type[Options], program: str, arguments: Sequence[str]) -> Options:
    """The options from a command line, by argparse; exits with a usage message on a mistake."""
    parser = argparse.ArgumentParser(prog=program, description=(options.__doc__ or "").split("\n")[0])
    for field in option_fields(options):
        help_text = field.help.replace("%", "%%")
        if field.kind is bool:
            parser.add_argument(
                field.flag,
                dest=field.name,
                action=argparse.BooleanOptionalAction,
                default=field.default,
                help=help_text,
            )
        else:
            parser.add_argument(
                field.flag,
                dest=field.name,
                type=mapping if field.kind is dict else field.kind,
                default=field.default,
                choices=field.choices or None,
                help=help_text,
            )
    try:
        return build(options, vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))
