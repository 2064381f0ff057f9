"""kill -9 again and again under load, with a webhook, a WebSocket and a pull reader: all hear everything, in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio
from websockets.exceptions import InvalidHandshake

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from tests.api.test_api_webhooks import receiving
from tests.api.world import DOCUMENT, KEY, Api
from tests.e2e.processes import Gateway, gateway_process
from tests.gateway.http_client import Client
from tests.stream.client import Stream
from tests.webhooks.world import SECRET, TAKEN, Posted, status_line

KILLS = 3
UP_S = 0.7  # between a start and its kill: some hundred messages
SETTINGS = {
    "SLUICE__HTTP__LISTEN": "127.0.0.1:0",
    "SLUICE__WEBHOOKS__ALLOW_PRIVATE": "127.0.0.0/8",
}
BATCH_ROWS = 25
PATIENCE_S = 20.0
# How a kill looks to a client; an answer that ended before it was whole is an IndexError of this one.
GONE = (trio.BrokenResourceError, trio.ClosedResourceError, OSError, IndexError)


class Heard:
    """What one reader was told, in its order."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    @property
    def ids(self) -> set[str]:
        return {event["id"] for event in self.events}


class Books:
    """The port of the moment, and what was answered 202."""

    def __init__(self) -> None:
        self.port = 0
        self.up = trio.Event()
        self.loading = True
        self.messages: set[str] = set()
        self.batches: set[str] = set()
        self.killed_in = 0  # requests that a kill left without an answer

    def is_up(self, port: int) -> None:
        self.port = port
        self.up.set()

    def is_down(self) -> None:
        self.up = trio.Event()

    @asynccontextmanager
    async def api(self) -> AsyncIterator[Api]:
        await self.up.wait()
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        try:
            yield Api(Client(stream), KEY)
        finally:
            await trio.aclose_forcefully(stream)


async def load(books: Books, lane: int) -> None:
    """Posts messages and batches one after the other, each until it is answered, under one idempotency key."""
    number = 0
    while books.loading:
        with suppress(*GONE):
            async with books.api() as api:
                while books.loading:
                    to = f"+86138{lane}{number:07}"
                    key = {"Idempotency_Key": f"{lane}-{number}"}
                    books.killed_in += 1
                    if number % 20 == 19:
                        some = {
                            "defaults": {"text": "hi"},
                            "recipients": [f"{to[:-2]}{n:02}" for n in range(BATCH_ROWS)],
                        }
                        answer = await api.post("/v1/batches", some, **key)
                        assert answer.status == 202
                        books.batches.add(answer.json["id"])
                    else:
                        answer = await api.post("/v1/messages", {"to": to, "text": "hi"}, **key)
                        assert answer.status == 202
                        books.messages.add(answer.json["id"])
                    books.killed_in -= 1
                    number += 1
        await trio.sleep(0.01)


async def pull(books: Books, heard: Heard) -> None:
    """Pages and long polls behind a cursor that is kept here."""
    after = 0
    while True:
        with suppress(*GONE):
            async with books.api() as api:
                while True:
                    page = await api.get(f"/v1/events?after={after}&limit=50&wait_s=5")
                    heard.events += page["data"]
                    after = page["next"]
        await trio.sleep(0.01)


async def follow(books: Books, heard: Heard) -> None:
    """A WebSocket that comes back behind the last event that it has handled."""
    after = 0
    while True:
        await books.up.wait()
        with suppress(*GONE, InvalidHandshake, AssertionError):  # of the client: the connection was closed
            async with await Stream.connect(books, path=f"/v1/stream?after={after}") as stream:  # type: ignore[arg-type]
                while True:
                    event = await stream.hear("event", seconds=60)
                    heard.events.append(event)
                    after = event["seq"]
                    await stream.say({"op": "seen", "seq": after})
        await trio.sleep(0.01)


async def apply(gateway: Gateway, carrier: SimCarrier, url: str) -> None:
    link = {"host": "127.0.0.1", "port": carrier.port, "system_id": "sluice", "password": "password"}
    await gateway.apply(
        {
            **DOCUMENT,
            "carrier": [{"name": "carrier", **link, "reconnect_s_min": 0.05, "reconnect_s_max": 0.2}],
            "webhook": [{"user": "acme", "name": "crm", "url": url, "secret": SECRET}],
        }
    )


async def http_port(gateway: Gateway) -> int:
    event = await gateway.wait_event("listening", name="http")
    return int(event["address"].rpartition(":")[2])


def missing(heard: Heard, books: Books) -> set[str]:
    """Messages and batches of which a reader has not heard the end."""
    final = {e["data"]["id"] for e in heard.events if e["type"] == "message.status" and e["data"]["final"]}
    finished = {e["data"]["id"] for e in heard.events if e["type"] == "batch.finished"}
    return (books.messages - final) | (books.batches - finished)


async def test_every_reader_hears_every_event_over_kills(tmp_path: Path) -> None:
    books = Books()
    pulled, streamed, posted = Heard(), Heard(), Heard()

    async with (
        receiving() as (receiver, url),
        SimCarrier(Behaviour(), system_id="sluice") as carrier,
        trio.open_nursery() as nursery,
    ):
        times = 0

        async def say(request: Posted) -> bytes:
            nonlocal times
            times += 1
            posted.events += request.json["data"]
            return status_line(500) if times == 2 else TAKEN

        receiver.answer = say
        nursery.start_soon(pull, books, pulled)
        nursery.start_soon(follow, books, streamed)
        for lane in range(3):
            nursery.start_soon(load, books, lane)
        for round_ in range(KILLS + 1):
            async with gateway_process(tmp_path / "data", **SETTINGS) as gateway:
                if not round_:
                    await apply(gateway, carrier, url)
                books.is_up(await http_port(gateway))
                if round_ < KILLS:
                    await trio.sleep(UP_S)
                    books.is_down()
                    await gateway.kill()
                    continue
                await trio.sleep(UP_S)
                books.loading = False
                with trio.move_on_after(PATIENCE_S):
                    while any(missing(heard, books) for heard in (pulled, streamed, posted)):
                        await trio.sleep(0.05)
                assert [missing(heard, books) for heard in (pulled, streamed, posted)] == [
                    set(),
                    set(),
                    set(),
                ]
                await trio.sleep(0.5)  # what would be told twice is told by now
        nursery.cancel_scope.cancel()

    assert len(books.messages) > 50
    assert len(books.batches) > 3
    # Readers with a cursor: each event once, in the order of the log, the same for both.
    for heard in (pulled, streamed):
        seqs = [event["seq"] for event in heard.events]
        assert seqs == sorted(set(seqs))
    assert pulled.ids == streamed.ids
    # The webhook: each at least once, and always as the same event.
    assert posted.ids == pulled.ids
    known = {event["id"]: event for event in pulled.events}
    assert all(event == known[event["id"]] for event in posted.events)
    assert all({**known[e["id"]], "op": "event"} == e for e in streamed.events)
    for wanted, kind in ((books.messages, "message.status"), (books.batches, "batch.finished")):
        told = [event["data"]["id"] for event in pulled.events if event["type"] == kind]
        assert len(told) == len(set(told))
        assert wanted <= set(told)
    for event in pulled.events:
        if event["type"] == "batch.finished":
            assert event["data"]["states"] == {"delivered": BATCH_ROWS}, msgspec.json.encode(event)
