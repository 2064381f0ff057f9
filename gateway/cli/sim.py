"""`sluice sim carrier` and `sluice sim esme`: the simulators, their options taken from their structs."""

from collections.abc import Callable
from typing import Any

import msgspec
import rich_click as click

from gateway.cli.common import EXIT_USAGE, CommandFailed, common_options
from gateway.sim.behaviour import CarrierOptions
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.options import OptionField, build, option_fields


@click.group()
def sim() -> None:
    """Run a simulated carrier or ESME; each event is a line of JSON on standard output."""


def _command(name: str, options: type[msgspec.Struct], run: Callable[[Any], int | None]) -> click.Command:
    def command(config: str | None, data: str | None, **values: Any) -> int | None:
        # A simulator needs neither: it takes them because every command does.
        del config, data
        try:
            return run(build(options, values))
        except ValueError as error:
            raise CommandFailed(f"{error}.", exit_code=EXIT_USAGE) from error

    command.__doc__ = options.__doc__
    decorated = common_options(command)
    for field in reversed(option_fields(options)):
        decorated = _option(field)(decorated)
    return click.command(name)(decorated)


def _option(field: OptionField) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    if field.kind is bool:
        names = f"{field.flag}/--no-{field.flag[2:]}"
        return click.option(names, field.name, default=field.default, help=field.help)
    kind: Any = click.Choice(field.choices) if field.choices else field.kind
    default = field.default
    if field.kind is dict:
        kind = str
        default = ",".join(f"{word}={number:g}" for word, number in field.default.items())
    return click.option(
        field.flag, field.name, type=kind, default=default, show_default=default != "", help=field.help
    )


def _carrier(options: CarrierOptions) -> None:
    from gateway.sim.programs import cli_carrier

    cli_carrier(options)


def _esme(options: EsmeOptions) -> int:
    from gateway.sim.programs import cli_esme

    return cli_esme(options)


sim.add_command(_command("carrier", CarrierOptions, _carrier))
sim.add_command(_command("esme", EsmeOptions, _esme))
