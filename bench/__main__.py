"""`python -m bench [CASE …] [options]`: the benchmarks without the gateway's command line."""

import sys
from itertools import takewhile

from bench.case import BenchOptions
from bench.runner import cli_bench
from gateway.sim.options import parse


def main(arguments: list[str]) -> int:
    names = list(takewhile(lambda word: not word.startswith("-"), arguments))
    options = parse(BenchOptions, "python -m bench [CASE …]", arguments[len(names) :])
    try:
        return cli_bench(names, options)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
