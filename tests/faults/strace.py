"""Faults of single system calls, put into a process by strace: kill it at the Nth, or let the Nth fail.

strace counts the calls of each thread by itself, and the daemon's writes wander between few threads; so "the
Nth" means: the first thread to reach its Nth call. Every N still names one exact place between two system calls.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

STRACE = "strace"
ATTACH_S = 60.0


class ToolMissing(Exception):
    """A program that a fault needs is not there and cannot be installed; the text says why."""


class Inject(msgspec.Struct, frozen=True):
    """One fault: `action` (`signal=SIGKILL`, `error=EIO`) at calls of `syscall`.

    `suffixes`: only calls on the day files with these count, as in `2026-11-22.db` + `-wal`; none: all calls.
    """

    syscall: str
    action: str
    suffixes: tuple[str, ...] = ()

    def command(self, when: str, day_files: Sequence[Path]) -> list[str]:
        """strace, ready for `-p PID` or a command behind it. `when`: the calls, `5`, `5+` or `5..20`."""
        paths = [path.with_name(path.name + suffix) for path in day_files for suffix in self.suffixes]
        only = [argument for path in paths for argument in ("-P", str(path))]
        rule = f"inject={self.syscall}:{self.action}:when={when}"
        return [STRACE, "-f", "-o", os.devnull, *only, "-e", f"trace={self.syscall}", "-e", rule]

    def __str__(self) -> str:
        return f"{self.action.partition('=')[2]} at {self.syscall}"


def install(packages: Sequence[str], proof: str | Path) -> None:
    """Debian packages, unless `proof` (a program, or a file) is there. Raises ToolMissing."""

    def is_there() -> bool:
        return proof.exists() if isinstance(proof, Path) else shutil.which(proof) is not None

    if is_there():
        return
    if os.geteuid():
        raise ToolMissing(f"{proof} is not installed, and only root may install {' '.join(packages)}")
    lock = Path(tempfile.gettempdir()) / "sluice-faults-apt.lock"  # scenarios run side by side
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not is_there():
            _apt_install(packages)


def _apt_install(packages: Sequence[str]) -> None:
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", *packages]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and command[1] == "install":
            raise ToolMissing(f"apt-get install {' '.join(packages)} failed: {done.stderr.strip()[-300:]}")


async def wait_attached(tracer: trio.Process) -> None:
    """Until strace says that it has attached. Raises ToolMissing where tracing is not permitted."""
    assert tracer.stderr is not None
    said = b""
    with trio.move_on_after(ATTACH_S):
        while b"attached" not in said:
            data = await tracer.stderr.receive_some(4096)
            if not data:
                break
            said += data
    if b"attached" not in said:
        raise ToolMissing(f"strace cannot attach: {said.decode(errors='replace').strip()}")
