"""What a benchmark case is, what it is given, and what it gives back."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from gateway.sim.options import help_


class BenchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `sluice bench`. 0 leaves a choice to the case."""

    messages: Annotated[int, help_("how many messages; 0: what the case has")] = 0
    seconds_s: Annotated[float, help_("send for so long instead of a number of messages")] = 0.0
    binds: Annotated[int, help_("binds of the load client, and of the gateway to the carrier")] = 4
    window: Annotated[int, help_("unanswered submit_sm on each bind")] = 500
    rate: Annotated[int, help_("offer so many messages a second; 0: full speed")] = 0
    receipts_delay_s: Annotated[float, help_("the carrier's receipts come so late")] = 0.0
    text: Annotated[str, help_("texts", "zh", "en")] = "zh"
    words: Annotated[int, help_("sensitive words loaded")] = 10_000
    numbers: Annotated[int, help_("blacklisted numbers loaded")] = 1_000_000
    small: Annotated[bool, help_("a run of seconds that proves correctness, not speed; writes no result")] = (
        False
    )
    json: Annotated[bool, help_("print JSON instead of a table")] = False
    results: Annotated[str, help_("directory of the results; empty: bench/results")] = ""
    keep: Annotated[bool, help_("keep logs and data of the run, and say where")] = False


class Outcome(msgspec.Struct):
    """Figures by name, and the parameters that they depend on."""

    figures: dict[str, float]
    parameters: dict[str, Any] = {}
    problems: list[str] = []  # what makes the run worthless: losses, duplicates, a process that died


class Target(msgspec.Struct, frozen=True):
    """What a figure should reach. `least` is True when more is better."""

    floor: float
    aim: float
    least: bool = True

    def judge(self, value: float) -> str:
        """aim | floor | below"""
        for name, bound in (("aim", self.aim), ("floor", self.floor)):
            if value >= bound if self.least else value <= bound:
                return name
        return "below"


class Case(msgspec.Struct, frozen=True):
    """One benchmark: `run` blocks, for seconds to minutes, and raises BenchFailed when it cannot."""

    name: str
    description: str
    run: Callable[[BenchOptions], Outcome]
    targets: dict[str, Target] = {}
    unit: str = ""  # of figures whose names do not end in one
