"""`sluice carriers` against a running gateway: list, rate, pause, resume, rebind."""

import subprocess
from pathlib import Path

from tests.gateway.cli_runner import sluice
from tests.gateway.test_cli_serve import DOCUMENT, daemon

__all__ = ["daemon"]

CARRIER = """
[[carrier]]
name = "north"
host = "127.0.0.1"
port = 9
system_id = "a"
password = "b"
"""


def test_carriers_are_looked_after_from_the_command_line(
    daemon: subprocess.Popen[str], tmp_path: Path
) -> None:
    data = str(tmp_path / "data")
    document = tmp_path / "document.toml"
    document.write_text(DOCUMENT + CARRIER)
    assert sluice("apply", str(document), "--data", data).code == 0

    def run(*words: str) -> str:
        result = sluice("carriers", *words, "--data", data)
        assert result.code == 0, result.err
        return result.out

    assert run("rate", "north", "25") == "north: 0 → 25 parts a second.\n"
    assert "of 25" in next(line for line in run("list").splitlines() if line.startswith("north"))
    assert run("rebind", "north").startswith("north is binding anew")
    assert run("pause", "north").startswith("north is paused")
    assert 'state = "paused"' in sluice("export", "--data", data).out
    assert run("resume", "north") == "north goes on.\n"
    unknown = sluice("carriers", "rate", "south", "5", "--data", data)
    assert (unknown.code, "north" in unknown.err) == (1, True)
