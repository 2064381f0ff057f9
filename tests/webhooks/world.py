"""Endpoints without a daemon: a log in memory, receivers behind memory streams, time that only trio's clock makes."""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httptools
import msgspec
import trio
import trio.testing

from gateway.api.times import show_time
from gateway.events.log import Page
from gateway.events.shapes import STATUS, LoggedEvent, StatusData
from gateway.webhooks.addresses import Address, networks
from gateway.webhooks.client import Client, client_tls
from gateway.webhooks.endpoint import Endpoint, Outside
from gateway.webhooks.resolver import NoAddress
from gateway.webhooks.targets import UrlRules
from store.api_db import ApiStore
from store.directory import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
ACCOUNT = 7
TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
PUBLIC = "93.184.215.14"
TLS = client_tls()


def status_line(status: int, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}content-length: 0\r\n\r\n".encode()


class TrioClock:
    """trio's clock twice; the wall begins at the machine's time, so that signatures are fresh."""

    def __init__(self) -> None:
        self._began_ms = time.time_ns() // 1_000_000
        self._began = trio.current_time()

    def now(self) -> float:
        return trio.current_time()

    def wall_ms(self) -> int:
        return self._began_ms + round((trio.current_time() - self._began) * 1000)


class Posted(msgspec.Struct):
    """A request as a receiver sees it."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    address: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.json["data"]]


class Receiver:
    """Every server of the world: what it answers is up to `answer`, by default 204."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.posted: list[Posted] = []
        self.connected: list[tuple[str, int]] = []
        self.answer: Callable[[Posted], Awaitable[bytes]] = self.take
        self.refuses = False
        self.open = 0  # connections

    async def take(self, posted: Posted) -> bytes:
        return TAKEN

    def answers(self, *octets: bytes) -> None:
        """One after the other; the last one for ever."""
        left = list(octets)

        async def answer(posted: Posted) -> bytes:
            return left.pop(0) if len(left) > 1 else left[0]

        self.answer = answer

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        self.connected.append((host, port))
        if self.refuses:
            raise ConnectionRefusedError("refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.serve, theirs, host)
        return ours

    async def serve(self, stream: trio.abc.Stream, address: str) -> None:
        reading = _Reading(address)
        self.open += 1
        async with stream, AsyncExitStack() as closing:
            closing.callback(self._closed)
            with trio.move_on_after(1e9):
                try:
                    while data := bytes(await stream.receive_some(65_536)):
                        reading.parser.feed_data(data)
                        while reading.whole:
                            posted = reading.whole.pop(0)
                            self.posted.append(posted)
                            answer = await self.answer(posted)
                            await stream.send_all(answer)
                            if b"connection: close" in answer or not answer:
                                return
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return

    def _closed(self) -> None:
        self.open -= 1

    def seqs(self) -> list[int]:
        """Of all events that came, in the order in which they came."""
        return [seq for posted in self.posted for seq in posted.seqs]


class _Reading:
    def __init__(self, address: str) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.whole: list[Posted] = []
        self._address = address

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode()] = value.decode()

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        self.whole.append(Posted(self._url, self._headers, self._body, trio.current_time(), self._address))


class FakeLog:
    """An account's log in memory, with the reading side of `EventLog`."""

    def __init__(self, clock: TrioClock) -> None:
        self._clock = clock
        self.events: list[LoggedEvent] = []
        self._changed = trio.Event()
        self.readings = 0

    @property
    def head(self) -> int:
        return self.events[-1].seq if self.events else 0

    def changed(self, account: int) -> trio.Event:
        return self._changed

    def add(self, count: int = 1, kind: str = STATUS, **fields: Any) -> None:
        for _ in range(count):
            seq = self.head + 3
            at = show_time(self._clock.wall_ms())
            data = StatusData(f"msg_{seq}", "delivered", True, at, "8613800138000", "1069", 1, **fields)
            self.events.append(LoggedEvent(f"evt_{seq}", seq, kind, at, data))
        self._changed.set()
        self._changed = trio.Event()

    async def page(self, account: int, after: int, limit: int) -> Page:
        assert account == ACCOUNT
        await trio.lowlevel.checkpoint()
        self.readings += 1
        found = [event for event in self.events if event.seq > after][:limit]
        whole = len(found) < limit
        return Page(found, max(after, self.head) if whole else found[-1].seq)


class World:
    """One account's endpoints."""

    def __init__(self, nursery: trio.Nursery, store: ApiStore, rules: UrlRules) -> None:
        self.nursery = nursery
        self.store = store
        self.clock = TrioClock()
        self.log = FakeLog(self.clock)
        self.receiver = Receiver(nursery)
        self.gone: list[int] = []
        self.names: dict[str, list[list[Address]]] = {}
        self.rules = rules
        self.outside = Outside(
            self.log,  # type: ignore[arg-type]
            self.clock,
            random.Random(1),
            rules,
            15.0,
            self.client,
            self._call,
            self._call,
            self._gone,
        )

    def client(self, account: int = ACCOUNT) -> Client:
        return Client(account, self.rules, TLS, self.resolve, self.receiver.connect, self.clock)

    async def resolve(self, name: str, account: int) -> list[Address]:
        """The next of `names`, the last for ever; a public address for all other names."""
        try:
            return [ip_address(name)]
        except ValueError:
            pass
        answers = self.names.get(name)
        if answers is None:
            return [ip_address(PUBLIC)]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if not found:
            raise NoAddress(f"{name} has no address.")
        return found

    async def _call(self, call: Callable[[ApiStore], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        return call(self.store)

    async def _gone(self, webhook: Webhook) -> None:
        self.gone.append(webhook.id)

    @asynccontextmanager
    async def running(self, webhook: Webhook, position: int = 0) -> AsyncIterator[Endpoint]:
        """An endpoint at work."""
        endpoint = Endpoint(webhook, self.outside, position)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(endpoint.run)
            yield endpoint
            nursery.cancel_scope.cancel()


def hook(url: str = "http://a.example/sms", **fields: Any) -> Webhook:
    return Webhook(id=3, account=ACCOUNT, name="crm", url=url, secrets=(SECRET,), **fields)


@asynccontextmanager
async def world(
    directory: Path, *, private: Sequence[str] = (), ports: Sequence[int] = (80, 443)
) -> AsyncIterator[World]:
    with ApiStore.open(directory) as store:
        async with trio.open_nursery() as nursery:
            yield World(nursery, store, UrlRules(networks(private), tuple(ports)))
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], most_s: float = 400_000) -> None:
    """Let time pass until something is so, looking ever more rarely."""
    step_s = 0.05
    with trio.fail_after(most_s):
        while not condition():
            await trio.sleep(step_s)
            step_s = min(step_s * 1.02, 60)
