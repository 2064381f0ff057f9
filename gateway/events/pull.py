"""GET /v1/events: the log as pages of JSON, at once or by long poll, and as Server-Sent Events."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import msgspec

from gateway.api.invalid import Invalid, refuse
from gateway.api.keys import Identity, Keys
from gateway.api.parameters import Parameters
from gateway.events.seq import SEQ_MAX
from gateway.events.shapes import KINDS_OF_SCOPE, LoggedEvent
from gateway.events.streams import Listener, Streams
from gateway.http.messages import EVENT_STREAM, Headers, Request, Response
from gateway.http.problems import problem

if TYPE_CHECKING:
    from gateway.core import Core

LIMIT = 100
LIMIT_MAX = 1000
WAIT_S_MAX = 60.0
SSE_EVENTS = 100  # of one piece: 50 KB, all that is held for a connection
KEEP_ALIVE_S = 15.0  # proxies close what is silent for 30 to 60 s
RETRY_MS = 2000
_OPENING = b"retry: %d\n\n" % RETRY_MS
_KEEP_ALIVE = b": keep-alive\n\n"
_SSE_HEADERS: Headers = [(b"x-accel-buffering", b"no")]  # nginx would hold pieces back
_encode = msgspec.json.Encoder().encode


class _Page(msgspec.Struct):
    data: list[LoggedEvent]
    next: int


def kinds_of(identity: Identity) -> frozenset[str]:
    """The types of events that a key may see."""
    return frozenset(kind for scope in identity.scopes for kind in KINDS_OF_SCOPE.get(scope, ()))


class EventQueries:
    def __init__(self, core: "Core", keys: Keys, streams: Streams) -> None:
        self._core = core
        self._keys = keys
        self._streams = streams
        self.wait_s_max = WAIT_S_MAX

    def events(self, request: Request) -> Response | Awaitable[Response]:
        """A page, or a stream for those who accept text/event-stream."""
        try:
            asked = Parameters(request, ("after", "limit", "wait_s"))
            after, limit = (
                cursor_of(asked.text("after"), "?after"),
                asked.limit(default=LIMIT, most=LIMIT_MAX),
            )
            wait_s = min(_wait(asked), self.wait_s_max)
            if b"text/event-stream" in request.headers.get(b"accept", b"").lower():
                last = request.headers.get(b"last-event-id", b"").decode("latin-1")
                after = cursor_of(last, "Last-Event-ID") if last else after
                return self._stream(request, after)
        except Invalid as error:
            return refuse(error, request)
        return self._page(request, after or 0, limit, wait_s)

    # -- pages ------------------------------------------------------------------------------------

    async def _page(self, request: Request, after: int, limit: int, wait_s: float) -> Response:
        identity: Identity = request.context
        account_id, kinds, log = identity.account.id, kinds_of(identity), self._core.event_log
        if wait_s and self._streams.full(account_id):
            return too_many(request)
        clock = self._core.clock
        until = clock.now() + wait_s
        listener = Listener(self._streams, "poll", account_id) if wait_s else None
        try:
            while True:
                changed = log.changed(account_id)
                page = await log.page(account_id, after, limit, kinds=kinds)
                after = page.through
                left_s = until - clock.now()
                if page.events or (after >= log.head and (left_s <= 0 or self._streams.leaving)):
                    break
                if listener is not None and after >= log.head:
                    await listener.wait(changed, left_s)
        finally:
            if listener is not None:
                listener.close()
        self._streams.sent["poll"] += len(page.events)
        return Response(200, _encode(_Page(page.events, page.through)))

    # -- Server-Sent Events -----------------------------------------------------------------------

    def _stream(self, request: Request, after: int | None) -> Response:
        identity: Identity = request.context
        if self._streams.full(identity.account.id):
            return too_many(request)
        if after is None:
            after = self._core.event_log.head
        pieces = SsePieces(self._core, self._keys, self._streams, request, after)
        return Response(200, b"", EVENT_STREAM, _SSE_HEADERS, pieces)


class SsePieces:
    """The body of an event stream: a page of events at a time, written before the next is read.

    Ends when the key loses its rights or the daemon drains; the client comes back with Last-Event-ID.
    """

    def __init__(self, core: "Core", keys: Keys, streams: Streams, request: Request, after: int) -> None:
        self._core = core
        self._keys = keys
        self._streams = streams
        self._request = request
        self._account = request.context.account.id
        self._after = after
        self._listener: Listener | None = None

    def __aiter__(self) -> "SsePieces":
        return self

    async def __anext__(self) -> bytes:
        if self._listener is None:
            self._listener = Listener(self._streams, "sse", self._account)
            return _OPENING
        log, clock = self._core.event_log, self._core.clock
        until = clock.now() + KEEP_ALIVE_S
        while not self._streams.leaving:
            identity = self._keys.identify(self._request)
            if isinstance(identity, Response) or identity.account.id != self._account:
                break
            changed = log.changed(self._account)
            page = await log.page(self._account, self._after, SSE_EVENTS, kinds=kinds_of(identity))
            self._after = page.through
            if page.events:
                self._streams.sent["sse"] += len(page.events)
                return b"".join(map(sse, page.events))
            left_s = until - clock.now()
            if left_s <= 0:
                return _KEEP_ALIVE
            if page.through >= log.head:
                await self._listener.wait(changed, left_s)
        raise StopAsyncIteration

    def close(self) -> None:
        """The connection is over, or has had its last piece."""
        if self._listener is not None:
            self._listener.close()


def sse(event: LoggedEvent) -> bytes:
    """One event in the form of the HTML standard, section 9.2. JSON has no line breaks of its own."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.type.encode(), _encode(event))


def cursor_of(value: str, name: str) -> int | None:
    """A cursor as a client gives it. Raises Invalid."""
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 16 and int(value) <= SEQ_MAX):
        raise Invalid(name, "bad-cursor", "A cursor is the `seq` of an event or `next` of a page.")
    return int(value)


def _wait(asked: Parameters) -> float:
    value = asked.text("wait_s")
    if not value:
        return 0.0
    if not (value.isascii() and value.isdigit() and int(value[:4]) <= WAIT_S_MAX):
        raise Invalid("?wait_s", "range", f"wait_s is a whole number from 0 to {WAIT_S_MAX:g}.")
    return float(value)


def too_many(request: Request) -> Response:
    """429: the account has as many listeners as it may."""
    return problem(
        "rate-limited",
        "This account has too many open streams and long polls. Close some.",
        request,
        headers=[(b"retry-after", b"10")],
    )
