"""Group commit for `api.db`: everybody's rows of the moment become one durable round in a worker thread."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

import structlog
import trio

from store.api_db import ApiChanges, ApiFull, ApiStore

log = structlog.get_logger("ledger")

T = TypeVar("T")
READERS_MAX = 2


class Recorded:
    """Rows on their way to the disk. `await` `stored()`: False when the disk was full."""

    __slots__ = ("_settled", "_stored", "changes")

    def __init__(self, changes: ApiChanges) -> None:
        self.changes = changes
        self._settled = trio.Event()
        self._stored = False

    async def stored(self) -> bool:
        await self._settled.wait()
        return self._stored

    def settle(self, *, stored: bool) -> None:
        self._stored = stored
        self._settled.set()


class Ledger:
    def __init__(self, store: ApiStore) -> None:
        self.store = store
        self._waiting: deque[Recorded] = deque()
        self._work = trio.Event()
        self._writer = trio.CapacityLimiter(1)
        self._readers = trio.CapacityLimiter(READERS_MAX)
        self.rounds = 0

    def submit(self, changes: ApiChanges) -> Recorded:
        """Queue rows for the next round; never blocks."""
        recorded = Recorded(changes)
        self._waiting.append(recorded)
        self._work.set()
        return recorded

    async def read(self, call: Callable[[ApiStore], T]) -> T:
        """Run `call` on the store in a worker thread."""
        return await trio.to_thread.run_sync(call, self.store, limiter=self._readers)

    async def write(self, call: Callable[[ApiStore], T]) -> T:
        """Run `call` where rounds are written."""
        return await trio.to_thread.run_sync(call, self.store, limiter=self._writer)

    async def run(self) -> None:
        """Write rounds until cancelled. Raises StoreFailed when the disk does."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._waiting:
                some = list(self._waiting)
                self._waiting.clear()
                merged = ApiChanges()
                for recorded in some:
                    merged.add(recorded.changes)
                try:
                    await self.write(lambda store, merged=merged: store.apply(merged))  # type: ignore[misc]
                except ApiFull as full:
                    log.error("not stored", because=str(full))
                    stored = False
                else:
                    stored = True
                self.rounds += 1
                for recorded in some:
                    recorded.settle(stored=stored)
