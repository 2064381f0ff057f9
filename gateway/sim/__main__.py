"""`python -m gateway.sim carrier …` and `… esme …`: the simulators without the gateway's command line."""

import sys

from gateway.sim.behaviour import CarrierOptions
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.options import parse
from gateway.sim.programs import cli_carrier, cli_esme


def main(arguments: list[str]) -> None:
    match arguments:
        case ["carrier", *rest]:
            cli_carrier(parse(CarrierOptions, "python -m gateway.sim carrier", rest))
        case ["esme", *rest]:
            sys.exit(cli_esme(parse(EsmeOptions, "python -m gateway.sim esme", rest)))
        case _:
            sys.exit("Say which simulator: python -m gateway.sim carrier, or python -m gateway.sim esme")


if __name__ == "__main__":
    main(sys.argv[1:])
