"""CPU of the store's write path for a message's whole life: accepted, sent, receipted, ended, delivered.

Rounds of 50, 200 and 1,000 messages go through `SqliteStore.apply` with synchronous=FULL, as the committer
would merge them: each round brings new parts, the answers of the round before last, the receipts and ends of
one some rounds back, and what customers took of those. Ids advance as at 20,000 messages a second, so that
parts grow old as they would. Figures are of this thread's CPU, maintenance (checkpoints) included.
"""

import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from bench.machine import scratch_root
from store.ids import SECOND_BITS
from store.model import (
    NO_ERROR,
    Attempt,
    Changes,
    Delivered,
    Outcome,
    Part,
    Receipt,
    State,
    Usage,
)
from store.port import StoreOptions
from store.traffic import SqliteStore

BATCHES = (50, 200, 1000)
MESSAGES = {50: 40_000, 200: 50_000, 1000: 80_000}
ROWS_A_MESSAGE = 4  # part, attempt, receipt, outcome; deliveries are one row a batch
WARM_SHARE = 0.25  # rounds before the figures: caches fill, the log begins to be reused
RATE = 20_000  # messages a second of virtual time
ACCOUNTS = 4
ANSWER_LAG = 2
RECEIPT_LAG = 8
DELIVERY_LAG = 9
BODY = bytes(range(250))
RAW = bytes(range(180))
START_MS = 1_790_000_000_000
RECEIPTS_FROM = 1 << 19  # receipts take the upper half of a second's numbers


def parts_of(ids: range | list[int], now_ms: int) -> list[Part]:
    """New parts as the intake makes them: accounts come in runs, since a batch comes from one bind."""
    run = max(1, len(ids) // ACCOUNTS)
    return [
        Part(
            id=part_id,
            account=7 + at // run % ACCOUNTS,
            carrier=1,
            lane=1,
            state=State.QUEUED,
            part_no=1,
            parts=1,
            dest=8_613_800_000_000 + part_id * 7919 % 99_999_999,
            source=b"10690001",
            sms_type=2,
            task=0,
            route=1,
            registered_delivery=1,
            data_coding=8,
            accepted_at=now_ms,
            deliver_at=now_ms,
            expires_at=now_ms + 86_400_000,
            done_at=now_ms,
            error=NO_ERROR,
            flags=0,
            body=BODY,
            detail=None,
        )
        for at, part_id in enumerate(ids)
    ]


class Rounds:
    """Makes the rounds of a steady stream of messages."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.now_ms = START_MS
        self._number = 0
        self._past: list[list[Part]] = []
        self._receipts: list[list[Receipt]] = []

    def _ids(self) -> list[int]:
        at = self._number
        self._number += self.batch
        self.now_ms = START_MS + at * 1000 // RATE
        return [(START_MS // 1000 + n // RATE << SECOND_BITS) | n % RATE for n in range(at, at + self.batch)]

    def next(self) -> Changes:
        parts = parts_of(self._ids(), self.now_ms)
        self._past.append(parts)
        day = START_MS // 86_400_000
        changes = Changes(parts=parts, usage=[Usage(1, day, len(parts), 0)])
        now_ms = self.now_ms
        if len(self._past) > ANSWER_LAG:
            changes.attempts = [
                Attempt(
                    p.id, 1, 1, p.id & 3, p.id & 0xFFFF, now_ms, now_ms, 0, f"{p.id * 40503:x}"[-10:], None
                )
                for p in self._past[-1 - ANSWER_LAG]
            ]
            changes.usage.append(Usage(1, day, -self.batch, self.batch))
        if len(self._past) > RECEIPT_LAG:
            ended = self._past.pop(0)
            changes.outcomes = [Outcome(p.id, p.account, State.DELIVERED, now_ms, NO_ERROR) for p in ended]
            changes.receipts = [
                Receipt(p.id + RECEIPTS_FROM, p.id, p.account, 1, 0, now_ms, 2, NO_ERROR, 1, RAW)
                for p in ended
            ]
            self._receipts.append(changes.receipts)
        if len(self._receipts) > DELIVERY_LAG - RECEIPT_LAG:
            by_account: dict[int, list[int]] = {}
            for receipt in self._receipts.pop(0):
                by_account.setdefault(receipt.account, []).append(receipt.id)
            changes.delivered = [
                Delivered(account, "smpp:1", now_ms, 0, ids, True) for account, ids in by_account.items()
            ]
        return changes


def measure(batch: int, directory: Path, *, messages: int = 0) -> dict[str, float]:
    """Figures of one size of rounds, over so many messages (0: the usual number)."""
    store = SqliteStore.open(directory, now_ms=START_MS, options=StoreOptions(ballast_octets=0))
    try:
        store.recover()
        rounds = Rounds(batch)
        count = (messages or MESSAGES[batch]) // batch
        warm = int(count * WARM_SHARE)
        cpu: list[float] = []
        commit_ms: list[float] = []
        wal_octets = 0
        maintained_ms = START_MS
        wall = 0.0
        for number in range(count):
            changes = rounds.next()
            wall_started = time.perf_counter()
            started = time.thread_time()
            applied = store.apply(changes)
            if rounds.now_ms - maintained_ms >= 1000:
                maintained_ms = rounds.now_ms
                done = store.maintain(rounds.now_ms)
                if number >= warm:
                    wal_octets += done.checkpointed_octets
            if number >= warm:
                cpu.append(time.thread_time() - started)
                wall += time.perf_counter() - wall_started
                commit_ms.append(applied.commit_s * 1000)
        measured = (count - warm) * batch
        cuts = quantiles(commit_ms, n=100)
        return {
            f"cpu_us_at_{batch}": sum(cpu) * 1e6 / measured,
            f"cpu_quiet_us_at_{batch}": median(cpu) * 1e6 / batch,
            f"messages_per_s_at_{batch}": measured / wall,
            f"rows_per_s_at_{batch}": ROWS_A_MESSAGE * measured / wall,
            f"commit_p50_ms_at_{batch}": cuts[49],
            f"commit_p99_ms_at_{batch}": cuts[98],
            f"wal_octets_a_message_at_{batch}": wal_octets / measured,
        }
    finally:
        store.close()


def run() -> dict[str, float]:
    """`{"cpu_us_at_200": us of CPU a message, "commit_p99_ms_at_200": ..., ...}`.

    `cpu_quiet_us` is the median round without maintenance: less disturbed by what else the machine does.
    """
    figures: dict[str, float] = {}
    for batch in BATCHES:
        with tempfile.TemporaryDirectory(prefix="sluice-commit-", dir=scratch_root()) as directory:
            figures |= measure(batch, Path(directory))
    return figures
