"""The share of the faults that every run of the tests can afford; `make faults` tries all of them, and longer."""

from pathlib import Path

import pytest

from tests.faults.scenario import run_scenario
from tests.faults.suite import SCENARIOS

SHARE = ("kill-random", "eio-fdatasync", "enospc-while", "black-hole", "vanish", "announce", "bind-storm")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARE)
async def test_nothing_accepted_is_lost_by(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    result = await run_scenario(scenario, tmp_path / "world", times=scenario.small)
    if result.not_tried:
        pytest.skip(result.not_tried)
    assert result.verdict is not None
    assert result.verdict.broken == {}, result.verdict.words()
    assert result.verdict.accepted > 20
