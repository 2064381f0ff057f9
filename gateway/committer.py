"""Group commit: everybody's changes of the moment become one durable round.

While one round is on its way to the disk, the next collects, so rounds grow with load and the cost of an
fsync is shared by all binds. The store takes a round the moment it can write it, be it in a thread of its own.
Callers hand in a `Changes` and two callbacks that run in the trio thread, in order of submission, between awaits:
`on_durable` once the round is on disk with synchronous=FULL (P1), or `on_refused` when the disk is full and the
new messages in it were not stored (P9). An I/O error is not answered at all: it propagates and ends the daemon
(P10).

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


class Store(Protocol):
    """The part of `gateway/ports.py`'s StorePort that writes rounds."""

    async def apply(self, changes: Changes) -> Applied: ...

    async def apply_all(
        self, take: Callable[[], Changes | None], applied: Callable[[Applied], None]
    ) -> None: ...


class Ticket(msgspec.Struct, gc=False):
    """One caller's changes on their way to the disk. `settled` is set once a callback has run."""

    changes: Changes
    on_durable: Callable[[Applied], None]
    on_refused: Callable[[], None]
    settled: trio.Event
    patient: bool


class Round(msgspec.Struct, gc=False):
    """Tickets that are committed together, and their changes in one."""

    tickets: list[Ticket]
    changes: Changes


class CommitterStatistics(msgspec.Struct, frozen=True):
    rounds: int
    parts: int
    waiting_changes: int
    refused_rounds: int
    last_commit_s: float


class Committer:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[Ticket] = deque()
        self._work = trio.Event()
        self._pressing = trio.Event()  # somebody waits for what is in the queue
        # Tickets that press, as they came and as they were taken: two counts, for each is changed by one thread only.
        self._pressed = 0
        self._pressed_taken = 0
        self._enough_patience = False
        self._closing = False
        self._rounds = 0
        self._parts = 0
        self._refused = 0
        self._underway: deque[Round] = deque()
        self.commit_s: deque[float] = deque(maxlen=512)
        self.on_applied: Callable[[Changes, Applied], None] = lambda changes, applied: None

    @property
    def committing(self) -> list[Changes]:
        """Rounds on their way: the store may show them to readers before their callbacks have run here."""
        return [a_round.changes for a_round in tuple(self._underway)]

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
        ticket = Ticket(changes, on_durable, on_refused, trio.Event(), patient)
        if not patient:
            self._pressed += 1
            self._pressing.set()
        self._waiting.append(ticket)
        self._work.set()
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
                if not self._is_pressed:
                    self._pressing = trio.Event()
                    with trio.move_on_after(PATIENCE_S):
                        await self._pressing.wait()
                self._enough_patience = True
                try:
                    await self._store.apply_all(self._take, self._settle)
                except StoreFull as full:
                    await self._round_when_full(full.rest)
            if self._closing:
                return

    @property
    def _is_pressed(self) -> bool:
        return self._closing or self._pressed != self._pressed_taken

    def _take(self) -> Changes | None:
        """The next round, if it should not wait. The store's thread may call this while others submit."""
        waiting = self._waiting
        if not waiting or not (self._is_pressed or self._enough_patience):
            return None
        self._enough_patience = False
        tickets: list[Ticket] = []
        parts = 0
        while waiting and (not tickets or parts + len(waiting[0].changes.parts) <= ROUND_PARTS_MAX):
            ticket = waiting.popleft()
            tickets.append(ticket)
            parts += len(ticket.changes.parts)
            self._pressed_taken += not ticket.patient
        a_round = Round(tickets, merge([t.changes for t in tickets]))
        self._underway.append(a_round)
        return a_round.changes

    async def _round_when_full(self, rest: Changes) -> None:
        """Of the oldest round underway `rest` found no room: refuse the new messages, keep everything that reports
        on old ones until there is room (P9).

        A message of which a part was stored (a round is stored day by day) is completed, not refused: the
        stored part would be sent all the same.
        """
        self._refused += 1
        a_round = self._underway[0]
        unstored = {part.id for part in rest.parts}
        kept: list[Ticket] = []
        refused: list[Ticket] = []
        for ticket in a_round.tickets:
            parts = ticket.changes.parts
            (refused if parts and unstored.issuperset(part.id for part in parts) else kept).append(ticket)
        self._refuse(refused)
        a_round.tickets, a_round.changes = kept, without(a_round.changes, refused)
        rest = without(rest, refused)
        if not kept:
            self._underway.popleft()
        while kept:
            try:
                applied = await self._store.apply(rest)
            except StoreFull as full:
                rest = full.rest
                waiting, self._waiting = self._waiting, deque()
                for ticket in waiting:
                    if ticket.changes.parts:
                        self._pressed_taken += not ticket.patient
                        self._refuse([ticket])
                    else:
                        self._waiting.append(ticket)
                await trio.sleep(FULL_RETRY_S)
            else:
                self._settle(applied)
                return

    @staticmethod
    def _refuse(tickets: list[Ticket]) -> None:
        for ticket in tickets:
            ticket.on_refused()
            ticket.settled.set()

    def _settle(self, applied: Applied) -> None:
        """The oldest round underway is durable."""
        a_round = self._underway.popleft()
        self._rounds += 1
        self._parts += len(a_round.changes.parts)
        self.commit_s.append(applied.commit_s)
        self.on_applied(a_round.changes, applied)
        for ticket in a_round.tickets:
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
