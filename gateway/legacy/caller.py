"""Tells reports and inbound messages over HTTP, out of the durable logs of the accounts.

Each account has a cursor in `api.db`: everything before it is told, or given up. Events are read behind it, told
at most OUTSTANDING_MAX at a time, retried as Kannel or Jasmin does; the cursor follows the oldest that is not
settled, so after a crash a report may be told twice, and none is forgotten. Reports of one message keep
their order. An account whose URLs are dead holds up itself alone.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog
import trio

from gateway.api.invalid import Invalid
from gateway.api.ledger import Ledger
from gateway.events.seq import id_of_seq
from gateway.legacy import inbound
from gateway.legacy.calls import Call, Heard, call_of, is_heard, is_never, once_call, wants_foreign_id
from gateway.links.link import reraise_store_failure
from store.api_db import ApiFull
from store.callback_cursors import callback_cursors, save_callback_cursors
from store.port import Event

if TYPE_CHECKING:
    from gateway.core import Core

log = structlog.get_logger("legacy")

PAGE_EVENTS = 500
OUTSTANDING_MAX = 1_000  # events of an account that are being told or wait for another try
ONCE_MAX = 1_000  # calls about batches under way; more are not made
SAVE_PERIOD_S = 1.0
START = 0  # the account of the row that says where every log began for us


class Unheard(Exception):
    """No answer; the text says why."""


Fetch = Callable[[int, Call], Awaitable[Heard]]


class _Follower:
    """One account's place in its log."""

    def __init__(self, account: int, position: int) -> None:
        self.account = account
        self.position = position  # everything up to here was looked at
        self.open: dict[int, None] = {}  # events that are not settled, in order
        self.chains: dict[int, deque[tuple[int, Call]]] = {}
        self.room = trio.Event()
        self.saved = position

    @property
    def cursor(self) -> int:
        return next(iter(self.open)) - 1 if self.open else self.position


class Caller:
    """Args of its constructor:
    fetch: makes one call for an account; raises Unheard.
    """

    def __init__(self, core: "Core", ledger: Ledger, fetch: Fetch) -> None:
        self._core = core
        self._ledger = ledger
        self._fetch = fetch
        self._followers: dict[int, _Follower] = {}
        self.told = {"kannel": 0, "jasmin": 0}
        self.retried = {"kannel": 0, "jasmin": 0}
        self.given_up = {"kannel": 0, "jasmin": 0}
        self.replies = 0
        self._nursery: trio.Nursery | None = None
        self._once = 0  # calls of `tell_once` under way

    @property
    def waiting(self) -> int:
        """Events that are being told or wait for another try."""
        return sum(len(follower.open) for follower in self._followers.values())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the logs until cancelled. Started once the place where they begin is on disk."""
        core = self._core
        known = await self._ledger.read(callback_cursors)
        if START not in known:
            known[START] = id_of_seq(core.event_log.head, core.config.store.node)
            await self._ledger.write(lambda store: save_callback_cursors(store, {START: known[START]}))
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            seen: object = None
            task_status.started()
            while True:
                if core.directory is not seen:
                    seen = core.directory
                    for account in [a for a in core.accounts if a not in self._followers]:
                        follower = _Follower(account, known.get(account, known[START]))
                        self._followers[account] = follower
                        nursery.start_soon(self._follow, follower, nursery)
                await trio.sleep(SAVE_PERIOD_S)
                await self.save()

    async def save(self) -> None:
        """Make the cursors durable."""
        moved = {f.account: f.cursor for f in self._followers.values() if f.cursor != f.saved}
        if moved:
            try:
                await self._ledger.write(lambda store: save_callback_cursors(store, moved))
            except ApiFull as full:
                log.error("not stored", because=str(full))
                return
            for account, cursor in moved.items():
                self._followers[account].saved = cursor

    def tell_once(self, account: int, url: str, told: dict[str, str]) -> None:
        """Tell something that is in no log, one time, if there is room for it: how a batch goes."""
        if self._nursery is None or self._once >= ONCE_MAX:
            self.given_up["jasmin"] += 1
            return
        self._once += 1
        self._nursery.start_soon(self._tell_once, account, once_call(url, told))

    async def _tell_once(self, account: int, call: Call) -> None:
        try:
            await self._fetch(account, call)
            self.told["jasmin"] += 1
        except Unheard as unheard:
            self.given_up["jasmin"] += 1
            log.info("not told", style="jasmin", because=str(unheard))
        finally:
            self._once -= 1

    async def _follow(self, follower: _Follower, nursery: trio.Nursery) -> None:
        core, account = self._core, follower.account
        node = core.config.store.node
        while True:
            changed = core.event_log.changed(account)
            through = id_of_seq(core.event_log.head, node)
            events: list[Event] = []
            if through > follower.position:
                after = follower.position
                events = await core.ports.store.read(
                    lambda s, after=after, through=through: s.logged_events(  # type: ignore[misc]
                        account, after, through, PAGE_EVENTS
                    )
                )
            for event in events:
                await self._take(follower, event, nursery)
            if len(events) < PAGE_EVENTS:
                follower.position = max(follower.position, through)
                await changed.wait()

    async def _take(self, follower: _Follower, event: Event, nursery: trio.Nursery) -> None:
        try:
            foreign_id = await self._foreign_id(event) if wants_foreign_id(event) else ""
            call = call_of(self._core, event, foreign_id)
        except Exception:
            log.exception("an event cannot be told; the others are", event_id=event.id)
            call = None
        if call is not None:
            while len(follower.open) >= OUTSTANDING_MAX:
                follower.room = trio.Event()
                await follower.room.wait()
            follower.open[event.id] = None
            chain = follower.chains.get(call.chain)
            if chain is None:
                follower.chains[call.chain] = deque([(event.id, call)])
                nursery.start_soon(self._work, follower, call.chain)
            else:
                chain.append((event.id, call))
        follower.position = event.id

    async def _foreign_id(self, event: Event) -> str:
        """The id that a carrier gave a part: the answer says it, and no receipt yet."""
        part = event.part
        assert part is not None
        first = part.id - part.part_no + 1
        life = await self._core.ports.store.read(lambda s: s.message(first))
        tries = life.attempts if life is not None else []
        found = [one.smsc_message_id for one in tries if one.part_id == part.id and one.status == 0]
        return str(found[-1]) if found else ""

    async def _work(self, follower: _Follower, key: int) -> None:
        """Tell what one message has to tell, in order."""
        chain = follower.chains[key]
        while chain:
            event_id, call = chain[0]
            try:
                await self._tell(follower.account, call)
            except Exception as error:
                reraise_store_failure(error)
                self.given_up[call.style] += 1
                log.exception("a report cannot be told; the others are", event_id=event_id)
            chain.popleft()
            follower.open.pop(event_id, None)
            follower.room.set()
        del follower.chains[key]

    async def _tell(self, account: int, call: Call) -> None:
        config = self._core.config
        rules = config.kannel if call.style == "kannel" else config.jasmin
        for attempt in range(rules.retries_max + 1):
            if attempt:
                self.retried[call.style] += 1
                await trio.sleep(rules.retry_s)
            try:
                heard = await self._fetch(account, call)
            except Unheard as unheard:
                log.info("not told", style=call.style, attempt=attempt + 1, because=str(unheard))
                continue
            if is_heard(call.style, heard):
                self.told[call.style] += 1
                if call.mo is not None:
                    await self._reply(account, call.mo, heard)
                return
            log.info("not heard", style=call.style, attempt=attempt + 1, status=heard.status)
            if is_never(call.style, heard):
                break
        self.given_up[call.style] += 1
        log.warning("a report is given up", style=call.style, account=account)

    async def _reply(self, account_id: int, mo: inbound.Mo, heard: Heard) -> None:
        """The text that an application answers an inbound message with goes back to its sender."""
        core = self._core
        account = core.accounts.get(account_id)
        if account is None:
            return
        kannel = core.config.kannel
        source = account.account.faked_sender.encode() or kannel.global_sender.encode() or mo.row.dest
        try:
            submit = inbound.reply_to(
                mo, heard.body, heard.content_type, source, messages_max=kannel.reply_messages_max
            )
        except (ValueError, Invalid) as error:
            log.warning("a reply cannot be sent", because=str(error))
            return
        if submit is None:
            return
        result = await core.submit_one(account, submit)
        if result > 0:
            self.replies += 1
            account.accepted += 1
        else:
            account.count_refused(-result)
