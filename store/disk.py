"""The disk under the store: how much room there is, what kind of file system it is, the ballast."""

import os
from collections.abc import Callable
from pathlib import Path

from store.files import StoreError
from store.port import DiskState

FreeOctets = Callable[[Path], int]

# WAL needs shared memory and an honest fsync between processes of one machine (sqlite.org/wal.html).
REFUSED_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"}
)
VOLATILE_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
BALLAST = "ballast"


def free_octets(path: Path) -> int:
    """Octets that an ordinary process may still write there."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def disk_state(free: int, *, low: int, critical: int) -> DiskState:
    if free < critical:
        return "critical"
    return "low" if free < low else "ok"


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds a path, from the text of /proc/self/mountinfo; "" if unknown."""
    best = ""
    found = ""
    resolved = str(path.resolve())
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        mount = fields[4].replace("\\040", " ")
        inside = resolved == mount or resolved.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best = mount
            found = after.split(" ", 1)[0]
    return found


def check_file_system(path: Path) -> list[str]:
    """Notes for the operator about the file system. Raises StoreError on one that cannot hold a store."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return []
    kind = file_system_of(path, mounts)
    if kind in REFUSED_FILE_SYSTEMS:
        raise StoreError(
            f"The data directory {path} is on {kind}, a network file system: SQLite's write-ahead log would"
            " lose messages there. Use a local disk (ext4, XFS), with --data."
        )
    if kind in VOLATILE_FILE_SYSTEMS:
        return [f"{path} is on {kind}: everything is gone at the next boot"]
    return []


def keep_ballast(directory: Path, octets: int) -> bool:
    """Make the ballast file unless it is there; whether it is there now."""
    path = directory / BALLAST
    if path.exists():
        return True
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, octets)
    except OSError:
        path.unlink()
        return False
    finally:
        os.close(descriptor)
    return True


def drop_ballast(directory: Path) -> bool:
    """Give the ballast's room to the store; whether there was any."""
    path = directory / BALLAST
    if not path.exists():
        return False
    path.unlink()
    return True
