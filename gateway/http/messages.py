"""Requests and responses as values, and the octets of a response."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import trio

if TYPE_CHECKING:
    from gateway.http.routes import Route

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
EVENT_STREAM = b"text/event-stream"

Headers = list[tuple[bytes, bytes]]
_NO_HEADERS: Headers = []


class BodyStream(Protocol):
    """The body of a request whose route takes it piece by piece."""

    async def receive(self) -> bytes:
        """The next piece, b"" at the end. Raises BodyBroken."""
        ...


class BodyBroken(Exception):
    """The body ended before its end, or cannot be read: bad framing, a lost connection, too slow."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Request(msgspec.Struct, eq=False):
    """One request whose head is whole. `headers` are by lower-case name, repeated ones joined by ", "."""

    method: str
    target: bytes  # as it came
    path: bytes  # without query, not decoded
    query: bytes
    version: str  # "1.0" | "1.1"
    headers: dict[bytes, bytes]
    peer: str  # address of the client (of the one behind a trusted proxy)
    request_id: bytes
    keep_alive: bool
    params: dict[str, str] = {}
    body: bytes = b""
    stream: Any = None  # BodyStream, where the route takes the body piece by piece
    route: "Route | None" = None
    refusal: "Response | None" = None  # decided by the head alone: the handler is not called
    upgrade: bool = False
    context: Any = None  # what the route's `admit` found out: whose key this is

    @property
    def plain(self) -> bool:
        """Nothing about it is out of the ordinary: its route's handler answers it."""
        return self.refusal is None and self.stream is None and not self.upgrade

    def header(self, name: bytes) -> bytes | None:
        """A header's value by its lower-case name."""
        return self.headers.get(name)

    def __repr__(self) -> str:
        """The request without headers and body: they hold keys and texts."""
        return f"<Request {self.method} {self.path!r} {self.request_id.decode('latin-1')}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for rich, whose tracebacks would show every field."""
        return [("method", self.method), ("path", self.path), ("request_id", self.request_id)]


class Response(msgspec.Struct, eq=False):
    """What to answer. `stream` is sent piece by piece instead of `body`, chunked to peers of HTTP/1.1.

    If it has a `close`, that is called once nobody reads it any more, at its end or before.
    """

    status: int = 200
    body: bytes = b""
    content_type: bytes = JSON
    headers: Headers = _NO_HEADERS
    stream: AsyncIterator[bytes] | None = None
    close: bool = False


class Takeover(msgspec.Struct, eq=False):
    """The connection changes its protocol: `run(stream, octets that came behind the request)` owns it."""

    run: Callable[[trio.abc.Stream, bytes], Awaitable[None]]


class Later:
    """A response that comes once somebody calls `resolve`: requests of one pass wait together.

    A handler that must wait for a commit returns one at once, so that everything that arrived with it, on
    this connection and others, shares the commit.
    """

    __slots__ = ("_waiter", "response", "then")

    def __init__(self) -> None:
        self.response: Response | None = None
        self.then: Callable[[Response], None] | None = None  # called with the response, besides any who wait
        self._waiter: _Waiter | None = None

    def resolve(self, response: Response) -> None:
        """Give the response; once."""
        assert self.response is None
        self.response = response
        if self.then is not None:
            self.then(response)
        if self._waiter is not None:
            self._waiter.resolved()


class _Waiter:
    """A task that sleeps until so many are resolved. An Event would cost twice as much."""

    __slots__ = ("_count", "_task")

    def __init__(self, count: int) -> None:
        self._count = count
        self._task: trio.lowlevel.Task | None = None

    def resolved(self) -> None:
        self._count -= 1
        if not self._count and self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    async def sleep(self) -> None:
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


async def all_resolved(some: Sequence[Later]) -> None:
    """Wait until each of `some` has its response."""
    open_ones = [later for later in some if later.response is None]
    if open_ones:
        waiter = _Waiter(len(open_ones))
        for later in open_ones:
            later._waiter = waiter
        await waiter.sleep()


Answer = Response | Later | Takeover
Handler = Callable[[Request], Answer | Awaitable[Answer]]

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class ResponseWriter:
    """Makes octets of responses. The first lines of a second are made once: status, date, type."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._second = -1
        self._date = b""
        self._heads: dict[tuple[int, bytes], bytes] = {}

    def tick(self) -> None:
        """Look at the clock: once a pass is enough."""
        second = self._wall_ms() // 1000
        if second != self._second:
            self._second = second
            self._date = format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True).encode()
            self._heads.clear()

    def head(self, response: Response, request_id: bytes, *, length: int, keep: bool, old: bool) -> bytes:
        """Status line and fields with the empty line behind them; `length` -1 for a body in chunks.

        Args:
          keep: the connection stays open.
          old: the peer speaks HTTP/1.0, to which staying open must be said and chunks cannot be sent.
        """
        status = response.status
        key = (status, response.content_type)
        first = self._heads.get(key)
        if first is None:
            first = self._heads[key] = self._first_lines(status, response.content_type)
        parts = [first, request_id]
        if length >= 0:
            if status >= 200 and status != 204 and status != 304:
                parts.append(b"\r\ncontent-length: %d" % length)
        elif not old:
            parts.append(b"\r\ntransfer-encoding: chunked")
        if not keep:
            parts.append(b"\r\nconnection: close")
        elif old:
            parts.append(b"\r\nconnection: keep-alive")
        for name, value in response.headers:
            if b"\r" in value or b"\n" in value:
                raise ValueError(f"a line break in the response header {name!r}")
            parts += (b"\r\n", name, b": ", value)
        parts.append(b"\r\n\r\n")
        return b"".join(parts)

    def _first_lines(self, status: int, content_type: bytes) -> bytes:
        reason = _REASONS.get(status, b"Unknown")
        lines = (
            b"HTTP/1.1 %d %b\r\ndate: %b\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            % (
                status,
                reason,
                self._date,
            )
        )
        if content_type:
            lines += b"content-type: %b\r\n" % content_type
        return lines + b"x-request-id: "
