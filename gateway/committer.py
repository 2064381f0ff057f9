"""Group commit: everybody's changes of the moment become one durable round.

While one round is on its way to the disk, the next collects, so rounds grow with load and the cost of an
fsync is shared by all binds. Callers hand in a `Changes` and two callbacks that run in the trio thread, in
order of submission, between awaits: `on_durable` once the round is on disk with synchronous=FULL (P1), or
`on_refused` when the disk is full and the new messages in it were not stored (P9). An I/O error is not
answered at all: it propagates and ends the daemon (P10).

A round costs half a millisecond of CPU whatever is in it, so it should not be made of scraps. Changes for which
nobody waits with a request (answers and receipts of carriers, acknowledgements of customers) are `patient`: they
go with the next round that somebody waits for, or after `PATIENCE_S`.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec
import trio

from store.model import Changes
from store.port import Applied, StoreFull

ROUND_PARTS_MAX = 2_000  # a round of this size commits in 10-20 ms; larger ones only add latency
FULL_RETRY_S = 1.0
PATIENCE_S = 0.003


class Apply(Protocol):
    async def __call__(self, changes: Changes) -> Applied: ...


class Ticket(msgspec.Struct, gc=False):
    """One caller's changes on their way to the disk. `settled` is set once a callback has run."""

    changes: Changes
    on_durable: Callable[[Applied], None]
    on_refused: Callable[[], None]
    settled: trio.Event


class CommitterStatistics(msgspec.Struct, frozen=True):
    rounds: int
    parts: int
    waiting_changes: int
    refused_rounds: int
    last_commit_s: float


class Committer:
    def __init__(self, apply: Apply) -> None:
        self._apply = apply
        self._waiting: deque[Ticket] = deque()
        self._work = trio.Event()
        self._pressing = trio.Event()  # somebody waits for what is in the queue
        self._closing = False
        self._rounds = 0
        self._parts = 0
        self._refused = 0
        # The round on its way: the store may show it to readers before its callbacks have run here.
        self.committing = Changes()
        self.commit_s: deque[float] = deque(maxlen=512)
        self.on_applied: Callable[[Changes, Applied], None] = lambda changes, applied: None

    def submit(
        self,
        changes: Changes,
        on_durable: Callable[[Applied], None],
        on_refused: Callable[[], None] = lambda: None,
        *,
        patient: bool = False,
    ) -> Ticket:
        """Queue changes for the next round. Never blocks; order of submission is order of callbacks.

        `patient` changes may wait up to `PATIENCE_S` for company.
        """
        ticket = Ticket(changes, on_durable, on_refused, trio.Event())
        self._waiting.append(ticket)
        self._work.set()
        if not patient:
            self._pressing.set()
        return ticket

    async def commit(self, changes: Changes) -> Applied | None:
        """Submit and wait until durable; None when refused because the disk is full."""
        result: list[Applied] = []
        ticket = self.submit(changes, result.append)
        await ticket.settled.wait()
        return result[0] if result else None

    def close(self) -> None:
        """Let `run` end once nothing waits."""
        self._closing = True
        self._work.set()
        self._pressing.set()

    async def run(self) -> None:
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._waiting:
                if not self._pressing.is_set():
                    with trio.move_on_after(PATIENCE_S):
                        await self._pressing.wait()
                await self._round(self._take())
            if self._closing:
                return

    def _take(self) -> list[Ticket]:
        tickets = [self._waiting.popleft()]
        parts = len(tickets[0].changes.parts)
        while self._waiting and parts + len(self._waiting[0].changes.parts) <= ROUND_PARTS_MAX:
            tickets.append(self._waiting.popleft())
            parts += len(tickets[-1].changes.parts)
        if not self._waiting and not self._closing:
            self._pressing = trio.Event()
        return tickets

    async def _round(self, tickets: list[Ticket]) -> None:
        merged = self.committing = merge([t.changes for t in tickets])
        try:
            applied = await self._apply(merged)
        except StoreFull as full:
            await self._round_when_full(tickets, merged, full.rest)
            return
        self._settle(tickets, merged, applied)

    async def _round_when_full(self, tickets: list[Ticket], merged: Changes, rest: Changes) -> None:
        """Refuse the new messages, keep everything that reports on old ones until there is room (P9).

        A message of which a part was stored (a round is stored day by day) is completed, not refused: the
        stored part would be sent all the same.
        """
        self._refused += 1
        unstored = {part.id for part in rest.parts}
        kept: list[Ticket] = []
        refused: list[Ticket] = []
        for ticket in tickets:
            parts = ticket.changes.parts
            (refused if parts and unstored.issuperset(part.id for part in parts) else kept).append(ticket)
        self._refuse(refused)
        merged, rest = without(merged, refused), without(rest, refused)
        while kept:
            try:
                applied = await self._apply(rest)
            except StoreFull as full:
                rest = full.rest
                self._refuse([ticket for ticket in self._waiting if ticket.changes.parts])
                self._waiting = deque(ticket for ticket in self._waiting if not ticket.changes.parts)
                await trio.sleep(FULL_RETRY_S)
            else:
                self._settle(kept, merged, applied)
                return

    @staticmethod
    def _refuse(tickets: list[Ticket]) -> None:
        for ticket in tickets:
            ticket.on_refused()
            ticket.settled.set()

    def _settle(self, tickets: list[Ticket], merged: Changes, applied: Applied) -> None:
        self._rounds += 1
        self._parts += len(merged.parts)
        self.commit_s.append(applied.commit_s)
        self.committing = Changes()
        self.on_applied(merged, applied)
        for ticket in tickets:
            ticket.on_durable(applied)
            ticket.settled.set()

    def statistics(self) -> CommitterStatistics:
        return CommitterStatistics(
            self._rounds,
            self._parts,
            len(self._waiting),
            self._refused,
            self.commit_s[-1] if self.commit_s else 0.0,
        )


_FIELDS = Changes.__struct_fields__


def merge(many: list[Changes]) -> Changes:
    """One `Changes` holding all of `many`, in order; a single one is handed through."""
    if len(many) == 1:
        return many[0]
    merged = Changes()
    for changes in many:
        for name in _FIELDS:
            rows = getattr(changes, name)
            if rows:
                getattr(merged, name).extend(rows)
    return merged


def without(changes: Changes, refused: list[Ticket]) -> Changes:
    """`changes` less the messages of these tickets and what they cost; the tickets' own stay whole."""
    parts = {part.id for ticket in refused for part in ticket.changes.parts}
    usage = {id(row) for ticket in refused for row in ticket.changes.usage}
    return msgspec.structs.replace(
        changes,
        parts=[part for part in changes.parts if part.id not in parts],
        usage=[row for row in changes.usage if id(row) not in usage],
    )
