"""Batches that are paused: their parts stay where they are on disk, and out of every carrier's queue.

A pause is one row in `api.db` and one range of ids here, whatever the size of the batch: the queues let go what
they hold of it and take nothing of it in. What they would have held is remembered, exactly, so that it can be
cancelled, can expire, and goes on when the pause ends. After a restart the queues come across it once more.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from pyroaring import BitMap64

Ranges = Sequence[tuple[int, int]]  # first and last part id, both included


class Withheld:
    """Ids of parts. A million that follow each other take a few kilobytes."""

    def __init__(self) -> None:
        self.batches: set[int] = set()  # paused now
        self.paused = BitMap64()  # all parts of theirs, whatever became of them
        self.waiting = BitMap64()  # parts in state QUEUED that a queue left out: on no wire, in no memory

    def pause(self, batch: int, ranges: Ranges) -> None:
        """From now on no queue takes in a part of these ranges."""
        self.batches.add(batch)
        self.extend(ranges)

    def extend(self, ranges: Ranges) -> None:
        """A paused batch has grown."""
        for first, last in ranges:
            self.paused.add_range(first, last + 1)

    def resume(self, batch: int, ranges: Ranges) -> None:
        """They may go on: what waits of them is `ready`."""
        self.batches.discard(batch)
        for first, last in ranges:
            self.paused.remove_range(first, last + 1)

    def left_out(self, ids: Iterable[int]) -> None:
        """A queue left these out because of a pause."""
        self.waiting.update(ids)

    def forget(self, ids: Iterable[int]) -> None:
        """They wait no more: sent, cancelled, expired."""
        if self.waiting:
            self.waiting.difference_update(BitMap64(ids))

    def ready(self, after: int, limit: int) -> list[int]:
        """Parts that were left out and may go on, the oldest behind `after` first."""
        if not self.waiting:
            return []
        free = self.waiting.difference(self.paused) if self.paused else self.waiting
        return list(islice(free.iter_equal_or_larger(after + 1), limit))
