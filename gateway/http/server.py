"""The HTTP listener: accepts within its bounds, contains every connection, ends them politely.

    server = HttpServer(routes, HttpLimits.of(config), clock)
    nursery.start_soon(server.serve, listeners, links)      connections live in `links`
    await server.leave(5.0)                                 at drain: what is being answered is answered

One sweep twice a second looks after the times of all connections: a cancel scope a read would cost as much
as the request itself.
"""

import errno
import secrets
import ssl
from collections import Counter
from collections.abc import Iterable
from itertools import count

import structlog
import trio

from gateway.http.connection import Connection
from gateway.http.heads import Heads
from gateway.http.limits import HttpLimits, Proxies
from gateway.http.messages import Request, Response, ResponseWriter
from gateway.http.routes import Route, Router
from gateway.ports import Clock

log = structlog.get_logger("http")

SWEEP_S = 0.5
HANDSHAKE_S = 10.0
# accept() fails with these when the process has no descriptor or memory left for one more connection.
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
FULL_PAUSE_S = 0.1
NO_ROUTE = "(none)"

Listeners = list[trio.abc.Listener[trio.abc.Stream]]


class HttpServer:
    def __init__(
        self, routes: Iterable[Route], limits: HttpLimits, clock: Clock, *, instance: str | None = None
    ) -> None:
        self.router = Router(routes)
        self.limits = limits
        self.clock = clock
        self.proxies = Proxies(limits.trusted_proxies)
        self.writer = ResponseWriter(clock.wall_ms)
        self.heads = Heads()
        self.connections: set[Connection] = set()
        self.draining = False
        self.accepted = 0
        self.refused = 0  # connections over the bound of their address
        self.timed_out = 0
        self.answers: dict[tuple[str, int], int] = {}  # (route template, status) -> responses
        self._by_address: Counter[str] = Counter()
        self._body_octets = 0
        self._room = trio.CapacityLimiter(limits.connections_max)
        self._sweeping = False
        self._ids = count(1)
        self._instance = f"req_{instance or secrets.token_hex(6)}".encode()

    # -- for connections --------------------------------------------------------------------------

    def admit(self, request: Request) -> Response | None:
        """Route a request and let the route judge its head."""
        refusal = self.router.find(request)
        if refusal is None and request.route is not None and request.route.admit is not None:
            return request.route.admit(request)
        return refusal

    def reserve(self, octets: int) -> bool:
        if self._body_octets + octets > self.limits.body_octets_total_max:
            return False
        self._body_octets += octets
        return True

    def release(self, octets: int) -> None:
        self._body_octets -= octets

    def next_id(self) -> bytes:
        return b"%b_%x" % (self._instance, next(self._ids))

    def count(self, route: Route | None, status: int) -> None:
        key = (route.template if route is not None else NO_ROUTE, status)
        self.answers[key] = self.answers.get(key, 0) + 1

    # -- serving ----------------------------------------------------------------------------------

    async def serve(
        self, listeners: Listeners, nursery: trio.Nursery, tls: ssl.SSLContext | None = None
    ) -> None:
        """Accept until cancelled; connections live in `nursery` and outlast their listeners."""
        if not self._sweeping:
            self._sweeping = True
            nursery.start_soon(self._sweep)
        async with trio.open_nursery() as accepting:
            for listener in listeners:
                accepting.start_soon(self._accept, listener, nursery, tls)

    async def _accept(
        self,
        listener: trio.abc.Listener[trio.abc.Stream],
        nursery: trio.Nursery,
        tls: ssl.SSLContext | None,
    ) -> None:
        """More connections than the bound wait in the kernel's listen queue. Closes the listener at the end."""
        async with listener:
            while True:
                token = object()
                await self._room.acquire_on_behalf_of(token)
                try:
                    stream = await listener.accept()
                except BaseException as error:
                    self._room.release_on_behalf_of(token)
                    if isinstance(error, OSError) and error.errno in _FULL:
                        log.error("cannot accept", because=error.strerror, pausing_s=FULL_PAUSE_S)
                        await trio.sleep(FULL_PAUSE_S)
                        continue
                    raise
                nursery.start_soon(self._contain, stream, tls, token)

    async def _contain(self, stream: trio.abc.Stream, tls: ssl.SSLContext | None, token: object) -> None:
        """One connection; whatever goes wrong in it ends it alone."""
        address = address_of(stream)
        self._by_address[address] += 1
        try:
            if (
                self._by_address[address] > self.limits.connections_per_address_max
                and not self.proxies.trusts(address)
            ) or self.draining:
                self.refused += 1
                return
            if tls is not None:
                secured = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
                with trio.move_on_after(HANDSHAKE_S) as scope:
                    await secured.do_handshake()
                if scope.cancelled_caught:
                    return
                stream = secured
            self.accepted += 1
            connection = Connection(self, stream, address)
            self.connections.add(connection)
            try:
                await connection.run()
            finally:
                self.connections.discard(connection)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it broke in the handshake
        except Exception:
            log.exception("a connection failed; the others go on", peer=address)
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
            self._room.release_on_behalf_of(token)
            await trio.aclose_forcefully(stream)

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_S)
            now = self.clock.now()
            for connection in [c for c in self.connections if c.deadline <= now]:
                self.timed_out += 1
                connection.expire()

    async def leave(self, wait_s: float) -> None:
        """End politely: idle connections close, what is being answered is answered, at most `wait_s`."""
        self.draining = True
        for connection in [c for c in self.connections if c.idle]:
            connection.scope.cancel()
        deadline = self.clock.now() + wait_s
        # Connections end one by one, each in its own task; nothing needs to hear of it sooner.
        while self.connections and self.clock.now() < deadline:  # noqa: ASYNC110
            await trio.sleep(0.02)
        for connection in list(self.connections):
            connection.scope.cancel()


def address_of(stream: trio.abc.Stream) -> str:
    """The peer's address, "" where there is none (memory streams)."""
    socket = getattr(stream, "socket", None)
    if socket is None:
        return ""
    try:
        name = socket.getpeername()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""
