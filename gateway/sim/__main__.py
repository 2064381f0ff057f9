"""`python -m gateway.sim carrier …`: the simulators without the gateway's command line."""

import sys

from gateway.sim.behaviour import CarrierOptions
from gateway.sim.options import parse
from gateway.sim.programs import cli_carrier


def main(arguments: list[str]) -> None:
    match arguments:
        case ["carrier", *rest]:
            cli_carrier(parse(CarrierOptions, "python -m gateway.sim carrier", rest))
        case _:
            sys.exit("Say which simulator: python -m gateway.sim carrier, or python -m gateway.sim esme")


if __name__ == "__main__":
    main(sys.argv[1:])
