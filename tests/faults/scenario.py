"""A scenario: which world, which faults, how many of them in the long run and in the small one."""

import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import msgspec

from tests.faults.daemon import DaemonFailed
from tests.faults.strace import ToolMissing
from tests.faults.world import Verdict, World, WorldOptions, open_world


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. `run(world, times, dice)` brings the faults; the world is then healed and judged."""

    name: str
    fault: str  # for people: what was done
    run: Callable[[World, int, Random], Awaitable[None]]
    times: int  # in the long run
    small: int = 1  # in a short one
    options: WorldOptions = WorldOptions()
    memory: bool = False  # compare memory: only where the daemon lives through the fault


class Result(msgspec.Struct, kw_only=True):
    """What became of one scenario."""

    scenario: Scenario
    times: int
    seconds: float
    verdict: Verdict | None = None
    not_tried: str = ""

    @property
    def good(self) -> bool:
        return self.verdict is None or not self.verdict.broken


async def run_scenario(scenario: Scenario, directory: Path, *, times: int, seed: int = 0) -> Result:
    """One scenario in a world of its own, under `directory`."""
    shutil.rmtree(directory, ignore_errors=True)
    started = time.monotonic()
    result = Result(scenario=scenario, times=times, seconds=0.0)
    try:
        async with open_world(directory, scenario.options) as world:
            interrupted: list[str] = []
            try:
                await scenario.run(world, times, Random(f"{scenario.name}/{seed}"))
            except DaemonFailed as failed:
                interrupted.append(str(failed))
            result.verdict = await world.judge(memory=scenario.memory)
            if interrupted:
                result.verdict.broken["the_scenario_went_through"] = interrupted
    except* ToolMissing as missing:
        result.not_tried = "; ".join(str(error) for error in leaves(missing))
    except* DaemonFailed as failures:
        result.verdict = Verdict.nothing(
            {"the_world_could_be_judged": [str(error) for error in leaves(failures)]}
        )
    result.seconds = time.monotonic() - started
    return result


def leaves(error: BaseException) -> list[BaseException]:
    """The plain exceptions inside nested groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]
