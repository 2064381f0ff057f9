"""`sluice bench [CASE …]`: the benchmark harness."""

from typing import Any

import rich_click as click

from bench.case import BenchOptions
from gateway.cli.common import EXIT_USAGE, CommandFailed, common_options
from gateway.cli.option_struct import built, struct_options


@click.command()
@click.argument("case", nargs=-1)
@struct_options(BenchOptions)
@common_options
def bench(case: tuple[str, ...], config: str | None, data: str | None, **values: Any) -> int:
    """Run the named benchmarks, or all: print what they found, keep it in bench/results.

    A run that loses or doubles a message fails, whatever its speed.
    """
    from bench.runner import cli_bench

    options = built(BenchOptions, values)
    try:
        return cli_bench(case, options)
    except ValueError as error:
        raise CommandFailed(str(error), exit_code=EXIT_USAGE) from error
