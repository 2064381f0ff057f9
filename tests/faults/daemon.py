"""One daemon process after another on one data directory: started, traced, killed, stopped, weighed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from gateway.control import ControlClient, ControlError, ControlUnavailable
from tests.faults.strace import Inject, wait_attached

ROOT = Path(__file__).parents[2]
LISTEN_S = 90.0
STOP_S = 90.0
POLL_S = 0.01
PAGE_OCTETS = os.sysconf("SC_PAGE_SIZE")


class DaemonFailed(Exception):
    """The daemon did not do what the harness must rely on; the text has the end of its log."""


class Daemon:
    """The daemon of one data directory, through all its processes."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.data = directory / "data"
        self.log = directory / "daemon.log"
        self.port = 0
        self.starts = 0
        self.environment = {**os.environ, **environment}
        self._process: trio.Process | None = None
        self._pid = 0
        self._read = 0  # octets of the log before this process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of the daemon itself, also where strace started it."""
        return self._pid

    # -- life -------------------------------------------------------------------------------------

    async def spawn(self, fault: tuple[Inject, str] | None = None) -> None:
        """Start a process, from its first system call under a fault and its `when`, if that is given."""
        assert not self.running
        prefix = fault[0].command(fault[1], self.day_files()) if fault else []
        self.port = 0
        self.starts += 1
        with self.log.open("ab") as log:
            self._read = log.tell()
            self._process = await trio.lowlevel.open_process(
                [*prefix, sys.executable, "-m", "tests.faults.serve", "--data", str(self.data)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self.environment,
            )
        self._pid = self._process.pid

    async def start(self) -> None:
        """Start a process and wait until it listens. Raises DaemonFailed."""
        await self.spawn()
        if not await self.listens():
            raise DaemonFailed(f"The daemon ended with code {self.code} instead of listening:\n{self.tail()}")

    async def listens(self) -> bool:
        """Wait until the process listens; False when it ended before. Raises DaemonFailed after LISTEN_S."""
        with trio.move_on_after(LISTEN_S):
            while self.running:
                for event in self.events():
                    if event.get("event") == "listening" and event.get("name") == "smpp":
                        self.port = int(event["address"].rpartition(":")[2])
                        self._pid = int((self.data / "sluice.lock").read_text())
                        return True
                await trio.sleep(POLL_S)
            return False
        raise DaemonFailed(f"The daemon did not listen within {LISTEN_S:g} s:\n{self.tail()}")

    @property
    def code(self) -> int | None:
        """The exit code of the last process; negative: the signal that ended it."""
        return self._process.returncode if self._process else None

    async def kill(self) -> None:
        """SIGKILL, at once."""
        if self._process is not None:
            if self._pid != self._process.pid and self.running:  # strace stands between
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            self._process.kill()
            await self._process.wait()
        await self._forget()

    async def _forget(self) -> None:
        self.port = 0
        if self._process is not None and self._process.stdin is not None:
            await self._process.stdin.aclose()

    async def stop(self) -> int:
        """SIGTERM and wait for the drain; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return await self.ended(STOP_S)

    async def ended_within(self, seconds: float) -> int | None:
        """Wait for the process's own end; its exit code, None if it still runs."""
        assert self._process is not None
        with trio.move_on_after(seconds):
            code = await self._process.wait()
            await self._forget()
            return code
        return None

    async def ended(self, within_s: float) -> int:
        """Wait for the process's own end; its exit code. Raises DaemonFailed."""
        code = await self.ended_within(within_s)
        if code is not None:
            return code
        raise DaemonFailed(f"The daemon did not end within {within_s:g} s:\n{self.tail()}")

    # -- faults -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def traced(self, inject: Inject, when: str) -> AsyncIterator[None]:
        """The running process under `inject`, until the block ends or the process does."""
        tracer = await trio.lowlevel.open_process(
            [*inject.command(when, self.day_files()), "-p", str(self.pid)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            await wait_attached(tracer)
            yield
        finally:
            with trio.CancelScope(shield=True):
                if tracer.returncode is None:
                    tracer.terminate()
                await tracer.wait()
                assert tracer.stderr is not None
                await tracer.stderr.aclose()

    def day_files(self) -> list[Path]:
        """The day files there are; the newest may be tomorrow's by now."""
        return sorted((self.data / "days").glob("????-??-??.db"))

    # -- what it says -----------------------------------------------------------------------------

    def events(self) -> list[dict[str, Any]]:
        """The log lines of this process, as far as they are whole."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            lines = log.read().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        """This process's log lines of one event."""
        return [line for line in self.events() if line.get("event") == event]

    def tail(self) -> str:
        """The end of the log, for people."""
        lines = self.log.read_text(errors="replace").splitlines()[-12:]
        return "\n".join(f"    {line[:300]}" for line in lines)

    async def status(self) -> Any:
        """What the control socket's `status` answers; None while nobody answers."""

        def ask() -> Any:
            return ControlClient(self.data, timeout_s=20.0).call("status")

        try:
            return await trio.to_thread.run_sync(ask)
        except (ControlError, ControlUnavailable, OSError):
            return None

    def rss_octets(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_OCTETS

    def forget_peak(self) -> None:
        """Let `rss_peak_octets` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def rss_peak_octets(self) -> int:
        """The most resident memory since `forget_peak`."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        return 0


async def apply(daemon: Daemon, document: str) -> None:
    """`sluice apply`, with the daemon up or down."""
    path = daemon.data.parent / "document.toml"
    path.write_text(document, encoding="utf-8")
    done = await trio.run_process(
        [sys.executable, "-m", "gateway", "apply", str(path), "--data", str(daemon.data)],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        raise DaemonFailed(f"apply failed with code {done.returncode}: {done.stderr.decode()}")
