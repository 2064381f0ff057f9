"""GET /v1/events: pages, long polls, Server-Sent Events; scopes, cursors, readers that are slow or leave."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from gateway.events import pull
from gateway.events.shapes import EventPage
from tests.api.world import KEY, OTHER_KEY, TEST_KEY, Api, World, bound, delivering, running
from tests.gateway.http_client import request

INBOUND_KEY = "gw_live_0123456789ABCDEFGHJKMNPQRS_inbound-of-acme"
READ_KEY = "gw_live_0123456789ABCDEFGHJKMNPQRS_read-of-acme"
SEND_KEY = "gw_live_0123456789ABCDEFGHJKMNPQRS_send-of-acme"
KEYS = {
    "api_key": [
        {"user": "acme", "key": INBOUND_KEY, "scopes": ["inbound"]},
        {"user": "acme", "key": READ_KEY, "scopes": ["read"]},
        {"user": "acme", "key": SEND_KEY, "scopes": ["send"]},
    ]
}


def note(world: World, count: int = 1, start: int = 0, *, system_id: str = "api:acme") -> None:
    """Puts finished batches on an account's log: the shortest way to an event."""
    account = world.core.accounts_by_system_id[system_id].id
    for number in range(start, start + count):
        data = {"id": f"bat_{number}", "total": number, "accepted": 0, "rejected_count": 0, "states": {}}
        world.core.event_log.append(account, "batch.finished", msgspec.json.encode(data))


def numbers(page: Any) -> list[int]:
    return [event["data"]["total"] for event in page["data"]]


async def pages(api: Api, after: int = 0, limit: int = 100) -> list[int]:
    """Everything behind a cursor, page by page."""
    found: list[int] = []
    while True:
        page = await api.get(f"/v1/events?after={after}&limit={limit}")
        assert after <= page["next"]
        after = page["next"]
        if not page["data"]:
            return found
        found += numbers(page)


# -- pages ----------------------------------------------------------------------------------------


async def test_pages_follow_each_other_without_gap_or_repetition(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        note(world, 25)
        await api.get("/v1/events?wait_s=5")
        assert await pages(api, limit=7) == list(range(25))
        page = await api.get("/v1/events?limit=3")
        assert [event["seq"] for event in page["data"]] == sorted(event["seq"] for event in page["data"])
        assert page["next"] == page["data"][-1]["seq"]
        assert (await api.get(f"/v1/events?after={page['data'][0]['seq']}&limit=2"))["data"] == page["data"][
            1:
        ]


async def test_a_page_is_as_its_description_says(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        api = await world.connect()
        await bound(world)
        sent = await api.send(client_ref="r")
        await api.until(f"/v1/messages/{sent['id']}", status="delivered")
        carrier.send_mo("hello", source="8613900000001", destination="10690000")
        note(world)
        with trio.fail_after(5):
            while len((page := await api.get("/v1/events"))["data"]) < 3:
                await trio.sleep(0.01)
        reply = await api.ask("GET", "/v1/events")
        told = msgspec.json.decode(reply.body, type=EventPage)
        assert msgspec.json.decode(msgspec.json.encode(told)) == page
        assert {event["type"] for event in page["data"]} == {
            "message.status",
            "message.inbound",
            "batch.finished",
        }


async def test_a_long_poll_answers_as_soon_as_there_is_something(tmp_path: Path) -> None:
    async with running(tmp_path) as world, trio.open_nursery() as nursery:
        api = await world.connect()

        async def later() -> None:
            await trio.sleep(0.05)
            note(world, system_id="esme")  # of another account: wakes nobody
            await trio.sleep(0.05)
            note(world)

        nursery.start_soon(later)
        with trio.fail_after(5):
            page = await api.get("/v1/events?wait_s=60")
        assert numbers(page) == [0]
        assert not world.front.streams.open["poll"]


async def test_a_long_poll_without_news_answers_an_empty_page_in_time(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        world.front.event_queries.wait_s_max = 0.05
        api = await world.connect()
        page = await api.get("/v1/events?wait_s=60")
        assert page["data"] == []
        note(world)
        assert numbers(await api.get(f"/v1/events?after={page['next']}&wait_s=60")) == [0]


async def test_a_drain_answers_long_polls_and_ends_event_streams(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        polling, streaming = await world.connect(), await world.connect()
        await polling.client.send(polling.octets("GET", "/v1/events?wait_s=60"))
        await streaming.client.send(streaming.octets("GET", "/v1/events", Accept="text/event-stream"))
        with trio.fail_after(5):
            while world.front.streams.open != {"poll": 1, "sse": 1}:
                await trio.sleep(0.01)
            world.daemon.drain()
            assert (await polling.client.reply()).json["data"] == []
            assert (await streaming.client.reply()).whole
            await world.daemon.ended.wait()
        assert not +world.front.streams.open


async def test_keys_see_events_of_their_scopes_and_account_only(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        await world.apply(KEYS)
        api = await world.connect()
        await bound(world)
        sent = await api.send()
        await api.until(f"/v1/messages/{sent['id']}", status="delivered")
        carrier.send_mo("hello", source="8613900000001", destination="10690000")
        with trio.fail_after(5):
            while len((await api.get("/v1/events"))["data"]) < 2:
                await trio.sleep(0.01)

        async def kinds(key: str) -> list[str]:
            return [event["type"] for event in (await (await world.connect(key)).get("/v1/events"))["data"]]

        assert sorted(await kinds(KEY)) == ["message.inbound", "message.status"]
        assert await kinds(READ_KEY) == ["message.status"]
        assert await kinds(INBOUND_KEY) == ["message.inbound"]
        assert await kinds(OTHER_KEY) == await kinds(TEST_KEY) == []
        reply = await (await world.connect(SEND_KEY)).ask("GET", "/v1/events")
        assert (reply.status, reply.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "query",
    [
        "after=x",
        "after=-1",
        f"after={1 << 53}",
        "limit=0",
        "limit=1001",
        "wait_s=61",
        "wait_s=1.5",
        "since=1",
    ],
)
async def test_a_parameter_that_cannot_be_is_named(tmp_path: Path, query: str) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.ask("GET", f"/v1/events?{query}")
        assert reply.status == 422
        assert reply.json["errors"][0]["pointer"] == "?" + query.partition("=")[0]


async def test_a_cursor_of_tomorrow_is_no_error(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        note(world)
        page = await api.get(f"/v1/events?after={(1 << 53) - 1}")
        assert page == {"data": [], "next": (1 << 53) - 1}


async def test_an_account_has_so_many_listeners_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.events.streams.PER_ACCOUNT_MAX", 1)
    async with running(tmp_path) as world:
        first, second = await world.connect(), await world.connect()
        await first.client.send(first.octets("GET", "/v1/events", Accept="text/event-stream"))
        with trio.fail_after(5):
            while not world.front.streams.open["sse"]:
                await trio.sleep(0.01)
        for path in ("/v1/events?wait_s=1", "/v1/events"):
            accept = "*/*" if "wait_s" in path else "text/event-stream"
            reply = await second.ask("GET", path, Accept=accept)
            assert (reply.status, reply.json["code"]) == (429, "rate-limited")
        assert (await second.ask("GET", "/v1/events")).status == 200
        await trio.aclose_forcefully(first.client.stream)
        note(world)
        with trio.fail_after(5):
            while (await second.ask("GET", "/v1/events?wait_s=1")).status == 429:
                note(world)
                await trio.sleep(0.01)


# -- Server-Sent Events ---------------------------------------------------------------------------


class EventSource:
    """What a browser reads, as far as these tests need it."""

    def __init__(self, world: World, key: str = KEY) -> None:
        self.world = world
        self.key = key
        self.text = ""
        self.last_id = ""

    async def open(self, path: str = "/v1/events", **headers: str) -> None:
        if self.last_id:
            headers["Last_Event_ID"] = self.last_id
        self.stream = await trio.open_tcp_stream("127.0.0.1", self.world.port)
        self.text = ""
        await self.stream.send_all(
            request("GET", path, Authorization=f"Bearer {self.key}", Accept="text/event-stream", **headers)
        )
        await self._until("retry: 2000\n\n")

    async def _until(self, wanted: str) -> str:
        with trio.fail_after(5):
            while wanted not in self.text:
                data = await self.stream.receive_some()
                assert data, self.text
                self.text += data.decode()
        before, _, self.text = self.text.partition(wanted)
        return before

    async def event(self) -> tuple[str, Any]:
        """The next event: its name, its data."""
        await self._until("id: ")
        self.last_id = await self._until("\n")
        assert await self._until("event: ") == ""
        name = await self._until("\n")
        await self._until("data: ")
        return name, msgspec.json.decode(await self._until("\n\n"))

    async def close(self) -> None:
        await trio.aclose_forcefully(self.stream)


async def test_an_event_stream_begins_now_and_resumes_where_it_broke_off(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        note(world, 2)
        await (await world.connect()).get("/v1/events?wait_s=5")
        source = EventSource(world)
        await source.open()
        note(world, 3, start=10)
        for number in (10, 11):
            name, event = await source.event()
            assert name == event["type"] == "batch.finished"
            assert str(event["seq"]) == source.last_id
            assert event["data"]["total"] == number
        await source.close()
        note(world, 1, start=13)
        await source.open()
        assert [(await source.event())[1]["data"]["total"] for _ in range(2)] == [12, 13]
        await source.close()
        source.last_id = ""
        await source.open("/v1/events?after=0")
        assert [(await source.event())[1]["data"]["total"] for _ in range(6)] == [0, 1, 10, 11, 12, 13]
        await source.close()


async def test_an_event_stream_resumes_over_a_restart(tmp_path: Path) -> None:
    source: EventSource
    async with running(tmp_path) as world:
        source = EventSource(world)
        await source.open()
        note(world, 2)
        await source.event()
        await source.close()
    async with running(tmp_path) as world:
        source.world = world
        await source.open()
        note(world, 1, start=2)
        assert [(await source.event())[1]["data"]["total"] for _ in range(2)] == [1, 2]
        await source.close()


async def test_a_silent_event_stream_is_kept_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "KEEP_ALIVE_S", 0.02)
    async with running(tmp_path) as world:
        source = EventSource(world)
        await source.open()
        for _ in range(3):
            await source._until(": keep-alive\n\n")
        await source.close()
        with trio.fail_after(5):
            while world.front.streams.open["sse"]:
                await trio.sleep(0.01)


async def test_an_event_stream_ends_with_its_key(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.apply(KEYS)
        source = EventSource(world, READ_KEY)
        await source.open()
        await world.apply({"api_key": [{"user": "acme", "key": READ_KEY, "state": "disabled"}]})
        note(world)
        with trio.fail_after(5):
            while world.front.streams.open["sse"]:
                await trio.sleep(0.01)
        assert "batch.finished" not in source.text
        await source.close()


async def test_a_reader_that_takes_nothing_is_dropped_and_resumes(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        world.front.server.limits = msgspec.structs.replace(world.front.server.limits, write_timeout_s=0.2)
        source = EventSource(world)
        await source.open()
        account = world.core.accounts_by_system_id["api:acme"].id
        large = msgspec.json.encode({"fill": "x" * 50_000})
        for _ in range(400):
            world.core.event_log.append(account, "batch.finished", large)
        _, first = await source.event()
        with trio.fail_after(10):
            while world.front.streams.open["sse"]:
                await trio.sleep(0.05)
        await source.close()
        await source.open()
        _, second = await source.event()
        events = await world.core.event_log.read(account, 0, 1000)
        assert [event.seq for event in events[:2]] == [first["seq"], second["seq"]]
        await source.close()


async def test_head_of_an_event_stream_has_no_body_and_holds_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        client = (await world.connect()).client
        await client.send(
            request("HEAD", "/v1/events", Authorization=f"Bearer {KEY}", Accept="text/event-stream")
        )
        with trio.fail_after(5):
            while b"\r\n\r\n" not in client.raw:
                client.raw += await client.stream.receive_some(4096)
        assert b" 200 " in client.raw and b"text/event-stream" in client.raw
        assert not +world.front.streams.open
