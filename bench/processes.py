"""The processes of a benchmark: started, listened to, measured from outside, stopped by their own pid."""

import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from bisect import bisect_left
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_OCTETS = os.sysconf("SC_PAGE_SIZE")
SAMPLE_S = 0.05
POLL_S = 0.02
LOG_TAIL_LINES = 15
STOP_WAIT_S = 40.0  # a draining daemon may take 30 s


class BenchFailed(Exception):
    """A benchmark could not be run. The text says which part, and shows the end of its log."""


# 2026-11-22 22:43:20 [info     ] listening        address=127.0.0.1:2775 name=smpp
_CONSOLE_LINE = re.compile(r"\d{4}-\d\d-\d\d[ T][0-9:.]+Z? +(?:\[\w+ *\] +)?(\S.*?)(?:  +|$)")


def event_of(line: str) -> dict[str, str]:
    """The fields of a log line: JSON, key=value, or structlog's console form; {} of anything else."""
    try:
        if line.startswith("{"):
            return {key: str(value) for key, value in json.loads(line).items()}
        named = _CONSOLE_LINE.match(line)
        fields = dict(word.split("=", 1) for word in shlex.split(line) if "=" in word)
        return {"event": named[1], **fields} if named else fields
    except ValueError:
        return {}


class Usage(msgspec.Struct, frozen=True):
    """Of one process at one moment: CPU seconds since its start, resident octets."""

    at: float
    user_s: float
    system_s: float
    rss_octets: int


class Child:
    """One process that we started. Its output goes to `<directory>/<name>.log`."""

    def __init__(
        self, name: str, command: list[str], directory: Path, *, environment: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.samples: list[Usage] = []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def tail(self) -> str:
        """The end of its log, for messages to people."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"

    def wait_event(self, timeout_s: float, **wanted: str) -> dict[str, str]:
        """The first log line with all `wanted` fields.

        Raises:
          BenchFailed: it did not come in time, or the process ended.
        """
        deadline = time.monotonic() + timeout_s
        what = " ".join(f"{key}={value}" for key, value in wanted.items())
        with self.log.open(errors="replace") as log:
            partial = ""
            while True:
                ended = self.process.poll() is not None
                partial += log.read()
                *lines, partial = partial.split("\n")
                for line in lines:
                    event = event_of(line)
                    if all(event.get(key) == value for key, value in wanted.items()):
                        return event
                if ended:
                    raise BenchFailed(
                        f"The {self.name} ended with code {self.process.returncode} before it said {what}."
                        f" The end of its log:\n{self.tail()}"
                    )
                if time.monotonic() > deadline:
                    raise BenchFailed(
                        f"The {self.name} did not say {what} within {timeout_s:g} s."
                        f" The end of its log:\n{self.tail()}"
                    )
                time.sleep(POLL_S)

    def wait_end(self, timeout_s: float) -> str:
        """Its whole output, once it has ended well.

        Raises:
          BenchFailed: it did not end in time, or not with code 0.
        """
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchFailed(
                f"The {self.name} did not finish within {timeout_s:g} s. The end of its log:\n{self.tail()}"
            ) from None
        if code:
            raise BenchFailed(f"The {self.name} failed with code {code}. The end of its log:\n{self.tail()}")
        return self.log.read_text(errors="replace")

    def stop(self) -> int | None:
        """SIGTERM, and SIGKILL if that does not help; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def usage(self) -> Usage | None:
        """What it has used by now; None when it is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        if fields[0] == b"Z":
            return None
        return Usage(
            at=time.monotonic(),
            user_s=int(fields[11]) / TICKS_PER_S,
            system_s=int(fields[12]) / TICKS_PER_S,
            rss_octets=int(fields[21]) * PAGE_OCTETS,
        )

    def used_between(self, begin: float, end: float) -> tuple[float, float]:
        """User and system CPU seconds between two moments of CLOCK_MONOTONIC, between samples by line."""
        (user_0, system_0), (user_1, system_1) = self._used_at(begin), self._used_at(end)
        return user_1 - user_0, system_1 - system_0

    def _used_at(self, moment: float) -> tuple[float, float]:
        samples = self.samples
        if not samples:
            return 0.0, 0.0
        at = bisect_left(samples, moment, key=lambda sample: sample.at)
        if at == 0 or at == len(samples):
            nearest = samples[min(at, len(samples) - 1)]
            return nearest.user_s, nearest.system_s
        a, b = samples[at - 1], samples[at]
        share = (moment - a.at) / (b.at - a.at)
        return a.user_s + (b.user_s - a.user_s) * share, a.system_s + (b.system_s - a.system_s) * share

    def rss_max_mib(self, begin: float = 0.0, end: float = float("inf")) -> float:
        """The most memory that a sample saw."""
        seen = [sample.rss_octets for sample in self.samples if begin <= sample.at <= end]
        return round(max(seen, default=0) / 2**20, 1)


class Children:
    """All processes of one run: a thread samples them, leaving stops them in the reverse order."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._children: list[Child] = []
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.stop()
        self._done.set()
        self._sampler.join()

    def start(self, name: str, command: list[str], **environment: str) -> Child:
        """Start one process."""
        child = Child(name, command, self.directory, environment=environment)
        self._children.append(child)
        return child

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_S):
            for child in list(self._children):
                usage = child.usage()
                if usage is not None:
                    child.samples.append(usage)


def per_message_us(used: tuple[float, float], messages: int) -> dict[str, Any]:
    """`{"cpu_us": .., "cpu_user_us": .., "cpu_system_us": ..}` of CPU seconds over messages."""
    user, system = (seconds / max(messages, 1) * 1e6 for seconds in used)
    return {
        "cpu_us": round(user + system, 2),
        "cpu_user_us": round(user, 2),
        "cpu_system_us": round(system, 2),
    }
