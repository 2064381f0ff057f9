"""A small HTTP client for tests, on any trio stream, and a server behind memory streams."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httptools
import msgspec
import trio
import trio.testing

from gateway.http.connection import Connection
from gateway.http.limits import HttpLimits
from gateway.http.routes import Route
from gateway.http.server import HttpServer


class FixedClock:
    """trio's clock; the wall stands still at 2026-11-22 12:00:00 UTC unless moved."""

    def __init__(self) -> None:
        self.wall = 1_795_348_800_000

    def now(self) -> float:
        return trio.current_time()

    def wall_ms(self) -> int:
        return self.wall


class Reply(msgspec.Struct):
    status: int = 0
    headers: dict[str, str] = {}
    body: bytes = b""
    whole: bool = False

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client:
    """Reads replies in order. `ended` is set once the server closed."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.replies: list[Reply] = []
        self.ended = False
        self.raw = bytearray()
        self._parser = httptools.HttpResponseParser(self)
        self._current = Reply()

    def on_message_begin(self) -> None:
        self._current = Reply()
        self._pieces: list[bytes] = []
        self.replies.append(self._current)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._current.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self._current.status = self._parser.get_status_code()

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self._current.body = b"".join(self._pieces)
        self._current.whole = True

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def reply(self) -> Reply:
        """The next reply, as far as it came before the server closed."""
        while not (self.replies and self.replies[0].whole) and not self.ended:
            data = await self.stream.receive_some(65_536)
            self.raw += data
            if data:
                self._parser.feed_data(data)
            else:
                self.ended = True
        return self.replies.pop(0)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request and its reply. `body`: bytes, or a value for JSON. Underscores in names are dashes."""
        await self.send(request(method, path, body, **headers))
        return await self.reply()

    async def until_closed(self) -> bytes:
        """Everything until the server closes; the raw octets of the whole connection."""
        while not self.ended:
            try:
                data = await self.stream.receive_some(65_536)
            except trio.BrokenResourceError:
                data = b""
            self.raw += data
            self.ended = not data
        return bytes(self.raw)


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: test"]
    octets = b""
    if body is not None:
        octets = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers.setdefault("Content_Type", "application/json")
        lines.append(f"Content-Length: {len(octets)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + octets


class Bench:
    """A server whose connections are memory streams."""

    def __init__(self, server: HttpServer, nursery: trio.Nursery) -> None:
        self.server = server
        self._nursery = nursery

    async def connect(self, address: str = "192.0.2.7") -> Client:
        ours, theirs = trio.testing.memory_stream_pair()
        connection = Connection(self.server, theirs, address)

        async def run() -> None:
            self.server.connections.add(connection)
            try:
                await connection.run()
            finally:
                self.server.connections.discard(connection)
                await trio.aclose_forcefully(theirs)

        self._nursery.start_soon(run)
        return Client(ours)


@asynccontextmanager
async def serving(routes: Iterable[Route], *, clock: Any = None, **limits: Any) -> AsyncIterator[Bench]:
    server = HttpServer(routes, HttpLimits(**limits), clock or FixedClock(), instance="test")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server._sweep)
        yield Bench(server, nursery)
        nursery.cancel_scope.cancel()
