"""The share of the faults that every run of the tests can afford; `make faults` tries all of them, and longer.

Worlds of one group run side by side: they mostly wait.
"""

from contextlib import suppress
from pathlib import Path

import pytest
import trio

from tests.faults.scenario import Result, run_scenario
from tests.faults.strace import STRACE, ToolMissing, install
from tests.faults.suite import SCENARIOS
from tests.faults.table import scenarios_of
from tests.interop.packages import ROOT, left_out, program

AT_ONCE = 3
GROUPS = {
    "kills": ("kill-random", "kill-fdatasync", "kill-pwrite-log", "kill-pwrite-file"),
    "failing system calls": ("eio-fdatasync", "eio-pwrite", "enospc-once", "enospc-while"),
    "full disks": ("disk-full", "disk-full-at-once", "disk-full-start"),
    "carriers": ("cut", "black-hole", "restart", "late", "throttling", "lying", "hold"),
    "customers": ("vanish", "dribble", "never-read", "never-answer", "bind-storm", "announce"),
    "clocks": ("clock",),
}
TRACED = {"kills", "failing system calls"}


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
async def test_nothing_accepted_is_lost_by(group: str, tmp_path: Path) -> None:
    if group in TRACED:
        with suppress(ToolMissing):
            install([STRACE], STRACE)
        program(STRACE, "strace")
    results: dict[str, Result] = {}
    lanes = trio.CapacityLimiter(AT_ONCE)

    async def run(name: str) -> None:
        scenario = SCENARIOS[name]
        async with lanes:
            results[name] = await run_scenario(scenario, tmp_path / name, times=scenario.small)

    async with trio.open_nursery() as nursery:
        for name in GROUPS[group]:
            nursery.start_soon(run, name)
    verdicts = {name: result.verdict for name, result in results.items() if result.verdict}
    assert {name: verdict.words() for name, verdict in verdicts.items() if verdict.broken} == {}
    assert all(verdict.accepted >= 20 for verdict in verdicts.values())
    for name, result in results.items():
        if result.not_tried:
            left_out(f"{name}: {result.not_tried}")


def test_the_share_has_every_kind_of_fault() -> None:
    """What the long suite tries is tried here, but for other strengths of the same fault."""
    variants = {
        "kill-backlog", "stop", "kill-start", "eio-pread", "stall", "too-late", "fail", "announce-limits",
        "clock-forward",
    }  # fmt: skip
    share = {name for names in GROUPS.values() for name in names}
    assert share | variants == set(SCENARIOS)
    assert not share & variants


def test_the_readme_tells_of_every_scenario() -> None:
    """The table of the last `make faults` in the README has the suite's rows, in its order."""
    assert scenarios_of((ROOT / "README.md").read_text(encoding="utf-8")) == list(SCENARIOS)
