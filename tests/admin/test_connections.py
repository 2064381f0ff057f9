"""How much one address holds of the console, and how long a slow client."""

from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from admin.connections import (
    BODY_S,
    OCTETS_PER_S_MIN,
    WRITE_S,
    BodyInTime,
    ConnectionLimits,
    Guarded,
    Places,
    holder_of,
)
from admin.serve import KEEP_ALIVE_S, serve_console
from tests.admin.world import World

LIMITS = ConnectionLimits(connections_max=5, connections_per_address_max=3)
GET = b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("address", "holder"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"),
     ("2001:db8::ffff:2", "2001:db8::/64"), ("fe80::1%eth0", "fe80::/64"), ("", "")],
)  # fmt: skip
def test_a_connection_counts_for_an_address_or_a_customer_s_network(address: str, holder: str) -> None:
    assert holder_of(address) == holder


def test_places_are_bounded_by_holder_and_in_all_and_come_back() -> None:
    places = Places(LIMITS)
    assert [places.take("a") for _ in range(4)] == [True, True, True, False]
    assert [places.take("b") for _ in range(3)] == [True, True, False]
    places.give_back("a")
    assert places.take("b")
    for holder in "aabbb":
        places.give_back(holder)
    assert places.all == 0
    assert [places.take("a") for _ in range(4)] == [True, True, True, False]


def test_a_trusted_proxy_stands_for_many_but_not_for_more_than_all() -> None:
    places = Places(ConnectionLimits(5, 3, ("10.0.0.0/8", "2001:db8::/32")))
    assert [places.take("10.1.2.3") for _ in range(6)] == [True] * 5 + [False]


async def answered(stream: trio.SocketStream) -> bool:
    """Whether a connection is served, or was closed at once."""
    try:
        await stream.send_all(GET)
        return bytes(await stream.receive_some(12)) == b"HTTP/1.1 200"
    except trio.BrokenResourceError:
        return False


async def test_more_connections_than_an_address_may_have_are_closed_and_the_places_come_back(
    console: World,
) -> None:
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(serve_console, console.app, "127.0.0.1:0", LIMITS)
        async with AsyncExitStack() as stack:
            opened = []
            for _ in range(4):
                stream = await trio.open_tcp_stream(host, port)
                await stack.enter_async_context(stream)
                opened.append(await answered(stream))
            assert opened == [True, True, True, False]
        with trio.fail_after(5):  # the server hears of the end a moment later
            while True:
                async with await trio.open_tcp_stream(host, port) as stream:
                    if await answered(stream):
                        break
        nursery.cancel_scope.cancel()


class Told:
    """An application that reads a body, and what it was told of it."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def __call__(
        self, scope: object, receive: Callable[[], object], send: Callable[[object], object]
    ) -> None:
        while True:
            message = await receive()  # type: ignore[misc]
            self.messages.append(message["type"])
            if message["type"] == "http.disconnect":
                break
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[misc]
        await send({"type": "http.response.body", "body": b"done"})  # type: ignore[misc]


async def body(pieces: list[tuple[float, int]]) -> tuple[list[str], int, float]:
    """Send pieces of (seconds before, octets); (what the application heard, status, seconds until the answer)."""
    told, statuses, left = Told(), [], list(pieces)

    async def receive() -> dict[str, object]:
        if not left:
            await trio.sleep_forever()
        pause_s, octets = left.pop(0)
        await trio.sleep(pause_s)
        return {"type": "http.request", "body": b"x" * octets, "more_body": bool(left) or octets == 1}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    began = trio.current_time()
    await BodyInTime(told)(
        {"type": "http", "path": "/x", "headers": [(b"content-length", b"9")]}, receive, send
    )  # type: ignore[arg-type]
    (status,) = statuses
    return told.messages, status, trio.current_time() - began  # type: ignore[return-value]


async def test_a_body_that_drips_ends_after_its_time_however_often_a_drop_falls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard, status, took_s = await body([(2.0, 1)] * 1000)
    assert heard[-1] == "http.disconnect"
    assert status == 408
    assert took_s == pytest.approx(BODY_S, abs=0.1)


async def test_a_large_body_on_a_slow_line_has_the_time_that_it_needs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    second = 2 * OCTETS_PER_S_MIN
    heard, status, took_s = await body([(1.0, second)] * 200)
    assert (status, took_s) == (200, 200.0)
    assert "http.disconnect" not in heard


@pytest.mark.parametrize(
    ("headers", "before_s"),
    [([(b"content-length", b"3")], 1.0), ([(b"content-length", b"0")], 99.0), ([], 99.0)],
)
async def test_who_sent_all_may_wait_for_as_long_as_the_answer_takes(
    headers: list[tuple[bytes, bytes]], before_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    heard: list[str] = []

    async def app(scope: object, receive: Callable[[], object], send: object) -> None:
        await trio.sleep(before_s)
        for _ in range(2):
            heard.append((await receive())["type"])  # type: ignore[misc, index]

    async def receive() -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        if heard:
            await trio.sleep(10_000)
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    await BodyInTime(app)({"type": "http", "path": "/", "headers": headers}, receive, None)  # type: ignore[arg-type]
    assert heard == ["http.request", "http.disconnect"]
    assert trio.current_time() >= 10_000


async def test_who_does_not_read_the_answer_loses_it_and_the_place(
    autojump_clock: trio.testing.MockClock,
) -> None:
    closed = []
    async with trio.open_nursery() as nursery:
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        client = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        stream = Guarded(await listener.accept(), lambda: closed.append(1))
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x" * 50_000_000)
        assert trio.current_time() - began == pytest.approx(WRITE_S + 50_000_000 / OCTETS_PER_S_MIN, abs=1)
        await stream.aclose()
        assert closed == [1]
        await client.aclose()
        await listener.aclose()
        nursery.cancel_scope.cancel()


async def test_a_slow_head_and_a_silent_connection_end_with_keep_alive(
    console: World, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(serve_console, console.app, "127.0.0.1:0")
        for drops in (b"", GET[:20]):
            async with await trio.open_tcp_stream(host, port) as stream:
                began = trio.current_time()
                for drop in drops:
                    await stream.send_all(bytes((drop,)))
                    await trio.sleep(1)
                with trio.fail_after(KEEP_ALIVE_S * 2):
                    assert await stream.receive_some() == b""
                assert trio.current_time() - began < KEEP_ALIVE_S + 2
        nursery.cancel_scope.cancel()
