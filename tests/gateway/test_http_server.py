"""The HTTP server's laws: order, bounds, times, containment."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import CapturingLogger

from gateway.http.connection import Connection
from gateway.http.limits import HttpLimits, Proxies
from gateway.http.messages import BodyBroken, Later, Request, Response, Takeover
from gateway.http.routes import Route, Router
from gateway.http.server import HttpServer
from tests.gateway.http_client import Client, FixedClock, request, serving


def echo(request: Request) -> Response:
    return Response(200, request.body or request.target)


async def slow(request: Request) -> Response:
    await trio.sleep(1)
    return Response(200, b"slow " + request.target)


def fails(request: Request) -> Response:
    raise RuntimeError("a secret that must not be told")


def by_id(request: Request) -> Response:
    return Response(200, request.params["id"].encode())


ROUTES = [
    Route("GET", "/echo", echo),
    Route("POST", "/echo", echo),
    Route("GET", "/slow", slow),
    Route("GET", "/fails", fails),
    Route("GET", "/things/{id}", by_id),
    Route("DELETE", "/things/{id}", by_id),
]


async def test_requests_of_one_connection_are_answered_in_turn() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        first = await client.ask("GET", "/echo?n=1")
        second = await client.ask("POST", "/echo", b"two")
        assert (first.status, first.body) == (200, b"/echo?n=1")
        assert (second.status, second.body) == (200, b"two")
        assert first.headers["date"] == "Sun, 22 Nov 2026 12:00:00 GMT"
        assert first.headers["x-content-type-options"] == "nosniff"


async def test_pipelined_requests_are_answered_in_order(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(b"".join(request("GET", path) for path in ("/echo?1", "/slow", "/echo?2")))
        assert [(await client.reply()).body for _ in range(3)] == [b"/echo?1", b"slow /slow", b"/echo?2"]


async def test_any_cut_of_the_octets_reads_the_same() -> None:
    data = (
        request("POST", "/echo", b"body")
        + b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        + request("GET", "/things/%E4%BD%A0")
    )
    expected = [b"body", b"abcde", "你".encode()]
    async with serving(ROUTES) as bench:
        for cut in range(1, len(data)):
            client = await bench.connect()
            await client.send(data[:cut])
            await trio.testing.wait_all_tasks_blocked()
            await client.send(data[cut:])
            assert [(await client.reply()).body for _ in range(3)] == expected, cut
            await client.stream.aclose()
        client = await bench.connect()
        for octet in data:
            await client.send(bytes([octet]))
        assert [(await client.reply()).body for _ in range(3)] == expected


async def test_requests_that_wait_together_are_answered_together() -> None:
    waiting: list[Later] = []

    def later(request: Request) -> Later:
        waiting.append(Later())
        return waiting[-1]

    async with serving([Route("POST", "/m", later), *ROUTES]) as bench:
        client, other = await bench.connect(), await bench.connect()
        await client.send(request("POST", "/m", b"1") * 3 + request("GET", "/echo?4"))
        await other.send(request("POST", "/m", b"1"))
        await trio.testing.wait_all_tasks_blocked()
        assert len(waiting) == 4
        for number, one in reversed(list(enumerate(waiting))):
            one.resolve(Response(202, b"%d" % number))
        bodies = [(await client.reply()).body for _ in range(4)]
        assert sorted([*bodies[:3], (await other.reply()).body]) == [b"0", b"1", b"2", b"3"]
        assert bodies[:3] == sorted(bodies[:3])
        assert bodies[3] == b"/echo?4"


async def test_head_is_get_without_the_body() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(request("HEAD", "/echo?x") + request("GET", "/echo", Connection="close"))
        raw = await client.until_closed()
        head, _, rest = raw.partition(b"\r\n\r\n")
        assert b"content-length: 7" in head
        assert rest.startswith(b"HTTP/1.1 200 OK")


async def test_unknown_paths_and_methods_say_what_there_is() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        missing = await client.ask("GET", "/nowhere", X_Request_Id="abc-1")
        assert missing.status == 404
        assert missing.headers["content-type"] == "application/problem+json"
        assert missing.json["code"] == "not-found"
        assert missing.json["request_id"] == "abc-1"
        wrong = await client.ask("PUT", "/echo", b"x")
        assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
        options = await client.ask("OPTIONS", "/things/1")
        assert (options.status, options.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
        assert (await client.ask("OPTIONS", "*")).status == 204
        assert (await client.ask("GET", "/things/")).status == 404
        assert (await client.ask("GET", "http://test/echo?q")).body == b"http://test/echo?q"
        assert bench.server.answers[("(none)", 404)] == 2


async def test_two_routes_for_one_operation_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two routes"):
        Router([*ROUTES, Route("GET", "/echo", echo)])


async def test_request_id_is_echoed_when_harmless_and_made_otherwise() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        assert (await client.ask("GET", "/echo", X_Request_Id="ord-99.1")).headers[
            "x-request-id"
        ] == "ord-99.1"
        for harmful in ("<script>", "x" * 129):
            made = (await client.ask("GET", "/echo", X_Request_Id=harmful)).headers["x-request-id"]
            assert made.startswith("req_test_")


async def test_a_failing_handler_costs_only_its_own_request(monkeypatch: pytest.MonkeyPatch) -> None:
    log = CapturingLogger()
    monkeypatch.setattr("gateway.http.connection.log", log)
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(
            request("GET", "/fails", Authorization="Bearer gw_live_never-in-a-log") + request("GET", "/echo")
        )
        failed, fine = await client.reply(), await client.reply()
        assert (failed.status, failed.json["code"], fine.status) == (500, "internal", 200)
        assert b"a secret" not in failed.body
        logged = repr(log.calls)
        assert "a request failed" in logged
        assert "gw_live_never-in-a-log" not in logged


async def test_a_line_break_cannot_get_into_a_response_head() -> None:
    def split(request: Request) -> Response:
        return Response(200, b"", headers=[(b"x-a", b"1\r\nset-cookie: evil")])

    async with serving([Route("GET", "/split", split)]) as bench:
        client = await bench.connect()
        with pytest.RaisesGroup(ValueError):
            async with trio.open_nursery() as nursery:
                bench._nursery = nursery
                client = await bench.connect()
                await client.send(request("GET", "/split"))
        assert b"set-cookie" not in client.raw


async def test_http_1_0_closes_unless_asked_to_stay() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.reply()).headers["connection"] == "keep-alive"
        await client.send(b"GET /echo HTTP/1.0\r\n\r\n")
        assert (await client.reply()).headers["connection"] == "close"
        await client.until_closed()


async def test_octets_behind_the_last_request_are_ignored() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(request("GET", "/echo", Connection="close") + request("GET", "/echo"))
        raw = await client.until_closed()
        assert raw.count(b"HTTP/1.1 200") == 1
        assert raw.count(b"HTTP/1.1") == 1


# -- bodies ---------------------------------------------------------------------------------------


async def test_continue_is_sent_when_the_client_waits_for_it() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(request("POST", "/echo", b"1234", Expect="100-continue")[:-4])
        await trio.testing.wait_all_tasks_blocked()
        assert await client.stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"1234")
        assert (await client.reply()).body == b"1234"


async def test_a_refused_body_is_never_asked_for() -> None:
    async with serving(ROUTES, body_octets_max=10) as bench:
        for head, status in (
            (b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 404),
            (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413),
            (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: magic\r\n\r\n", 417),
        ):
            client = await bench.connect()
            await client.send(head)
            reply = await client.reply()
            assert (reply.status, reply.headers["connection"]) == (status, "close")
            await client.stream.aclose()


async def test_a_body_of_unknown_length_is_cut_at_its_bound() -> None:
    async with serving(ROUTES, body_octets_max=10) as bench:
        client = await bench.connect()
        await client.send(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4\r\nabcd\r\n" * 3
        )
        reply = await client.reply()
        assert (reply.status, reply.json["code"]) == (413, "too-large")
        await client.stream.aclose()


async def test_bodies_of_all_connections_share_a_bound() -> None:
    async with serving(ROUTES, body_octets_total_max=100) as bench:
        holder, client = await bench.connect(), await bench.connect()
        await holder.send(request("POST", "/echo", b"x" * 80)[:-1])
        await trio.testing.wait_all_tasks_blocked()
        await client.send(request("POST", "/echo", b"x" * 80))
        assert (await client.reply()).status == 503
        await client.stream.aclose()
        await holder.send(b"x")
        assert (await holder.reply()).body == b"x" * 80
        await holder.ask("GET", "/echo")
        assert bench.server._body_octets == 0


async def test_the_body_of_a_refused_request_is_skipped() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(
            request("POST", "/nowhere", b"GET /echo HTTP/1.1\r\n\r\n") + request("GET", "/echo")
        )
        assert [(await client.reply()).status for _ in range(2)] == [404, 200]
        assert bench.server._body_octets == 0


async def test_a_streamed_body_arrives_piece_by_piece_and_the_next_request_is_kept_apart() -> None:
    sizes: list[int] = []

    async def count(request: Request) -> Response:
        while piece := await request.stream.receive():
            sizes.append(len(piece))
        return Response(200, b"%d" % sum(sizes))

    async with serving(
        [Route("POST", "/s", count, streams_body=True, body_octets_max=10**9), *ROUTES]
    ) as bench:
        client = await bench.connect()
        await client.send(request("POST", "/s", b"x" * 10) + request("GET", "/echo"))
        assert [(await client.reply()).body for _ in range(2)] == [b"10", b"/echo"]
        sizes.clear()
        await client.send(
            b"POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        )
        assert await client.stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        for _ in range(40):
            await client.send(b"1000\r\n" + b"y" * 4096 + b"\r\n")
            await trio.testing.wait_all_tasks_blocked()
        await client.send(b"0\r\n\r\n" + request("GET", "/echo"))
        assert [(await client.reply()).body for _ in range(2)] == [b"163840", b"/echo"]
        assert sizes == [4096] * 40


async def test_a_streamed_body_that_breaks_is_answered_and_ends_the_connection() -> None:
    seen: list[str] = []

    async def read(request: Request) -> Response:
        try:
            while await request.stream.receive():
                pass
        except BodyBroken as broken:
            seen.append(broken.detail)
            raise
        return Response(200)

    async with serving([Route("POST", "/s", read, streams_body=True)]) as bench:
        client = await bench.connect()
        await client.send(b"POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await trio.testing.wait_all_tasks_blocked()
        await client.send(b"zz\r\n")
        assert (await client.reply()).status == 400
        assert "chunk size" in seen[0]
        await client.stream.aclose()
        lost = await bench.connect()
        await lost.send(b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        await trio.testing.wait_all_tasks_blocked()
        await lost.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert not bench.server.connections


async def test_a_body_that_nobody_reads_ends_the_connection() -> None:
    def careless(request: Request) -> Response:
        return Response(200, b"done")

    async with serving([Route("POST", "/s", careless, streams_body=True)]) as bench:
        client = await bench.connect()
        await client.send(b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nab")
        reply = await client.reply()
        assert (reply.body, reply.headers["connection"]) == (b"done", "close")
        await client.stream.aclose()


async def test_a_streamed_response_is_chunked_or_ends_with_the_connection() -> None:
    async def pieces(request: Request):  # type: ignore[no-untyped-def]
        for piece in (b"one ", b"", b"two"):
            yield piece

    route = Route("GET", "/s", lambda request: Response(200, stream=pieces(request)))
    async with serving([route, *ROUTES]) as bench:
        client = await bench.connect()
        await client.send(request("GET", "/s") + request("GET", "/echo"))
        assert [(await client.reply()).body for _ in range(2)] == [b"one two", b"/echo"]
        old = await bench.connect()
        await old.send(b"GET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        raw = await old.until_closed()
        assert raw.endswith(b"\r\n\r\none two")
        assert b"chunked" not in raw


# -- bounds and times -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 3000 + b"\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000,
        b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"a" * 200_000,
    ],
)
async def test_a_head_has_a_bound(head: bytes) -> None:
    async with serving(ROUTES, header_octets_max=2048) as bench:
        client = await bench.connect()
        await client.send(head[:60_000])
        await client.send(head[60_000:120_000])
        await client.send(head[120_000:])
        reply = await client.reply()
        assert (reply.status, reply.json["code"]) == (431, "header-too-large")
        await client.stream.aclose()


async def test_chunk_extensions_have_a_bound() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        async with trio.open_nursery() as nursery:

            async def flood() -> None:
                for _ in range(20):
                    await client.send(b"a" * 20_000)

            nursery.start_soon(flood)
            assert (await client.reply()).status == 400
            nursery.cancel_scope.cancel()
        await client.stream.aclose()


async def test_an_idle_connection_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(ROUTES, keep_alive_s=75.0) as bench:
        client = await bench.connect()
        await client.ask("GET", "/echo")
        before = trio.current_time()
        await client.send(b"\r\n")  # octets between requests are no request
        assert await client.until_closed()
        assert 75.0 <= trio.current_time() - before <= 77.0


@pytest.mark.parametrize(
    ("head_s", "pause_s", "cut_s"),
    [(10.0, 0.5, 10.0), (10.0, 31.0, 10.0), (60.0, 2.0, 60.0), (10.0, 0.01, 30.0)],
    ids=["the head", "the first octet", "a head that may take long", "the body"],
)
async def test_a_request_that_dribbles_is_cut_off(
    head_s: float, pause_s: float, cut_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(ROUTES, header_timeout_s=head_s, request_timeout_s=30.0) as bench:
        client = await bench.connect()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def dribble() -> None:
                for octet in request("POST", "/echo", b"x" * 6000):
                    await client.send(bytes([octet]))
                    await trio.sleep(pause_s)

            nursery.start_soon(dribble)
            reply = await client.reply()
            nursery.cancel_scope.cancel()
        assert (reply.status, reply.json["code"]) == (408, "request-timeout")
        assert cut_s - 0.5 <= trio.current_time() - began <= cut_s + 1.0
        assert f"after {cut_s:g} s" in reply.json["detail"]
        await client.stream.aclose()


async def test_a_connection_that_says_nothing_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(ROUTES, header_timeout_s=10.0) as bench:
        client = await bench.connect()
        assert await client.until_closed() == b""
        assert 10.0 <= trio.current_time() <= 11.0


async def test_a_streamed_body_must_keep_a_pace(autojump_clock: trio.testing.MockClock) -> None:
    async def read(request: Request) -> Response:
        while await request.stream.receive():
            pass
        return Response(200, b"all")

    async with serving(
        [Route("POST", "/s", read, streams_body=True, body_octets_max=10**9)], request_timeout_s=30.0
    ) as bench:
        quick, slow = await bench.connect(), await bench.connect()
        head = b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
        await quick.send(head)
        await slow.send(head)
        for _ in range(100):
            await trio.sleep(1)
            await quick.send(b"x" * 2000)
        assert (await quick.reply()).body == b"all"
        assert (await slow.reply()).status == 408
        await slow.stream.aclose()


async def test_a_client_that_takes_nothing_is_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    def large(request: Request) -> Response:
        return Response(200, b"x" * 3_000_000)

    async with serving([Route("GET", "/large", large)], write_timeout_s=30.0) as bench:
        ours, theirs = trio.testing.lockstep_stream_pair()
        client = Client(ours)
        connection = Connection(bench.server, theirs, "")
        bench.server.connections.add(connection)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            await client.send(request("GET", "/large"))
        assert 30.0 <= trio.current_time() <= 32.0
        assert bench.server.timed_out == 1


async def test_draining_answers_what_has_begun_and_closes_what_is_idle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(ROUTES) as bench:
        idle, busy, fresh = [await bench.connect() for _ in range(3)]
        await idle.ask("GET", "/echo")
        await busy.send(request("GET", "/slow"))
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await bench.server.leave(5.0)
        assert trio.current_time() - began < 3.0  # the answer, and a second to read it
        reply = await busy.reply()
        assert (reply.body, reply.headers["connection"]) == (b"slow /slow", "close")
        await idle.until_closed()
        await fresh.until_closed()
        assert not bench.server.connections


async def test_draining_ends_what_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    async def endless(request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    async with serving([Route("GET", "/endless", endless)]) as bench:
        client = await bench.connect()
        await client.send(request("GET", "/endless"))
        await trio.testing.wait_all_tasks_blocked()
        await bench.server.leave(5.0)
        await client.until_closed()


# -- other protocols, proxies, sockets ------------------------------------------------------------

WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket"}


async def test_a_route_may_take_the_connection_over() -> None:
    async def shout(stream: trio.abc.Stream, behind: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + behind.upper())
        await stream.send_all((await stream.receive_some(100)).upper())

    def upgrade(request: Request) -> Takeover | Response:
        return Takeover(shout) if request.upgrade else Response(426)

    async with serving([Route("GET", "/stream", upgrade), *ROUTES]) as bench:
        client = await bench.connect()
        await client.send(request("GET", "/echo") + request("GET", "/stream", **WEBSOCKET) + b"hello ")
        await trio.testing.wait_all_tasks_blocked()
        await client.send(b"there")
        raw = await client.until_closed()
        assert raw.endswith(b"HTTP/1.1 101 Switching Protocols\r\n\r\nHELLO THERE")
        plain = await bench.connect()
        assert (await plain.ask("GET", "/stream")).status == 426


async def test_an_offer_that_nobody_takes_is_ignored() -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        offer = request("GET", "/echo?1", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c")
        await client.send(offer + request("GET", "/echo?2"))
        assert [(await client.reply()).body for _ in range(2)] == [b"/echo?1", b"/echo?2"]
        assert (await client.ask("GET", "/echo?3")).body == b"/echo?3"
        smuggled = request("POST", "/echo", b"GET /echo HTTP/1.1\r\n\r\n", **WEBSOCKET)
        await client.send(smuggled)
        assert (await client.reply()).status == 400
        await client.stream.aclose()


async def test_forwarded_addresses_are_believed_from_proxies_only() -> None:
    proxies = Proxies(("10.0.0.0/8", "2001:db8::/32"))
    assert proxies.client("192.0.2.1", b"198.51.100.9") == "192.0.2.1"
    assert proxies.client("10.1.1.1", None) == "10.1.1.1"
    assert proxies.client("10.1.1.1", b"203.0.113.5, 198.51.100.9, 10.2.2.2") == "198.51.100.9"
    assert proxies.client("2001:db8::1", b" 198.51.100.9 ") == "198.51.100.9"
    assert proxies.client("10.1.1.1", b"10.3.3.3") == "10.1.1.1"
    assert proxies.client("10.1.1.1", b"198.51.100.9, rubbish") == "10.1.1.1"
    peers: list[str] = []

    def note(request: Request) -> Response:
        peers.append(request.peer)
        return Response(200)

    async with serving([Route("GET", "/p", note)], trusted_proxies=("10.0.0.0/8",)) as bench:
        client = await bench.connect("10.0.0.1")
        await client.ask("GET", "/p", X_Forwarded_For="198.51.100.9")
        stranger = await bench.connect("192.0.2.1")
        await stranger.ask("GET", "/p", X_Forwarded_For="198.51.100.9")
    assert peers == ["198.51.100.9", "192.0.2.1"]


async def test_connections_over_the_bound_wait_and_addresses_have_their_own() -> None:
    server = HttpServer(ROUTES, HttpLimits(connections_max=2, connections_per_address_max=2), FixedClock())
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(server.serve, listeners, nursery)
        port = listeners[0].socket.getsockname()[1]
        clients = [Client(await trio.open_tcp_stream("127.0.0.1", port)) for _ in range(3)]
        for client in clients:
            await client.send(request("GET", "/echo"))
        assert (await clients[0].reply()).status == (await clients[1].reply()).status == 200
        with trio.move_on_after(0.05) as scope:
            await clients[2].reply()
        assert scope.cancelled_caught
        await clients[0].stream.aclose()
        assert (await clients[2].reply()).status == 200
        server.limits = HttpLimits(connections_per_address_max=1)
        await clients[1].stream.aclose()
        one_more = Client(await trio.open_tcp_stream("127.0.0.1", port))
        assert await one_more.until_closed() == b""
        assert server.refused == 1
        for client in (*clients, one_more):
            await client.stream.aclose()
        nursery.cancel_scope.cancel()


async def test_large_answers_pass_a_real_socket() -> None:
    body = bytes(range(256)) * 40_000

    def large(request: Request) -> Response:
        return Response(200, body)

    server = HttpServer([Route("GET", "/large", large)], HttpLimits(), FixedClock())
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(server.serve, listeners, nursery)
        client = Client(await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]))
        await client.send(request("GET", "/large") * 2)
        assert [(await client.reply()).body == body for _ in range(2)] == [True, True]
        await client.stream.aclose()
        nursery.cancel_scope.cancel()


async def test_tls_is_spoken_where_a_context_is_given(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    client_context = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    server = HttpServer(ROUTES, HttpLimits(), FixedClock())
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(server.serve, listeners, nursery, context)
        port = listeners[0].socket.getsockname()[1]
        plain = Client(await trio.open_tcp_stream("127.0.0.1", port))
        await plain.send(request("GET", "/echo"))
        assert b"HTTP" not in await plain.until_closed()
        await plain.stream.aclose()
        stream = await trio.open_ssl_over_tcp_stream(
            "localhost", port, ssl_context=client_context, https_compatible=True
        )
        client = Client(stream)
        assert (await client.ask("POST", "/echo", b"secret")).body == b"secret"
        await stream.aclose()
        nursery.cancel_scope.cancel()


def certificate(folder: Path) -> Path:
    """A PEM file with a key and a certificate of `localhost` that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
