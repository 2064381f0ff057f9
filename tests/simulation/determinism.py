"""What makes a run a pure function of its seed: trio's scheduler, Python's hashes, the collector.

trio shuffles the tasks that are runnable together. With its internal flag set (importing hypothesis sets it in
the same way) they are sorted by age first, so that the order is decided by `_r` alone; every seed explores another
interleaving. `test_determinism.py` is the canary for the two private names.
"""

import gc
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import trio._core._run as trio_run

HASH_SEED = "0"


@contextmanager
def seeded_scheduler(seed: int) -> Iterator[None]:
    """trio's order of tasks follows from `seed`; the collector, whose moments do not, rests."""
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate(), gc.isenabled()
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)
    gc.disable()
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before[0]  # type: ignore[misc]
        trio_run._r.setstate(before[1])
        if before[2]:
            gc.enable()
        gc.collect()


def fixed_hashes() -> None:
    """Begin this program again unless hashes of strings are the same in every run: sets are ordered by them."""
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        environment = os.environ | {"PYTHONHASHSEED": HASH_SEED}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


class Streams:
    """Named random streams: what one draws does not change what any other gives."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")
