"""Finds batches of which every message has ended, and puts that on their accounts' logs: `batch.finished`.

Looks at what is open every two seconds, at each batch from the first of its passes that was not over the last
time, so that a batch is counted once, however long it takes.
"""

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import trio

from gateway.api import ids
from gateway.api.batch_queries import count_ranges
from gateway.api.ledger import Ledger
from gateway.events.shapes import BATCH_FINISHED, BatchData
from gateway.events.tell import Teller
from store.announcements import Announcement, Told
from store.api_db import INTERRUPTED, RECEIVING, BatchRow
from store.ids import SECOND_BITS

if TYPE_CHECKING:
    from gateway.core import Core

PERIOD_S = 2.0
BATCHES_A_LOOK = 200
RANGES_A_READING = 20  # 30 ms in a worker thread
# A row is written before its messages are. If they did not come within this time, a crash came in between.
STRAY_S = 3_600


class _Progress(msgspec.Struct):
    """How far a batch is over: the last part id, and its messages up to there by status."""

    through: int = 0
    states: Counter[str] = msgspec.field(default_factory=Counter)


class FinishedBatches:
    def __init__(self, core: "Core", ledger: Ledger, teller: Teller) -> None:
        self._core = core
        self._ledger = ledger
        self._teller = teller
        self._known = 0  # all batches up to this id are told
        self._after = 0  # where the next look goes on
        self._progress: dict[int, _Progress] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await trio.sleep(PERIOD_S)
            await self.look()

    async def look(self) -> None:
        """One look at the next open batches."""
        after = max(self._after, self._known)
        rows = await self._ledger.read(lambda store: store.untold_batches(after, BATCHES_A_LOOK))
        stray_before = (self._core.clock.wall_ms() // 1000 - STRAY_S) << SECOND_BITS
        if after == self._known:
            self._known = max(self._known, min(rows[0].id - 1 if rows else stray_before, stray_before))
        self._after = rows[-1].id if len(rows) == BATCHES_A_LOOK else 0
        told = Told()
        ends: list[Announcement] = []
        for row in rows:
            if row.stage == RECEIVING:
                continue
            states = await self._end_of(row, stray=row.id < stray_before)
            if states is None:
                continue
            told.batches.append(row.id)
            if states.total() == row.accepted and not _never_was(row):
                ends.append(Announcement(row.account, BATCH_FINISHED, _data(row, states)))
        if told.batches and await self._teller.tell(ends, told):
            for batch in told.batches:
                self._progress.pop(batch, None)

    async def _end_of(self, row: BatchRow, *, stray: bool) -> Counter[str] | None:
        """A batch's messages by status, once none is open; fewer than it has for a stray one that never came."""
        progress = self._progress.setdefault(row.id, _Progress())
        while True:
            through = progress.through
            ranges = await self._ledger.read(
                lambda store, through=through: store.ranges(row.id, through, RANGES_A_READING)  # type: ignore[misc]
            )
            if not ranges:
                break
            found = await self._core.ports.store.read(lambda s, some=ranges: count_ranges(s, some))  # type: ignore[misc]
            for (_, last), (states, final) in zip(ranges, found, strict=True):
                if not final:
                    return None
                progress.through = last
                progress.states.update(states)
        if progress.states.total() != row.accepted:
            del self._progress[row.id]  # some are not stored yet, or never were
            return progress.states if stray else None
        return progress.states


def _never_was(row: BatchRow) -> bool:
    """A crash came before any of it was stored: nobody was given its id, and a repeated request made another."""
    return row.stage == INTERRUPTED and not row.accepted and not row.rejected


def _data(row: BatchRow, states: Counter[str]) -> bytes:
    return msgspec.json.encode(
        BatchData(ids.show(ids.BATCH, row.id), row.total, row.accepted, row.rejected, dict(states), row.ref)
    )
