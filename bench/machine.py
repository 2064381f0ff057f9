"""What a figure was measured on, and where to keep scratch data that is really on a disk."""

import contextlib
import os
import platform
import sqlite3
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from store.port import StoreOptions
from store.traffic import SqliteStore

REPOSITORY = Path(__file__).resolve().parent.parent
PRAGMAS = ("journal_mode", "synchronous", "wal_autocheckpoint", "page_size", "cache_size", "mmap_size")


def _first(path: str, prefix: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(prefix):
                return line.partition(":")[2].strip()
    return "unknown"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _filesystem(directory: Path) -> str:
    """The type of the filesystem that holds a directory."""
    best, kind = "", "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _device, point, found, *_ = line.split()
            if str(directory.resolve()).startswith(point) and len(point) > len(best):
                best, kind = point, found
    return kind


def scratch_root() -> Path:
    """Where benchmark data goes: the temporary directory, unless that is memory, where fsync is nothing."""
    temporary = Path(tempfile.gettempdir())
    if _filesystem(temporary) in ("tmpfs", "ramfs"):
        temporary = REPOSITORY / "build"
        temporary.mkdir(exist_ok=True)
    return temporary


def cache_directory() -> Path:
    """Prebuilt material that several runs share; safe to delete."""
    directory = scratch_root() / f"sluice-bench-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def store_pragmas() -> dict[str, object]:
    """What the store's writer really runs with, asked of a connection that it opened."""
    opened: list[sqlite3.Connection] = []

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(sqlite3.connect(*arguments, **options))
        return opened[-1]

    with tempfile.TemporaryDirectory(dir=scratch_root()) as directory:
        store = SqliteStore.open(
            Path(directory),
            now_ms=int(time.time() * 1000),
            options=StoreOptions(ballast_octets=0),
            connect=connect,
        )
        try:
            return {name: opened[0].execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
        finally:
            store.close()


def machine() -> dict[str, Any]:
    """Cores, processor, kernel, versions, store settings, commit."""
    return {
        "cores": os.cpu_count(),
        "cpu": _first("/proc/cpuinfo", "model name"),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "filesystem": _filesystem(scratch_root()),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "pragmas": store_pragmas(),
        "trio": version("trio"),
        "msgspec": version("msgspec"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
        "load_average": round(os.getloadavg()[0], 2),
    }
