"""A small disk: a tmpfs where the data directory will be."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.strace import ToolMissing


@contextmanager
def small_disk(directory: Path, mib: int) -> Iterator[None]:
    """A file system of `mib` mebibytes at `directory`; 0: the one that is there. Raises ToolMissing."""
    if not mib:
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolMissing(f"a tmpfs may not be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True, capture_output=True)
