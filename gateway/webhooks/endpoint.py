"""One endpoint at work: it reads its account's log, posts what it finds, and comes back to what failed.

Two loops share the places of the endpoint's lanes. `_read_on` takes windows of the log in order; what cannot be
delivered becomes a row and the window counts as done. `_try_again` takes rows when they fall due. The position that
is stored is the end of the last window before which everything has arrived or has a row: after a crash some windows
are posted again, with the same ids, and none is left out.
"""

import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
import structlog
import trio

from gateway.events.shapes import LoggedEvent, StatusData
from gateway.webhooks.attempts import (
    EVENTS_MAX,
    Result,
    active_keys,
    attempt,
    body_of,
    pause_s,
    webhook_id,
)
from gateway.webhooks.client import Client
from gateway.webhooks.lane import Lane
from gateway.webhooks.targets import BadUrl, Target, UrlRules, host_matches, read_url
from store import webhook_rows
from store.api_db import ApiFull, ApiStore
from store.directory import Webhook
from store.webhook_rows import DeliveryRow

if TYPE_CHECKING:
    from gateway.events.log import EventLog
    from gateway.ports import Clock

log = structlog.get_logger("webhooks")

LINGER_S = (
    0.05  # between readings that do not fill a request, so that a busy account's events come in hundreds
)
DUE_ROWS = 200  # of one reading
BUSY_WAIT_S = 5.0  # for a receiver with requests enough, where other receivers would have to wait, too
LANES_MAX = 200  # of an endpoint whose messages name their own URLs; the ones used longest ago are forgotten
IN_FLIGHT_MAX = 64  # requests of one endpoint, over all its lanes
LOOK_S_MAX = 3600.0  # until the next look at the rows although nothing woke the loop
FULL_WAIT_S = 5.0  # on a full disk, until the next try to store a row

T = TypeVar("T")


class Outside(msgspec.Struct, frozen=True):
    """What endpoints are given: the world, and the service around them."""

    log: "EventLog"
    clock: "Clock"
    rng: random.Random
    rules: UrlRules
    timeout_s: float
    client: Callable[[int], Client]  # of an account
    read: Callable[[Callable[[ApiStore], T]], Awaitable[T]]
    write: Callable[[Callable[[ApiStore], T]], Awaitable[T]]
    gone: Callable[[Webhook], Awaitable[None]]


class Counts(msgspec.Struct):
    """Counters of one endpoint since the start."""

    requests: int = 0
    delivered: int = 0  # events
    failed: int = 0  # requests
    dead: int = 0  # deliveries
    last_success_at: int = 0  # UTC milliseconds
    last_failure_at: int = 0
    last_error: str = ""


class _Route(msgspec.Struct, eq=False):
    """Where a lane leads to: what its connections lead to, too."""

    key: str
    lane: Lane
    client: Client


class _Window(msgspec.Struct, eq=False):
    """A stretch of the log that was read: how many of its deliveries are not settled."""

    last: int
    open: int


class _Work(msgspec.Struct, eq=False):
    """A delivery on its way. `events` None: to be read again; `window` None: a row of the store."""

    row: DeliveryRow
    events: Sequence[LoggedEvent] | None = None
    window: _Window | None = None


class Endpoint:
    """Runs for as long as its endpoint is declared."""

    def __init__(self, webhook: Webhook, outside: Outside, position: int) -> None:
        self.webhook = webhook
        self.position = position  # seq: everything up to it is settled
        self.saved = -1  # the position that is stored
        self.counts = Counts()
        self._out = outside
        self._read = position  # seq: everything up to it is in a window
        self._windows: deque[_Window] = deque()
        self._routes: dict[str, _Route] = {}
        self._forgotten: list[_Route] = []
        self._places = trio.Semaphore(IN_FLIGHT_MAX)
        self._retrying: set[int] = set()
        self._poked = trio.Event()
        self._active = trio.Event()
        self._read_at = -math.inf
        if webhook.state == "active":
            self._active.set()

    # -- settings ---------------------------------------------------------------------------------

    def apply(self, webhook: Webhook) -> None:
        """Take new settings; requests that run end as they began."""
        self.webhook = webhook
        for route in self._routes.values():
            route.lane.set_concurrency(webhook.concurrency)
        if webhook.state == "active":
            self._active.set()
        elif self._active.is_set():
            self._active = trio.Event()
        self.poke()

    def poke(self) -> None:
        """Rows have changed: look at them."""
        self._poked.set()
        self._poked = trio.Event()

    @property
    def circuit(self) -> Literal["closed", "slow", "open"]:
        """The worst of its receivers: open after failures in a row, slow where one asked for fewer requests."""
        lanes = [route.lane for route in self._routes.values()]
        if any(lane.open_circuit for lane in lanes):
            return "open"
        return "slow" if any(lane.slow_s for lane in lanes) else "closed"

    @property
    def condition(self) -> str:
        """active | slow | open | paused | gone: what holds it, in one word."""
        if self.webhook.state != "active":
            return self.webhook.state
        return "active" if self.circuit == "closed" else self.circuit

    # -- running ----------------------------------------------------------------------------------

    async def close_idle(self) -> None:
        """Close connections that nobody has used for a while."""
        for route in list(self._routes.values()):
            await route.client.close_idle()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_on, nursery)
                nursery.start_soon(self._try_again, nursery)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                for route in (*self._routes.values(), *self._forgotten):
                    await route.client.close()

    async def _read_on(self, nursery: trio.Nursery) -> None:
        while True:
            if self.webhook.url:
                # No use in reading what cannot be sent now: the log keeps it.
                await self._until_room()
            early = self._read_at + LINGER_S - self._out.clock.now()
            if early > 0:
                await trio.sleep(early)
            await self._active.wait()
            wake = self._out.log.changed(self.webhook.account)
            page = await self._out.log.page(self.webhook.account, self._read, EVENTS_MAX)
            if len(page.events) < EVENTS_MAX:
                self._read_at = self._out.clock.now()
            works = self._works(page.events)
            if page.through > self._read:
                self._read = page.through
                window = _Window(page.through, len(works))
                self._windows.append(window)
                for work in works:
                    work.window = window
                self._advance()
            await self._begin_all(nursery, works)
            if not page.events:
                await wake.wait()

    async def _until_room(self) -> None:
        try:
            lane = self._route(self.webhook.url).lane
        except BadUrl:
            return  # its deliveries end as dead letters that say why
        await lane.acquire()
        lane.release()

    def _works(self, events: Sequence[LoggedEvent]) -> list[_Work]:
        """What a stretch of the log means for this endpoint: a delivery for each type (and URL) in it."""
        webhook = self.webhook
        found: dict[tuple[str, str], list[LoggedEvent]] = {}
        for event in events:
            url = url_of(webhook, event)
            if url is not None:
                found.setdefault((event.type, url), []).append(event)
        now_ms = self._out.clock.wall_ms()
        return [
            _Work(
                DeliveryRow(
                    0,
                    webhook.id,
                    url,
                    kind,
                    some[0].seq,
                    some[-1].seq,
                    len(some),
                    due_at=now_ms,
                    made_at=now_ms,
                ),
                some,
            )
            for (kind, url), some in found.items()
        ]

    def rows_of(self, events: Sequence[LoggedEvent]) -> list[DeliveryRow]:
        """Deliveries of events of the log, to be stored and then tried."""
        return [work.row for work in self._works(events)]

    async def _try_again(self, nursery: trio.Nursery) -> None:
        clock, identifier = self._out.clock, self.webhook.id
        while True:
            await self._active.wait()
            poked, now_ms = self._poked, clock.wall_ms()
            but = frozenset(self._retrying)
            rows = await self._out.read(partial(webhook_rows.due, identifier, now_ms, DUE_ROWS, but))
            self._retrying |= {row.id for row in rows}
            await self._begin_all(nursery, [_Work(row) for row in rows])
            if rows:
                continue
            next_ms = await self._out.read(partial(webhook_rows.next_due, identifier, now_ms))
            wait_s = (next_ms - clock.wall_ms()) / 1000 if next_ms else LOOK_S_MAX
            with trio.move_on_after(min(max(wait_s, 0.001), LOOK_S_MAX)):
                await poked.wait()

    async def _begin_all(self, nursery: trio.Nursery, works: Sequence[_Work]) -> None:
        """Start deliveries once there is room for them; where others would wait for a receiver, it is later."""
        later: list[_Work] = []
        for work in works:
            try:
                route = self._route(work.row.url or self.webhook.url)
            except BadUrl as error:
                await self._end(work, str(error))
                continue
            if self.webhook.url or route.lane.has_room():
                await route.lane.acquire()
                await self._places.acquire()
                nursery.start_soon(self._deliver, work, route)
                continue
            wait_s = max(BUSY_WAIT_S, route.lane.closed_until - self._out.clock.now())
            work.row.due_at = self._out.clock.wall_ms() + round(wait_s * 1000)
            later.append(work)
        if later:
            await self._store(*later)
        while self._forgotten:
            await self._forgotten.pop().client.close()

    async def _deliver(self, work: _Work, route: _Route) -> None:
        """One attempt, with the places that were taken for it."""
        out, row, webhook = self._out, work.row, self.webhook
        try:
            try:
                target = self._target(row.url or webhook.url)
            except BadUrl as error:
                await self._end(work, str(error))
                return
            if target.key != route.key:
                await self._store(work)  # the URL was changed meanwhile: these connections lead elsewhere
                return
            events = work.events or await self._events(row)
            if not events:
                await self._end(work, "The events are no longer kept.")
                return
            result = await attempt(
                route.client,
                target,
                active_keys(webhook, out.clock.wall_ms()),
                webhook_id(row),
                body_of(row.kind, events),
                out.clock,
                out.timeout_s,
            )
            await self._settle(work, route.lane, result, len(events))
        finally:
            route.lane.release()
            self._places.release()

    async def _events(self, row: DeliveryRow) -> list[LoggedEvent]:
        """The events of a stored delivery."""
        page = await self._out.log.page(self.webhook.account, row.first - 1, EVENTS_MAX)
        return [
            event
            for event in page.events
            if event.seq <= row.last and event.type == row.kind and row.url in ("", callback_of(event))
        ]

    async def _settle(self, work: _Work, lane: Lane, result: Result, events: int) -> None:
        counts, row, now_ms = self.counts, work.row, self._out.clock.wall_ms()
        counts.requests += 1
        if result.verdict == "taken":
            lane.succeeded()
            counts.delivered += events
            counts.last_success_at = now_ms
            if row.id:
                await self._write(partial(webhook_rows.remove_delivery, row.id))
            self._settled(work)
            return
        counts.failed += 1
        counts.last_failure_at, counts.last_error = now_ms, result.text
        row.attempts += 1
        row.status, row.error = result.status, result.text
        if result.verdict == "gone":
            if self.webhook.url:
                self.apply(msgspec.structs.replace(self.webhook, state="gone"))
                row.due_at = now_ms
                await self._store(work)
                await self._out.gone(self.webhook)
            else:
                await self._end(work, result.text)
            return
        rng = self._out.rng
        lane.failed(slow=result.verdict == "slow", retry_after_s=result.retry_after_s, jitter=rng.random())
        wait_s = pause_s(row.attempts, rng.random())
        if wait_s is None:
            await self._end(work, result.text)
            return
        row.due_at = now_ms + round(max(wait_s, result.retry_after_s) * 1000)
        await self._store(work)

    async def _end(self, work: _Work, why: str) -> None:
        """It is not tried again: a dead letter, kept for a while."""
        work.row.dead_at = self._out.clock.wall_ms()
        work.row.error = why
        self.counts.dead += 1
        log.warning(
            "events were not delivered", webhook=self.webhook.name, events=work.row.events, because=why
        )
        await self._store(work)

    async def _store(self, *works: _Work) -> None:
        """Put rows where a restart finds them; then they are settled."""
        await self._write(partial(webhook_rows.save_deliveries, [work.row for work in works]))
        for work in works:
            self._settled(work)
        self.poke()

    async def _write(self, call: Callable[[ApiStore], None]) -> None:
        while True:
            try:
                await self._out.write(call)
                return
            except ApiFull as full:
                log.error("not stored", because=str(full))
                await trio.sleep(FULL_WAIT_S)

    def _settled(self, work: _Work) -> None:
        self._retrying.discard(work.row.id)
        if work.window is not None:
            work.window.open -= 1
            self._advance()

    def _advance(self) -> None:
        windows = self._windows
        while windows and not windows[0].open:
            self.position = windows.popleft().last

    # -- receivers --------------------------------------------------------------------------------

    def _target(self, url: str) -> Target:
        target = read_url(url, self._out.rules)
        if not self.webhook.url and not host_matches(target.host, self.webhook.hosts):
            raise BadUrl(f"{target.host} is not one of the hosts that callback URLs may name.")
        return target

    def _route(self, url: str) -> _Route:
        """The lane and the connections to a URL's receiver. Raises BadUrl."""
        key = self._target(url).key
        route = self._routes.pop(key, None)
        if route is None:
            idle = [known for known, one in self._routes.items() if not one.lane.in_flight]
            for known in idle[: max(0, len(self._routes) + 1 - LANES_MAX)]:
                self._forgotten.append(self._routes.pop(known))
            out = self._out
            lane = Lane(self.webhook.concurrency, out.clock.now)
            route = _Route(key, lane, out.client(self.webhook.account))
        self._routes[key] = route  # the one used last stands last
        return route


def callback_of(event: LoggedEvent) -> str:
    """The URL that an event's message brought with it, "" for none."""
    return event.data.callback_url if isinstance(event.data, StatusData) else ""


def url_of(webhook: Webhook, event: LoggedEvent) -> str | None:
    """Where an endpoint sends an event: "" its own URL, else the message's; None: nowhere."""
    if webhook.events and event.type not in webhook.events:
        return None
    if webhook.url:
        return ""
    return callback_of(event) or None
