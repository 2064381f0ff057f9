"""`sluice sim carrier` and `sluice sim esme`: the simulators as programs."""

from typing import Any

import rich_click as click

from gateway.cli.common import common_options
from gateway.cli.option_struct import built, struct_options
from gateway.sim.behaviour import CarrierOptions
from gateway.sim.esme_options import EsmeOptions


@click.group()
def sim() -> None:
    """Run a simulated carrier or ESME; each event is a line of JSON on standard output.

    They take --config and --data as every command does, and need neither.
    """


@sim.command(help=CarrierOptions.__doc__)
@struct_options(CarrierOptions)
@common_options
def carrier(config: str | None, data: str | None, **values: Any) -> None:
    from gateway.sim.programs import cli_carrier

    cli_carrier(built(CarrierOptions, values))


@sim.command(help=EsmeOptions.__doc__)
@struct_options(EsmeOptions)
@common_options
def esme(config: str | None, data: str | None, **values: Any) -> int:
    from gateway.sim.programs import cli_esme

    return cli_esme(built(EsmeOptions, values))
