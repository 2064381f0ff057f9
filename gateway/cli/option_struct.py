"""Commands whose options are the fields of a struct (`gateway/sim/options.py`): the simulators, the bench."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import rich_click as click

from gateway.cli.common import EXIT_USAGE, CommandFailed
from gateway.sim.options import OptionField, build, option_fields

Command = TypeVar("Command", bound=Callable[..., Any])
Options = TypeVar("Options", bound=msgspec.Struct)


def struct_options(options: type[msgspec.Struct]) -> Callable[[Command], Command]:
    """A decorator that adds a click option for each field, in their order."""

    def decorate(command: Command) -> Command:
        for field in reversed(option_fields(options)):
            command = _option(field)(command)
        return command

    return decorate


def built(options: type[Options], values: dict[str, Any]) -> Options:
    """The struct from what click parsed; a text that cannot be read is a usage error."""
    try:
        return build(options, values)
    except ValueError as error:
        raise CommandFailed(f"{error}.", exit_code=EXIT_USAGE) from error


def _option(field: OptionField) -> Callable[[Command], Command]:
    if field.kind is bool:
        names = f"{field.flag}/--no-{field.flag.removeprefix('--')}"
        return click.option(names, field.name, default=field.default, help=field.help)
    kind: Any = click.Choice(field.choices) if field.choices else field.kind
    default = field.default
    if field.kind is dict:
        kind = str
        default = ",".join(f"{word}={number:g}" for word, number in field.default.items())
    shown = default != ""
    return click.option(
        field.flag, field.name, type=kind, default=default, show_default=shown, help=field.help
    )
