"""The webhooks case, small: every event comes, with and without a dead endpoint beside it."""

from pathlib import Path

import msgspec
import pytest

from bench.__main__ import main
from bench.runner import Result


@pytest.mark.slow
def test_every_event_comes_beside_a_receiver_that_hangs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["webhooks", "--small", "--messages", "1000", "--results", str(tmp_path), "--json"]
    assert main(arguments) == 0
    result = msgspec.json.decode(capsys.readouterr().out, type=Result)
    assert result.problems == []
    assert result.figures["lost"] == 0
    assert result.figures["events_per_s"] > 0 < result.figures["beside_dead_per_s"]
