"""What `sluice check` looks at outside `config.db`: directory, modes, disk, fsync, SQLite, certificates."""

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from gateway.settings import Config, TlsSettings
from store.disk import check_file_system, free_octets
from store.files import StoreError, readable_by_others

FSYNC_PROBES = 20
# No disk that keeps its promise syncs faster: NVMe with power-loss protection takes 50 us at best. A mean
# below this says that something answers "done" from volatile memory.
FSYNC_HONEST_US_MIN = 20.0
SQLITE_FIXED = (3, 51, 3)  # the WAL-reset race; backported to these
SQLITE_BACKPORTS = ((3, 44, 6), (3, 50, 7))
SQLITE_WITHDRAWN = (3, 52, 0)

Level = Literal["ok", "note", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """One sentence or two, and how bad it is. Errors make the check fail."""

    level: Level
    text: str


def check_machine(config: Config) -> Iterator[Finding]:
    """Everything about the data directory, its disk and the libraries."""
    data = Path(config.store.data)
    yield from _directory(data)
    yield from _disk(config, next(path for path in (data, *data.absolute().parents) if path.is_dir()))
    yield sqlite_finding(sqlite3.sqlite_version_info, accept_old=config.store.accept_old_sqlite)
    yield from _tls("smpp.tls", config.smpp.tls)
    yield from _tls("http.tls", config.http.tls)


def sqlite_finding(version: tuple[int, ...], *, accept_old: bool) -> Finding:
    """What the SQLite that Python is linked to means for the store."""
    text = ".".join(map(str, version))
    if version[:3] == SQLITE_WITHDRAWN:
        return Finding("error", f"SQLite {text} was withdrawn by its authors. Install another version.")
    if version >= SQLITE_FIXED or any(version[:2] == b[:2] and version >= b for b in SQLITE_BACKPORTS):
        return Finding("ok", f"SQLite {text}.")
    if not accept_old:
        return Finding(
            "error",
            f"SQLite {text} has the WAL-reset race (fixed in 3.51.3) and store.accept_old_sqlite is false."
            " Install a newer SQLite, or set it to true.",
        )
    return Finding(
        "note",
        f"SQLite {text} is older than 3.51.3: its WAL reset could lose pages when one connection checkpoints"
        " while another commits. Safe here: one connection does every write and every checkpoint.",
    )


def fsync_mean_us(folder: Path) -> float:
    """The mean time of a small write with fdatasync, in microseconds."""
    path = folder / f".fsync-probe-{os.getpid()}"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        start = time.perf_counter()
        for _ in range(FSYNC_PROBES):
            os.write(descriptor, b"\0" * 4096)
            os.fdatasync(descriptor)
        return (time.perf_counter() - start) / FSYNC_PROBES * 1e6
    finally:
        os.close(descriptor)
        path.unlink()


def fsync_finding(mean_us: float) -> Finding:
    """Whether the disk seems to keep what it says it has kept."""
    text = f"fsync takes {mean_us:,.0f} µs on average."
    if mean_us < FSYNC_HONEST_US_MIN:
        return Finding(
            "warning",
            f"{text} That is faster than disks are: it may answer before the data is safe, so that a power"
            " failure loses accepted messages. Check the disk's write cache, or the virtual disk's mode.",
        )
    return Finding("ok", text)


def _directory(data: Path) -> Iterator[Finding]:
    if not data.exists():
        yield Finding(
            "note", f"The data directory {data} does not exist yet; it will be made with mode 0700."
        )
        return
    if not data.is_dir():
        yield Finding("error", f"{data} is no directory. Name another with --data.")
        return
    if not os.access(data, os.W_OK | os.X_OK):
        yield Finding(
            "error", f"{data} cannot be written by this user. Run as its owner, or change its owner."
        )
        return
    loose = readable_by_others(data)
    for path, mode in loose:
        right = "700" if path.is_dir() else "600"
        yield Finding("warning", f"{path} may be used by others (mode {mode:o}). Run: chmod {right} {path}")
    if not loose:
        yield Finding("ok", f"The data directory {data} is private.")


def _disk(config: Config, folder: Path) -> Iterator[Finding]:
    try:
        notes = check_file_system(folder)
    except StoreError as error:
        yield Finding("error", str(error))
        return
    yield from (Finding("warning", f"{note}.") for note in notes)
    free_mib = free_octets(folder) >> 20
    text = f"{free_mib:,} MiB are free on the disk of {folder}."
    if free_mib < config.store.disk_critical_mib:
        yield Finding("error", f"{text} Below {config.store.disk_critical_mib} nothing is sent. Make room.")
    elif free_mib < config.store.disk_low_mib:
        yield Finding(
            "warning", f"{text} Below {config.store.disk_low_mib} new messages are refused. Make room."
        )
    else:
        yield Finding("ok", text)
    if os.access(folder, os.W_OK):
        yield fsync_finding(fsync_mean_us(folder))


def _tls(section: str, tls: TlsSettings) -> Iterator[Finding]:
    if not tls.listen:
        return
    for key, name in (("certificate", tls.certificate), ("key", tls.key), ("client_ca", tls.client_ca)):
        if name and not os.access(name, os.R_OK):
            yield Finding("error", f"{section}.{key}: {name} cannot be read. Correct the name or its mode.")
    if os.path.exists(tls.key) and os.stat(tls.key).st_mode & 0o077:
        yield Finding("warning", f"{section}.key: {tls.key} may be read by others. Run: chmod 600 {tls.key}")
