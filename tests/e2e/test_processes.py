"""Whole programs, as an operator starts and stops them: serve, demo, a fresh clone."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.daemon import EXIT_STORE_FAILED

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
QUIET = {
    "SLUICE__SMPP__LISTEN": "127.0.0.1:0",
    "SLUICE__HTTP__LISTEN": "",
    "SLUICE__CONSOLE__LISTEN": "",
    "SLUICE__STORE__BALLAST_MIB": "0",
    "SLUICE__STORE__DISK_LOW_MIB": "1",
    "SLUICE__STORE__DISK_CRITICAL_MIB": "1",
    "SLUICE__LOG__FORMAT": "json",
}


@contextmanager
def program(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`sluice ARGUMENTS` in a process of its own, ended at the end of the block whatever happens."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | QUIET | environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], event: str) -> dict[str, str]:
    """The first log line with this event."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{"):
            entry: dict[str, str] = json.loads(line)
            if entry["event"] == event:
                return entry
    raise AssertionError(f"it ended with {process.wait()} and never said {event}")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_0(tmp_path: Path, sent: signal.Signals) -> None:
    with program("-m", "gateway", "serve", "--data", str(tmp_path / "data")) as process:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", wait_for(process, "listening")["address"])
        process.send_signal(sent)
        wait_for(process, "draining")
        wait_for(process, "stopped")
        assert process.wait(PATIENCE_S) == 0


def test_a_second_daemon_on_the_same_data_is_refused_with_a_sentence(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with program("-m", "gateway", "serve", "--data", data) as first:
        wait_for(first, "listening")
        with program("-m", "gateway", "serve", "--data", data) as second:
            _, said = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 1
        assert data in said
        assert "Traceback" not in said


FAILING = """
import sys
from pathlib import Path
from gateway import daemon
from gateway.config import load
from store.port import StoreFailed
from store.traffic import SqliteStore

maintain = SqliteStore.maintain
calls = []

def failing(self, now_ms):
    calls.append(now_ms)
    if len(calls) > 1:
        raise StoreFailed("disk I/O error while writing the log of the day file")
    return maintain(self, now_ms)

SqliteStore.maintain = failing
data = Path(sys.argv[1])
sys.exit(daemon.run_serve(load(data=str(data)).config, data))
"""


def test_a_failing_disk_ends_the_daemon_with_70_and_one_clear_line(tmp_path: Path) -> None:
    with program("-c", FAILING, str(tmp_path / "data")) as process:
        said = wait_for(process, "the store failed; restart to recover")
        assert said["because"] == "disk I/O error while writing the log of the day file"
        assert process.wait(PATIENCE_S) == EXIT_STORE_FAILED


def test_the_demonstration_shows_traffic_and_ends_well(tmp_path: Path) -> None:
    """On a terminal of 100 columns, until a customer has receipts; then Ctrl-C."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--data", str(tmp_path / "demo")],
        cwd=ROOT,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
        stdin=inside,
        stdout=inside,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(inside)
    try:
        shown = _read_until(
            terminal, r"(?s)acme\W+\d+\W+[1-9]\d+\W+\d+\W+[1-9]\d+.*simulated\W+2 bound", PATIENCE_S
        )
        assert "bank" in shown
        assert re.search(r"first administrator:\s+http://127\.0\.0\.1:\d+/\S+", shown)
        process.send_signal(signal.SIGINT)
        shown = _read_until(terminal, r"Stopped\.", PATIENCE_S)
        assert process.wait(PATIENCE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
        _, errors = process.communicate()
        os.close(terminal)
    assert errors == b""


def test_the_demonstration_says_where_it_is_into_a_pipe_as_well(tmp_path: Path) -> None:
    """Containers and `| tee` have no terminal: what to open must be there at once, each address in one piece."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--data", str(tmp_path / "demo")],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "60"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = _read_until(
            process.stdout.fileno(), r"(?m)first administrator: http\S+/setup/\S{20,}$", PATIENCE_S
        )
        assert re.search(r"(?m)^bind as acme or bank, password demo ", said)
        send = re.search(r"(?m)^send: (curl .*)$", said)
        assert send
        answer = subprocess.run(["bash", "-c", send[1].strip()], capture_output=True, timeout=60, check=True)
        assert b'"status":"accepted"' in answer.stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
        _, errors = process.communicate()
    assert errors == b""


def _read_until(terminal: int, pattern: str, within_s: float) -> str:
    """What a terminal shows, without its colours, until a pattern is there."""
    shown = ""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65_536).decode("utf-8", "replace")
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
            if re.search(pattern, plain):
                return plain
    raise AssertionError(f"{pattern} never came; the end of what was shown:\n{shown[-2000:]}")


@pytest.mark.slow
def test_the_two_commands_of_a_newcomer_work_in_a_fresh_clone(tmp_path: Path) -> None:
    """`make run` makes .venv, installs and runs the demonstration; `make -n test` names what it would do."""
    clone = tmp_path / "sluice"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE__", "VIRTUAL_ENV"))}
    process = subprocess.Popen(
        ["make", "run"], cwd=clone, env=environment | {"COLUMNS": "120"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    try:
        while not (clone / "demo-data" / "control.sock").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "make run did not come up in time"
            time.sleep(0.2)
        time.sleep(3)
        os.killpg(process.pid, signal.SIGINT)
        shown, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert "Stopped." in shown
    planned = subprocess.run(
        ["make", "-n", "test"], cwd=clone, capture_output=True, text=True, check=True, env=environment
    )
    assert "pytest" in planned.stdout
