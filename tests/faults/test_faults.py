"""The share of the faults that every run of the tests can afford; `make faults` tries all of them, and longer."""

from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.scenario import run_scenario
from tests.faults.strace import STRACE, ToolMissing, install
from tests.faults.suite import SCENARIOS
from tests.interop.packages import program

TRACED = ("eio-fdatasync", "enospc-while")
SHARE = ("kill-random", *TRACED, "black-hole", "vanish", "announce", "bind-storm")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARE)
async def test_nothing_accepted_is_lost_by(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    if name in TRACED:
        with suppress(ToolMissing):
            install([STRACE], STRACE)
        program(STRACE, "strace")
    result = await run_scenario(scenario, tmp_path / "world", times=scenario.small)
    assert result.verdict is not None, result.not_tried
    assert result.verdict.broken == {}, result.verdict.words()
    assert result.verdict.accepted > 20
