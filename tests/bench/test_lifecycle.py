"""The whole lifecycle with the real daemon, small: nothing lost, nothing twice, nothing mismatched."""

import msgspec
import pytest

from bench.__main__ import main
from bench.runner import Result


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--receipts-delay", "0.3", "--text", "en", "--rate", "2000"]])
def test_every_accepted_message_is_relayed_and_receipted_once(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lifecycle", "--small", "--json", "--messages", "1500", *options]) == 0
    result = msgspec.json.decode(capsys.readouterr().out, type=Result)
    assert result.problems == []
    assert result.parameters["messages"] == 1500
    assert result.figures["lifecycle_per_s"] > 0 < result.figures["daemon_cpu_us"]
