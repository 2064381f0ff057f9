"""Answers that come by themselves, while their connection already waits for the next request: on real sockets."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gateway.http.limits import HttpLimits
from gateway.http.messages import Later, Request, Response
from gateway.http.routes import Route
from gateway.http.server import HttpServer
from tests.gateway.http_client import Client, FixedClock, request

POST = request("POST", "/m", b"1")


class World:
    def __init__(self, server: HttpServer, port: int, waiting: list[Later]) -> None:
        self.server = server
        self.port = port
        self.waiting = waiting
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        self.clients.append(Client(await trio.open_tcp_stream("127.0.0.1", self.port)))
        return self.clients[-1]

    async def waits_for(self, count: int) -> None:
        """Until so many requests wait for their answer."""
        with trio.fail_after(5):
            while len(self.waiting) < count:
                await trio.sleep(0.001)
        await trio.sleep(0.005)


@asynccontextmanager
async def serving(**limits: float) -> AsyncIterator[World]:
    waiting: list[Later] = []

    def later(request: Request) -> Later:
        waiting.append(Later())
        return waiting[-1]

    def echo(request: Request) -> Response:
        return Response(200, request.body)

    routes = [Route("POST", "/m", later), Route("POST", "/echo", echo)]
    server = HttpServer(routes, HttpLimits(**limits), FixedClock())  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(server.serve, listeners, nursery)
        world = World(server, listeners[0].socket.getsockname()[1], waiting)
        yield world
        for client in world.clients:
            await trio.aclose_forcefully(client.stream)
        nursery.cancel_scope.cancel()


async def test_the_answer_goes_out_in_the_turn_in_which_it_is_there() -> None:
    async with serving() as world:
        client = await world.connect()
        for number in range(3):
            await client.send(POST)
            await world.waits_for(number + 1)
            world.waiting[number].resolve(Response(202, b"%d" % number))
            raw = client.stream.socket.recv  # type: ignore[attr-defined]
            assert (await raw(65_536, socket.MSG_PEEK)).endswith(b"\r\n\r\n%d" % number)
            assert (await client.reply()).body == b"%d" % number
        assert world.server.answers[("/m", 202)] == 3


async def test_what_is_asked_meanwhile_is_answered_behind_it() -> None:
    async with serving() as world:
        client = await world.connect()
        await client.send(POST)
        await world.waits_for(1)
        await client.send(request("POST", "/echo", b"second") + POST)
        await trio.sleep(0.02)
        assert len(world.waiting) == 1
        world.waiting[0].resolve(Response(202, b"first"))
        await world.waits_for(2)
        world.waiting[1].resolve(Response(202, b"third"))
        assert [(await client.reply()).body for _ in range(3)] == [b"first", b"second", b"third"]


async def test_nobody_is_asked_to_continue_before_the_answer_that_is_owed() -> None:
    async with serving() as world:
        client = await world.connect()
        await client.send(POST)
        await world.waits_for(1)
        head, _, body = request("POST", "/echo", b"second", Expect="100-continue").partition(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n")
        await trio.sleep(0.02)
        world.waiting[0].resolve(Response(202, b"first"))
        first = await client.reply()
        assert (first.status, first.body) == (202, b"first")
        await client.send(body)
        assert (await client.reply()).status == 100
        assert (await client.reply()).body == b"second"


async def test_a_client_that_has_nothing_more_to_say_still_gets_its_answer() -> None:
    async with serving() as world:
        client = await world.connect()
        await client.send(POST)
        await client.stream.send_eof()  # type: ignore[attr-defined]
        await world.waits_for(1)
        world.waiting[0].resolve(Response(202, b"done"))
        assert (await client.reply()).body == b"done"
        await client.until_closed()


async def test_one_that_is_gone_harms_nobody() -> None:
    async with serving() as world:
        client, other = await world.connect(), await world.connect()
        await client.send(POST)
        await other.send(POST)
        await world.waits_for(2)
        linger = b"\1\0\0\0\0\0\0\0"  # close with a reset
        client.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # type: ignore[attr-defined]
        await client.stream.aclose()
        await trio.sleep(0.02)
        for one in world.waiting:
            one.resolve(Response(202, b"ok"))
        assert (await other.reply()).body == b"ok"


async def test_an_answer_for_which_the_kernel_has_no_room_arrives_whole() -> None:
    body = bytes(range(256)) * 40_000
    async with serving() as world:
        client = await world.connect()
        await client.send(POST)
        await world.waits_for(1)
        world.waiting[0].resolve(Response(202, body))
        await trio.sleep(0.02)
        await client.send(request("POST", "/echo", b"next"))
        assert (await client.reply()).body == body
        assert (await client.reply()).body == b"next"


@pytest.mark.parametrize("draining", [False, True])
async def test_an_answer_that_ends_the_connection_says_so_and_does(draining: bool) -> None:
    async with serving() as world:
        client = await world.connect()
        await client.send(POST)
        await world.waits_for(1)
        world.server.draining = draining
        world.waiting[0].resolve(Response(503, b"no", close=not draining))
        reply = await client.reply()
        assert (reply.status, reply.body, reply.headers["connection"]) == (503, b"no", "close")
        await client.until_closed()


async def test_leaving_waits_for_what_is_owed() -> None:
    async with serving() as world:
        client, idle = await world.connect(), await world.connect()
        await idle.send(request("POST", "/echo", b"x"))
        await idle.reply()
        await client.send(POST)
        await world.waits_for(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.server.leave, 5.0)
            await idle.until_closed()
            world.waiting[0].resolve(Response(202, b"owed"))
            assert (await client.reply()).body == b"owed"
        await client.until_closed()


async def test_who_is_owed_an_answer_is_not_timed_out() -> None:
    async with serving(keep_alive_s=0.05, header_timeout_s=0.05, request_timeout_s=0.05) as world:
        client = await world.connect()
        await client.send(POST)
        await world.waits_for(1)
        await client.send(POST[:20])
        await trio.sleep(0.7)  # a sweep comes twice a second
        world.waiting[0].resolve(Response(202, b"late"))
        assert (await client.reply()).body == b"late"
        slow = await client.reply()
        assert slow.status == 408
        await client.until_closed()


async def test_memory_of_bodies_is_given_back() -> None:
    async with serving() as world:
        client = await world.connect()
        for number in range(3):
            await client.send(request("POST", "/m", b"x" * 1000))
            await world.waits_for(number + 1)
            assert world.server._body_octets == 1000
            world.waiting[number].resolve(Response(202))
            await client.reply()
            assert world.server._body_octets == 0
