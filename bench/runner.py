"""`sluice bench [CASE …]`: run cases, print what they found, keep it in bench/results.

Cases are data (`CASES`). The small ones measure one thing in this process; `lifecycle` and `submit-only`
start processes of their own. A run with losses or duplicates has no figures worth keeping: it fails.
"""

import importlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench import backlog, console_task, http_api, lifecycle, stream, submit_only, webhooks
from bench.case import BenchOptions, Case, Outcome
from bench.machine import machine
from bench.processes import BenchFailed

RESULTS = Path(__file__).parent / "results"
UNITS = {
    "_per_s": "/s",
    "_us": "µs",
    "_ms": "ms",
    "_mib": "MiB",
    "_s": "s",
}


def _module_case(name: str, description: str, unit: str = "") -> Case:
    """A case whose module has `run() -> dict[str, float]`; imported when it runs."""

    def run(options: BenchOptions) -> Outcome:
        return Outcome(dict(importlib.import_module(f"bench.{name}").run()))

    return Case(name, description, run, unit=unit)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        _module_case("codec", "CPU time of decoding and encoding the four hot PDUs", "µs"),
        _module_case("filters", "CPU time of screening one message: words, blacklist, sender"),
        _module_case("commit", "rows a second through the store's write path, synchronous=FULL"),
        _module_case("restart", "time to accept again with many messages pending"),
        Case("backlog", backlog.__doc__.strip().split("\n")[0], backlog.run, backlog.TARGETS),
        Case("submit-only", submit_only.__doc__.strip().split("\n")[0], submit_only.run, submit_only.TARGETS),
        Case("http", http_api.__doc__.strip().split("\n")[0], http_api.run, http_api.TARGETS),
        Case("stream", stream.__doc__.strip().split("\n")[0], stream.run, stream.TARGETS),
        Case("webhooks", webhooks.__doc__.strip().split("\n")[0], webhooks.run, webhooks.TARGETS),
        Case("task", console_task.__doc__.strip().split("\n")[0], console_task.run, console_task.TARGETS),
        Case("lifecycle", lifecycle.__doc__.strip().split("\n")[0], lifecycle.run, lifecycle.TARGETS),
    )
}


class Result(msgspec.Struct):
    """What is written to bench/results, one file a case and day."""

    case: str
    at: str
    machine: dict[str, object]
    parameters: dict[str, object]
    figures: dict[str, float]
    problems: list[str]


def unit_of(figure: str) -> str:
    """The unit that a figure's name ends in; "" of a count."""
    stem = figure.split("_at_")[0]
    return next((unit for suffix, unit in UNITS.items() if stem.endswith(suffix)), "")


def number_of(value: float) -> str:
    """A figure as people read it: no more digits than mean anything."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"


def table_of(case: Case, outcome: Outcome) -> Table:
    """Figures with what they should reach."""
    table = Table(title=f"{case.name}: {case.description}", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("floor", justify="right")
    table.add_column("aim", justify="right")
    colours = {"aim": "green", "floor": "yellow", "below": "red"}
    for name, value in outcome.figures.items():
        target = case.targets.get(name)
        unit = unit_of(name) or case.unit
        text = number_of(value)
        if target is None:
            table.add_row(name, text, unit)
        else:
            colour = colours[target.judge(value)]
            table.add_row(
                name,
                f"[{colour}]{text}[/]",
                unit,
                number_of(target.floor),
                number_of(target.aim),
            )
    return table


def cli_bench(names: Sequence[str], options: BenchOptions) -> int:
    """Run the named cases, or all; the exit code: 0, or 1 if one failed or lost something.

    Raises:
      ValueError: a name that is no case; the text lists the cases.
    """
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise ValueError(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(CASES)}.")
    console = Console(stderr=options.json)
    failed = False
    for name in names or CASES:
        case = CASES[name]
        console.print(f"[bold]{name}[/] …")
        try:
            outcome = case.run(options)
        except BenchFailed as failure:
            console.print(f"[red]{name} could not be run.[/] {failure}", highlight=False)
            failed = True
            continue
        result = Result(
            case=name,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine(),
            parameters=outcome.parameters,
            figures=outcome.figures,
            problems=outcome.problems,
        )
        if options.json:
            sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
        else:
            console.print(table_of(case, outcome))
        for problem in outcome.problems:
            failed = True
            console.print(f"[red]{problem}[/]", highlight=False)
        if not outcome.problems and (options.results or not options.small):
            console.print(f"Written to {keep(result, options)}", highlight=False)
    return int(failed)


def keep(result: Result, options: BenchOptions) -> Path:
    """Write one result; the file. A second run of the same case and day replaces the first."""
    directory = Path(options.results) if options.results else RESULTS
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{result.at[:10]}-{result.case}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return path
