"""An account's durable log of events, for readers with a cursor: pull, SSE, WebSocket, webhooks.

    wake = log.changed(account_id)                      before the reading, or a change between is missed
    events = await log.read(account_id, after, 100)     behind the cursor, oldest first
    if not events:
        await wake.wait()

Readers are independent: of each other, and of the SMPP binds that take the same events. Nothing is kept in
memory for a reader but its wake-up.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import msgspec
import trio

from gateway.events.seq import SEQ_MAX, id_of_seq, seq_of
from gateway.events.shapes import LoggedEvent
from gateway.events.views import logged
from store.model import Changes, Notice
from store.port import TrafficStore

if TYPE_CHECKING:
    from gateway.core import Core

PAGE_EVENTS_MAX = 1_000


class Page(msgspec.Struct):
    """Events, oldest first; everything up to seq `through` has been looked at."""

    events: list[LoggedEvent]
    through: int


class EventLog:
    """The logs of all accounts.

    Events are numbered and handed to the committer without a wait in between, and rounds become durable in
    the order in which they were handed in. So once an event is durable, every lower one is. A round may span
    several day files that become visible one after the other; readers look no further than `head`, the
    highest event whose round is durable in all of them.
    """

    def __init__(self, core: "Core", *, through: int = 0) -> None:
        """`through`: the highest id in the store at the start."""
        self._core = core
        self._node = core.config.store.node
        self._through = through
        self._newest: dict[int, int] = {}
        self._changed: dict[int, trio.Event] = {}

    # -- written by the core ----------------------------------------------------------------------

    def advance(self, newest: Mapping[int, int]) -> None:
        """Events up to these ids, by account, are durable. Wakes who waits for them."""
        for account, event_id in newest.items():
            self._through = max(self._through, event_id)
            self._newest[account] = max(self._newest.get(account, 0), event_id)
            changed = self._changed.pop(account, None)
            if changed is not None:
                changed.set()

    def append(self, account_id: int, kind: str, data: bytes) -> trio.Event:
        """Put an event of another kind on an account's log; `data` is JSON. Set once readers can see it.

        What must be told exactly once over a crash goes through `Teller` (`tell.py`).
        """
        core = self._core
        notice = Notice(core.ids.mint(), account_id, core.clock.wall_ms(), kind, data)
        return core.committer.submit(
            Changes(notices=[notice]), lambda applied: self.advance({account_id: notice.id})
        ).settled

    # -- for readers ------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """The seq up to which all logs are durable: the cursor of a reader that wants only what comes."""
        return seq_of(self._through)

    def changed(self, account_id: int) -> trio.Event:
        """Set at the account's next event. Ask before reading."""
        event = self._changed.get(account_id)
        if event is None:
            event = self._changed[account_id] = trio.Event()
        return event

    async def read(
        self, account_id: int, after: int, limit: int, *, kinds: Collection[str] | None = None
    ) -> list[LoggedEvent]:
        """Up to `limit` events behind the cursor `after`, oldest first; [] only when there are none.

        Args:
          after: seq of the last event that was seen; 0 for all that is kept.
          limit: 1 to PAGE_EVENTS_MAX.
          kinds: only events of these types.
        """
        while True:
            page = await self.page(account_id, after, limit, kinds=kinds)
            if page.events or page.through >= self.head:
                return page.events
            after = page.through

    async def page(
        self, account_id: int, after: int, limit: int, *, kinds: Collection[str] | None = None
    ) -> Page:
        """One reading: up to `limit` events are looked at, those of other kinds are left out."""
        limit = max(1, min(limit, PAGE_EVENTS_MAX))
        through = self._through
        after_id = id_of_seq(min(max(after, 0), SEQ_MAX), self._node)
        newest = self._newest.get(account_id)
        if after_id >= through or (newest is not None and newest <= after_id):
            return Page([], max(after, seq_of(through)))
        account = self._core.accounts.get(account_id)
        each = account is not None and account.account.receipts == "part"

        def read(store: TrafficStore) -> tuple[list[LoggedEvent], bool]:
            found = store.logged_events(account_id, after_id, through, limit)
            wanted = {event.inbound.answers for event in found if event.inbound and event.inbound.answers}
            answered = {part.id: part for part in store.parts(sorted(wanted))} if wanted else {}
            events = [logged(event, answered, each=each) for event in found]
            return events, len(found) < limit

        events, whole = await self._core.ports.store.read(read)
        looked = seq_of(through) if whole else events[-1].seq
        if kinds is not None:
            events = [event for event in events if event.type in kinds]
        return Page(events, looked)

    async def oldest(self, account_id: int) -> int:
        """The seq of the oldest event that is kept, 0 for none. Events go with the days of their messages."""
        return (await self._range(account_id))[0]

    async def newest(self, account_id: int) -> int:
        """The seq of the newest event, 0 for none."""
        newest = self._newest.get(account_id)
        return seq_of(newest) if newest is not None else (await self._range(account_id))[1]

    async def _range(self, account_id: int) -> tuple[int, int]:
        oldest, newest = await self._core.ports.store.read(lambda s: s.logged_range(account_id))
        return seq_of(oldest), seq_of(min(newest, self._through))
