"""What Python's memory allocator is told before the daemon serves: large blocks go back to the system."""

import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD = -3  # malloc.h
# Above the buffers of links, below what argon2 takes for one hash (19 MiB). glibc raises its own threshold to the
# largest block it has seen freed, and from then on each thread keeps such blocks in an arena of its own: after
# a storm of binds the daemon stayed 115 MiB larger than before (measured 2026-11).
LARGE_OCTETS = 4 << 20


def give_back_large_blocks() -> None:
    """Fix the size from which malloc maps a block of its own and unmaps it when freed; glibc's only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_OCTETS)
