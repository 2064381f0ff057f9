"""Restart with one million messages waiting: seconds until the store can accept, and what it holds in memory.

Three ways to have a million: indexed (they wait for longer than half a minute, as a backlog of that size
does), not indexed yet (accepted at once, and the process died before any upkeep), and sent without receipts.
Each start runs in a process of its own, so that memory is that of a start.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.commit import ACCOUNTS, BODY, START_MS
from bench.machine import REPOSITORY, scratch_root
from store.ids import SECOND_BITS
from store.model import NO_ERROR, Attempt, Changes, Part, State
from store.port import StoreOptions
from store.traffic import SqliteStore

PARTS = 1_000_000
ROUND = 5_000
RATE = 20_000
OPTIONS = StoreOptions(ballast_octets=0, quick_check_octets_max=4 << 30)


def fill(directory: Path, *, indexed: bool, sent: bool, parts: int = PARTS) -> None:
    """A store with so many open parts, left as a crash leaves it."""
    store = SqliteStore.open(directory, now_ms=START_MS, options=OPTIONS)
    store.recover()
    for start in range(0, parts, ROUND):
        second = START_MS // 1000 + start // RATE
        first = (second << SECOND_BITS) | start % RATE
        now_ms = second * 1000
        rows = [
            Part(
                id=first + n, account=7 + n % ACCOUNTS, carrier=1, lane=1, state=State.QUEUED, part_no=1,
                parts=1, dest=8_613_800_000_000 + start + n, source=b"10690001", sms_type=2, task=0, route=1,
                registered_delivery=1, data_coding=8, accepted_at=now_ms, deliver_at=now_ms,
                expires_at=now_ms + 86_400_000, done_at=now_ms, error=NO_ERROR, flags=0, body=BODY,
                detail=None,
            )
            for n in range(ROUND)
        ]  # fmt: skip
        changes = Changes(parts=rows)
        if sent:
            changes.attempts = [
                Attempt(p.id, 1, 1, 0, p.id & 0xFFFF, now_ms, now_ms, 0, f"{p.id:x}", None) for p in rows
            ]
        store.apply(changes)
        if indexed:
            while store.maintain(now_ms + 60_000).more:
                pass
        else:
            store._files.open[store._files.newest].checkpoint()
    store._files.close_all(clean=False)


def measure(directory: Path) -> None:
    """Print, for a start of this process on these files: seconds to open, to recover, to read, MiB."""
    started = time.perf_counter()
    store = SqliteStore.open(directory, now_ms=START_MS + 120_000, options=OPTIONS)
    opened_s = time.perf_counter() - started
    recovery = store.recover()
    accepting_s = time.perf_counter() - started
    started = time.perf_counter()
    if recovery.queued:
        key = next(iter(recovery.queued))
        found = len(store.queued(key.carrier, key.lane, key.account, 0, 1000))
    else:
        found = len(store.awaiting_receipt(1 << 62, 1000))
    read_s = time.perf_counter() - started
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    count = sum(recovery.queued.values()) + recovery.awaiting_receipt
    print(opened_s, accepting_s, read_s, memory_mib, count, found)
    store.close()


def run() -> dict[str, float]:
    """`{"indexed_accepting_s": seconds, "indexed_memory_mib": ..., ...}`; `checked`: after an unclean end."""
    figures: dict[str, float] = {}
    for name, indexed, sent in (
        ("indexed", True, False),
        ("unindexed", False, False),
        ("sent", False, True),
    ):
        with tempfile.TemporaryDirectory(prefix="sluice-restart-", dir=scratch_root()) as directory:
            fill(Path(directory), indexed=indexed, sent=sent)
            for end in ("unclean", "clean"):
                done = subprocess.run(
                    [sys.executable, "-m", "bench.restart", directory],
                    cwd=REPOSITORY, check=True, capture_output=True, text=True,
                )  # fmt: skip
                opened_s, accepting_s, read_s, memory_mib, count, found = map(float, done.stdout.split())
                if (count, found) != (PARTS, 1000):
                    raise AssertionError(
                        f"{name}: {count:.0f} of {PARTS} messages were there, {found:.0f} read"
                    )
                prefix = name if end == "unclean" else f"{name}_again"
                figures |= {
                    f"{prefix}_open_s": opened_s,
                    f"{prefix}_accepting_s": accepting_s,
                    f"{prefix}_first_1000_ms": read_s * 1000,
                    f"{prefix}_memory_mib": memory_mib,
                }
    return figures


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
