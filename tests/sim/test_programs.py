"""The simulators as programs: their output is JSON lines, their exit code says what happened."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import trio

from gateway.sim.carrier import SimCarrier

MODULE = (sys.executable, "-m", "gateway.sim")


@pytest.fixture
def carrier() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A running carrier program and the port it chose."""
    command = [*MODULE, "carrier", "--port", "0", "--duplicate-receipts", "1", "--report", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        event = json.loads(process.stdout.readline())
        assert (event["event"], event["name"]) == ("listening", "carrier")
        yield process, event["address"].rpartition(":")[2]
        process.kill()


def test_programs_talk_and_report(carrier: tuple["subprocess.Popen[str]", str]) -> None:
    process, port = carrier
    command = [*MODULE, "esme", "--port", port, "--system-id", "carrier", "--messages", "20", "--text", "en"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    report = json.loads(done.stdout)
    assert (report["accepted"], report["duplicates"], report["missing"]) == (20, 20, 0)
    assert done.returncode == 1  # duplicates are worth an alarm
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    events = [json.loads(line) for line in output.splitlines()]
    assert [event["event"] for event in events] == ["bound", "bound", "stopped"]
    assert events[-1]["submits"] == 20
    assert process.returncode == 0


def test_refused_bind_is_said_and_exits_with_1(carrier: tuple["subprocess.Popen[str]", str]) -> None:
    _process, port = carrier
    command = [*MODULE, "esme", "--port", port, "--system-id", "nobody"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "'nobody' was refused: status 0xf" in json.loads(done.stdout)["cause"]


async def test_carrier_that_connects_in_binds_and_comes_back_after_a_loss() -> None:
    async with SimCarrier() as listener:
        address = f"127.0.0.1:{listener.port}"
        options = ["--connect", address, "--connect-as", "bound-in", "--binds", "2", "--report", "0"]
        process = await trio.lowlevel.open_process([*MODULE, "carrier", *options], stdout=subprocess.DEVNULL)
        try:
            with trio.fail_after(30):
                links = await listener.wait_bound(2)
                links[0].drop()
                await links[0].wait_closed()
                assert len(await listener.wait_bound(2)) == 2
        finally:
            process.terminate()
            await process.wait()


def test_no_simulator_named_is_a_usage_error() -> None:
    done = subprocess.run(MODULE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "carrier" in done.stderr
