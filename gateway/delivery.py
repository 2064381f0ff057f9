"""An account's ordered log of receipts and inbound messages, on its way to the customer.

Events enter once they are durable, leave when a receiver bind answers ROK (or refuses for good), and go back
on anything else: retried with back-off, at least once, for `keep_s` (P4). The log is bounded in memory; what
does not fit stays in the store and is fetched behind the last event that was loaded. SMPP binds, and every
other way to hear back, read this one log. Synchronous: links call it between awaits.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from operator import attrgetter

import msgspec

from gateway.smpp.constants import MessageState
from store.ids import SECOND_BITS
from store.model import NO_ANSWER, Delivered, EventFor, Part, State

EVENTS_IN_MEMORY_MAX = 20_000  # per account: a second of the floor rate, 10 MB with their parts
RETRY_S = (1.0, 900.0)  # first and longest pause between two tries (P4); `[receipts]` sets others
KEEP_S = 72 * 3600.0

RECEIPT = 1
INBOUND = 2


class Event(msgspec.Struct, gc=False):
    """One entry of the log, with what is needed to build its deliver_sm for any peer.

    A receipt speaks of `part` (state, error, when done); an inbound message carries the `body` as it came.
    """

    id: int
    kind: int
    account: int
    part: Part | None
    state: int  # SMPP message_state
    error: int
    done_at: int
    body: bytes  # INBOUND: deliver_sm body, unchanged; RECEIPT: b""
    readers: int = EventFor.BINDS  # EventFor bits, as stored
    tries: int = 0

    @property
    def obsolete(self) -> bool:
        """Whether it tells of a state on the way while its part has ended: the end stands in the log, and
        nothing else may come after it (P4)."""
        part = self.part
        if part is None or part.state < State.DELIVERED or self.state not in _ON_THE_WAY:
            return False
        return not (part.state == State.UNKNOWN and self.state == MessageState.UNKNOWN)


_ON_THE_WAY = frozenset(
    {MessageState.SCHEDULED, MessageState.ENROUTE, MessageState.ACCEPTED, MessageState.UNKNOWN}
)

# What a customer's answer to deliver_sm means (SMPP 3.4 section 5.1.3; retry list of field practice).
RETRY_STATUSES = frozenset({0x08, 0x14, 0x58, 0x64})


_event_id = attrgetter("id")


class Outbox:
    """The log of one account as far as it is in memory."""

    def __init__(
        self,
        account: int,
        *,
        events_max: int = EVENTS_IN_MEMORY_MAX,
        retry_s: tuple[float, float] = RETRY_S,
    ) -> None:
        self.account = account
        self.retry_s = retry_s
        self.events_max = events_max
        self.ready: deque[Event] = deque()
        self._later: list[tuple[float, int, Event]] = []  # retry heap: (due, event id, event)
        self.obsolete: list[
            Event
        ] = []  # overtaken while they waited for another try: off the log with the next
        self.in_flight = 0
        self.spilled = False  # the store holds events behind `high_id` that are not here
        self.high_id = 0
        self.refilling = False
        self.missed = False  # something was left to the store since the last reading began
        self.offered_id = 0  # the newest event that was offered, or that was there before the start
        self._ahead_of_offer: set[int] = set()  # read from the store before they were offered

    def offer(self, event: Event) -> None:
        """A new durable event, in log order."""
        if event.id > self.offered_id:
            self.offered_id = event.id
        if event.id in self._ahead_of_offer:
            self._ahead_of_offer.discard(event.id)
            return
        if self.spilled or len(self.ready) + self.in_flight + len(self._later) >= self.events_max:
            self.spilled = self.missed = True
            return
        self.ready.append(event)
        self.high_id = max(self.high_id, event.id)

    def take(self, count: int) -> list[Event]:
        """Up to `count` events to send now; they are in flight until `done` or `again`."""
        ready = self.ready
        count = min(count, len(ready))
        self.in_flight += count
        return [ready.popleft() for _ in range(count)]

    def done(self, count: int) -> None:
        """So many events in flight left the log."""
        self.in_flight -= count

    def again(self, events: Iterable[Event], now: float, *, at_once: bool = False) -> None:
        """Events in flight that must be tried again: at once (bind lost) or after a back-off."""
        back: list[Event] = []
        for event in events:
            self.in_flight -= 1
            event.tries += 1
            if event.obsolete:
                self.obsolete.append(event)
            elif at_once:
                back.append(event)
            else:
                first, longest = self.retry_s
                delay = min(longest, first * 2 ** min(event.tries - 1, 10))
                heapq.heappush(self._later, (now + delay, event.id, event))
        if back:
            self._ahead(back)

    def _ahead(self, events: list[Event]) -> None:
        """Put events back where they stood in the log: before all that is newer."""
        ready = self.ready
        last_id = max(event.id for event in events)
        while ready and ready[0].id < last_id:
            events.append(ready.popleft())
        events.sort(key=_event_id, reverse=True)
        ready.extendleft(events)

    def tick(self, now: float) -> None:
        """Bring back what is due for another try, ahead of newer events."""
        due: list[Event] = []
        while self._later and self._later[0][0] <= now:
            event = heapq.heappop(self._later)[2]
            (self.obsolete if event.obsolete else due).append(event)
        if due:
            self._ahead(due)

    def expire(self, oldest_second: int) -> list[Event]:
        """Take out events born before this unix second: they were kept long enough (P4)."""
        born_after = oldest_second << SECOND_BITS
        old = [event for event in self.ready if event.id < born_after]
        if old:
            self.ready = deque(event for event in self.ready if event.id >= born_after)
        late = [entry for entry in self._later if entry[1] < born_after]
        if late:
            self._later = [entry for entry in self._later if entry[1] >= born_after]
            heapq.heapify(self._later)
        return old + [entry[2] for entry in late]

    def wants_refill(self) -> bool:
        held = len(self.ready) + self.in_flight + len(self._later)
        return self.spilled and not self.refilling and held <= self.events_max // 2

    def refill_begins(self) -> int:
        """The event behind which to read; until `refilled` nothing else asks."""
        self.refilling = True
        self.missed = False
        return self.high_id

    def refilled(self, events: list[Event], *, more: bool) -> None:
        """Events fetched from the store behind `high_id`, in log order.

        What an end has overtaken is told no more: whoever was told the end before a crash must not hear of the
        way there.
        """
        self.refilling = False
        for event in events:
            (self.obsolete if event.obsolete else self.ready).append(event)
        if events:
            self.high_id = events[-1].id
            # A round is on disk a moment before its events are offered: they must not come a second time.
            self._ahead_of_offer.update(event.id for event in events if event.id > self.offered_id)
        # What was offered while the reading was under way may have come too late for it.
        self.spilled = more or self.missed

    def waiting(self) -> int:
        return len(self.ready) + len(self._later)


class Tries:
    """Answers of one pass over one bind, folded to one `Delivered` row a status."""

    __slots__ = ("_account", "_at", "_bind", "_rows")

    def __init__(self, account: int, bind: str, at: int) -> None:
        self._account = account
        self._bind = bind
        self._at = at
        self._rows: dict[tuple[int, bool], list[int]] = {}

    def add(self, event: Event, status: int, *, done: bool) -> None:
        key = (status, done)
        ids = self._rows.get(key)
        if ids is None:
            self._rows[key] = [event.id]
        else:
            ids.append(event.id)

    def rows(self) -> list[Delivered]:
        return [
            Delivered(self._account, self._bind, self._at, status, ids, done)
            for (status, done), ids in self._rows.items()
        ]


def settle(outbox: Outbox, answers: Iterable[tuple[Event, int]], tries: Tries, now: float) -> None:
    """Sort a customer's answers (event, command_status or NO_ANSWER) into done and again.

    ROK and every permanent refusal take the event off the log; a temporary refusal or silence brings it back
    later, until it is 72 hours old (`Outbox.expire`).
    """
    again: list[Event] = []
    finished = 0
    for event in outbox.obsolete:
        tries.add(event, NO_ANSWER, done=True)
    outbox.obsolete = []
    for event, status in answers:
        if (status in RETRY_STATUSES or status == NO_ANSWER) and not event.obsolete:
            tries.add(event, status, done=False)
            again.append(event)
        else:
            tries.add(event, status, done=True)
            finished += 1
    outbox.done(finished)
    if again:
        outbox.again(again, now)
