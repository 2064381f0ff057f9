"""The whole program once: serve, apply, send, message, stop."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.cli_runner import sluice

DOCUMENT = """
[[carrier]]
name = "nowhere"
host = "127.0.0.1"
port = 1
[[route]]
prefix = ""
carriers = ["nowhere"]
[[group]]
path = "g"
granted = 10
review = "trust"
[[user]]
login = "acme"
group = "g"
limit = 2
[[account]]
user = "acme"
system_id = "acme"
password = "secret12"
"""
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "SLUICE__SMPP__LISTEN": "127.0.0.1:0",
    "SLUICE__HTTP__LISTEN": "127.0.0.1:0",
    "SLUICE__CONSOLE__LISTEN": "",
    "SLUICE__LOG__FORMAT": "json",
    "SLUICE__STORE__BALLAST_MIB": "0",
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`sluice serve` on a new data directory, listening."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--data", str(tmp_path / "data")],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=Path(__file__).parents[2],
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if json.loads(line).get("event") == "listening":
                break
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_message_goes_in_and_its_life_can_be_read_while_it_runs_and_after(
    tmp_path: Path, daemon: subprocess.Popen[str]
) -> None:
    data = ("--data", tmp_path / "data")
    (tmp_path / "d.toml").write_text(DOCUMENT)
    assert sluice("apply", tmp_path / "d.toml", *data).code == 0
    assert "The gateway is running." in sluice("check", *data).out
    sent = sluice("send", "--account", "acme", "--to", "8613800138000", "--text", "短信", *data)
    assert (sent.code, sent.err) == (0, "")
    up = sluice("message", sent.out.strip(), "--text", *data)
    assert "QUEUED" in up.out
    assert "短信" in up.out
    refused = sluice("send", "--account", "acme", "--to", "8613800138000", "--text", "x" * 400, *data)
    assert refused.code == 1
    assert refused.err.startswith("Refused: ")
    second = sluice("serve", *data)
    assert second.code == 1
    assert f"in use by process {daemon.pid}" in second.err

    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(timeout=30) == 0
    assert sluice("message", sent.out.strip(), "--text", *data).out == up.out
    assert not (tmp_path / "data" / "control.sock").exists()
