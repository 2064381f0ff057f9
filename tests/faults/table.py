"""Results as the README's table, and as sentences for whoever has to mend something."""

import time
from collections.abc import Sequence

from tests.faults.scenario import Result

HEAD = (
    "| scenario | fault | times | accepted | lost | not final, or not told | sent twice (promised at most)"
    " | memory |",
    "|---|---|---|---|---|---|---|---|",
)
INTRODUCTION = (
    "<!-- faults -->",
    "Tried {date} by `make faults` in {minutes:.0f} minutes, on the real daemon with its files on disk: {accepted:,}"
    " messages accepted. *Lost* is what a customer got ESME_ROK for and the files do not hold afterwards; *memory* is"
    " what the daemon holds more than before the fault, once it has come to rest.",
)
GOOD = (
    "Also held after each: every part that a carrier took twice is marked as a possible duplicate, quota and roll-ups"
    " equal a recount of the files, no receipt went to another account or said another state, no bind had more than its"
    " window, no bind was told of a final state twice.",
)
LOST = frozenset({"accepted_is_stored"})
NOT_TOLD = frozenset({"everything_is_final", "customers_are_told", "it_comes_to_rest"})


def row(result: Result) -> str:
    """One line of the table."""
    fault = result.scenario.fault
    verdict = result.verdict
    if verdict is None:
        return f"| `{result.scenario.name}` | {fault} | not tried: {result.not_tried} | | | | | |"
    lost, untold = (sum(len(verdict.broken.get(law, ())) for law in laws) for laws in (LOST, NOT_TOLD))
    others = sorted(set(verdict.broken) - LOST - NOT_TOLD)
    marks = f" **{', '.join(others)}**" if others else ""
    twice = f"{verdict.duplicates:,}" + (f" ({verdict.duplicates_max:,})" if verdict.duplicates_max else "")
    growth = verdict.rss_growth_octets
    memory = "" if growth is None else f"{growth / 2**20:+.0f} MiB"
    return (
        f"| `{result.scenario.name}` | {fault}{marks} | {result.times:,} | {verdict.accepted:,} | {lost} | {untold}"
        f" | {twice} | {memory} |"
    )


def table(results: Sequence[Result], minutes: float) -> str:
    """All of it, with its date and what it means, between the README's markers."""
    said = {
        "date": time.strftime("%Y-%m-%d"),
        "minutes": minutes,
        "accepted": sum(result.verdict.accepted for result in results if result.verdict),
    }
    lines = [line.format(**said) for line in INTRODUCTION]
    lines += ["", *HEAD, *map(row, results)]
    if all(result.good for result in results):
        lines += ["", *GOOD]
    return "\n".join([*lines, "<!-- end -->"])


def scenarios_of(text: str) -> list[str]:
    """The names in the first column of the table between the markers."""
    between = text.partition("<!-- faults -->")[2].partition("<!-- end -->")[0]
    return [line.split("`")[1] for line in between.splitlines() if line.startswith("| `")]


def complaints(results: Sequence[Result]) -> str:
    """Which laws broke where."""
    return "\n\n".join(
        f"{result.scenario.name}:\n{result.verdict.words()}"
        for result in results
        if result.verdict and not result.good
    )
