"""Processes of a benchmark: events in their logs, clear failures, CPU between two moments."""

import sys
import time
from pathlib import Path

import pytest

from bench.processes import BenchFailed, Children, Usage, event_of, per_message_us

TALKS = 'print("starting"); print(\'{"event": "listening", "name": "smpp", "address": "127.0.0.1:9"}\');'
SLEEPS = "import time; time.sleep(60)"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            '{"event": "listening", "name": "smpp", "port": 1}',
            {"event": "listening", "name": "smpp", "port": "1"},
        ),
        ('ts=now event=listening name=smpp text="two words"', None),
        (
            "2026-11-22 22:43:20 [info     ] no bind in time       peer=127.0.0.1:9 after_s=10",
            {"event": "no bind in time", "peer": "127.0.0.1:9", "after_s": "10"},
        ),
        (
            "2026-11-22 22:43:20  listening              address=127.0.0.1:1 name=smpp",
            {"event": "listening", "address": "127.0.0.1:1", "name": "smpp"},
        ),
        ("plain words", {}),
        ("{broken", {}),
        ('open "quote', {}),
    ],
)
def test_log_lines_in_both_forms_are_read(line: str, fields: dict[str, str] | None) -> None:
    expected = {"ts": "now", "event": "listening", "name": "smpp", "text": "two words"}
    assert event_of(line) == (expected if fields is None else fields)


def test_event_is_found_and_the_process_is_stopped(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("talker", [sys.executable, "-c", TALKS + SLEEPS])
        event = child.wait_event(20, event="listening", name="smpp")
        assert event["address"] == "127.0.0.1:9"
    assert child.process.returncode == -15


def test_silent_and_dead_processes_fail_with_their_log(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        silent = children.start("silent", [sys.executable, "-c", SLEEPS])
        with pytest.raises(BenchFailed, match=r"silent did not say event=listening within 0.1 s"):
            silent.wait_event(0.1, event="listening")
        with pytest.raises(BenchFailed, match="did not finish"):
            silent.wait_end(0.1)
        dead = children.start("dead", [sys.executable, "-c", "raise SystemExit('no such port')"])
        with pytest.raises(BenchFailed, match=r"dead ended with code 1[\s\S]*no such port"):
            dead.wait_event(20, event="listening")
        with pytest.raises(BenchFailed, match="failed with code 1"):
            dead.wait_end(20)


def test_cpu_of_a_busy_process_is_measured(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    with Children(tmp_path) as children:
        begin = time.monotonic()
        child = children.start("busy", [sys.executable, "-c", busy])
        child.wait_end(60)
        user, system = child.used_between(begin, time.monotonic())
    assert 0.1 < user + system < 0.5
    assert child.rss_max_mib() > 1


def test_cpu_between_samples_is_taken_from_the_line_between_them(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("none", [sys.executable, "-c", ""])
        child.wait_end(20)
    child.samples = [Usage(10.0, 1.0, 0.5, 0), Usage(20.0, 3.0, 1.5, 0)]
    assert child.used_between(12.5, 17.5) == (1.0, 0.5)
    assert child.used_between(0.0, 100.0) == (2.0, 1.0)
    assert per_message_us((1.0, 0.5), 50_000) == {
        "cpu_us": 30.0,
        "cpu_user_us": 20.0,
        "cpu_system_us": 10.0,
    }
