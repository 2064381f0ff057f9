"""How much of the console one address can hold, and how long a slow client (S16).

`Door` stands before the server: what is one connection too many, of an address or of all, is closed at once. What
is let in is written to with an end: who does not read its answer loses it. `BodyInTime` stands before the
application: a request's body comes at a pace, or the connection ends. Heads are held to the time by Hypercorn's
keep-alive, which counts from the answer before to the next whole head.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import structlog
import trio
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("console")

BODY_S = 30.0
WRITE_S = 30.0
OCTETS_PER_S_MIN = 8_192  # slower than a telephone at the edge of its cell
TELL_EVERY_S = 60.0


class ConnectionLimits(msgspec.Struct, frozen=True):
    """Connections at once; trusted proxies stand for many people and count for the whole only."""

    connections_max: int = 1000
    connections_per_address_max: int = 100
    trusted_proxies: tuple[str, ...] = ()


def holder_of(address: str) -> str:
    """Whom a connection counts for: an IPv4 address, or the /64 network that one IPv6 customer has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


class Places:
    """Who holds how many connections."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._proxies = [ipaddress.ip_network(one, strict=False) for one in limits.trusted_proxies]
        self._held: Counter[str] = Counter()
        self.all = 0

    def take(self, holder: str) -> bool:
        """One more for this holder; False when there are too many."""
        if self.all >= self._limits.connections_max:
            return False
        if self._held[holder] >= self._limits.connections_per_address_max and not self._is_proxy(holder):
            return False
        self._held[holder] += 1
        self.all += 1
        return True

    def give_back(self, holder: str) -> None:
        """One less."""
        self.all -= 1
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]

    def _is_proxy(self, holder: str) -> bool:
        try:
            address = ipaddress.ip_network(holder).network_address
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


class Guarded(trio.abc.HalfCloseableStream):
    """A connection that gives its place back when it is closed, and is broken when its answer is not read."""

    def __init__(self, stream: trio.SocketStream, closed: Callable[[], None]) -> None:
        self._stream = stream
        self._closed: Callable[[], None] | None = closed
        self.socket = stream.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As the stream."""
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write, at a pace. Raises BrokenResourceError when the client does not read."""
        with trio.move_on_after(WRITE_S + len(data) / OCTETS_PER_S_MIN) as time:
            await self._stream.send_all(data)
        if time.cancelled_caught:
            await trio.aclose_forcefully(self)
            raise trio.BrokenResourceError("the client does not read")

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """As the stream."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close; again is fine."""
        if self._closed:
            self._closed()
            self._closed = None
        await self._stream.aclose()


class Door(trio.abc.Listener[Guarded]):
    """A listener that lets in what there are places for."""

    def __init__(self, listener: trio.SocketListener, limits: ConnectionLimits) -> None:
        self._listener = listener
        self.places = Places(limits)
        self._told_at = -TELL_EVERY_S

    async def accept(self) -> Guarded:
        """The next connection that there is a place for."""
        while True:
            stream = await self._listener.accept()
            try:
                holder = holder_of(stream.socket.getpeername()[0])
            except OSError:  # gone already
                await trio.aclose_forcefully(stream)
                continue
            if self.places.take(holder):
                return Guarded(stream, partial(self.places.give_back, holder))
            self._tell(holder)
            await trio.aclose_forcefully(stream)

    async def aclose(self) -> None:
        """Stop listening."""
        await self._listener.aclose()

    def _tell(self, holder: str) -> None:
        now = trio.current_time()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            log.warning("too many connections: more are closed at once", address=holder, all=self.places.all)


class BodyInTime:
    """An application whose requests' bodies come at a pace: 30 s, and a second more for every 8 KiB that came."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        until = trio.current_time() + BODY_S
        headers = dict(scope["headers"])
        # Nothing is to come: an application may take its time before it asks whether the client has gone.
        whole = b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"
        late = False

        async def in_time() -> Any:
            nonlocal until, whole, late
            if whole:
                return await receive()
            message: Any = None
            with trio.move_on_at(until):
                message = await receive()
            if message is None:
                late = True
                return {"type": "http.disconnect"}
            if message["type"] == "http.request":
                until += len(message.get("body", b"")) / OCTETS_PER_S_MIN
                whole = not message.get("more_body", False)
            return message

        async def unless_late(message: Message) -> None:
            if not late:
                await send(message)

        await self._app(scope, in_time, unless_late)
        if late:
            log.info("a request came too slowly", path=scope["path"])
            head: Any = {"type": "http.response.start", "status": 408, "headers": [(b"connection", b"close")]}
            await send(head)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
