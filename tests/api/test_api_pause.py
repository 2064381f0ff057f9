"""Pausing a batch: nothing of it leaves, all of it goes on later, whatever happens in between."""

from pathlib import Path
from typing import Any

import trio

from gateway.daemon import open_daemon
from gateway.sim.behaviour import Behaviour
from store.model import State
from tests.api.world import OTHER_KEY, Api, bound, config, delivering, running
from tests.gateway.http_client import Reply

NDJSON = "application/x-ndjson"


def numbers(count: int) -> list[str]:
    return [f"1380013{n:04}" for n in range(count)]


async def batch_of(api: Api, count: int, text: str = "您好", **defaults: Any) -> str:
    body = {"defaults": {"text": text, **defaults}, "recipients": numbers(count)}
    reply = await api.post("/v1/batches", body)
    assert reply.status == 202, reply.body
    return f"/v1/batches/{reply.json['id']}"


async def act(api: Api, batch: str, verb: str) -> Reply:
    return await api.post(f"{batch}/{verb}", b"")


def carrier_tables(port: int, **more: Any) -> dict[str, Any]:
    return {
        "carrier": [
            {
                "name": "carrier",
                "host": "127.0.0.1",
                "port": port,
                "system_id": "sluice",
                "password": "password",
            }
            | more
        ]
    }


async def test_a_paused_batch_stops_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        await world.apply(carrier_tables(carrier.port, rate=100))
        await bound(world)
        api = await world.connect()
        batch = await batch_of(api, 300)
        paused = await act(api, batch, "pause")
        assert (paused.status, paused.json["status"]) == (200, "paused")
        await trio.sleep(0.1)  # what a bind had begun
        sent = carrier.counts["accepted"]
        other = await api.send(to="13800139999")
        await api.until(f"/v1/messages/{other['id']}", status="delivered")
        await trio.sleep(0.3)
        assert carrier.counts["accepted"] == sent + 1 < 300
        states = (await api.get(batch))["states"]
        assert states["queued"] == 300 - sent
        await world.apply(carrier_tables(carrier.port, rate=0))
        resumed = await act(api, batch, "resume")
        assert resumed.json["status"] == "processing"
        assert (await api.until(batch, status="finished"))["states"] == {"delivered": 300}
        assert carrier.counts["accepted"] == 301


async def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        batch = await batch_of(api, 50, "您" * 100)
        await act(api, batch, "pause")
    async with delivering(tmp_path) as (world, carrier):
        await bound(world)
        api = await world.connect()
        other = await api.send(to="13800139999")
        await api.until(f"/v1/messages/{other['id']}", status="delivered")
        assert carrier.counts["accepted"] == 1
        assert (await api.get(batch))["status"] == "paused"
        await act(api, batch, "resume")
        await api.until(batch, status="finished")
        assert carrier.counts["accepted"] == 101
    async with delivering(tmp_path) as (world, carrier):
        assert not world.core.withheld.batches


async def test_a_pause_holds_where_http_is_switched_off(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        await act(api, await batch_of(api, 3), "pause")
    async with open_daemon(config(listen=""), tmp_path) as daemon:
        assert len(daemon.core.withheld.paused) == 3


async def test_what_is_paused_can_be_cancelled_and_costs_nothing_then(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        await world.apply(carrier_tables(carrier.port, rate=1))
        await bound(world)
        api = await world.connect()
        batch = await batch_of(api, 200)
        await act(api, batch, "pause")
        done = (await act(api, batch, "cancel")).json
        assert done["cancelled"] >= 197
        assert not world.core.withheld.waiting
        await act(api, batch, "resume")
        whole = await api.until(batch, status="finished")
        assert whole["states"]["cancelled"] == done["cancelled"]
        assert carrier.counts["accepted"] == done["not_cancelled"]


async def test_more_than_memory_holds_is_paused_and_goes_on(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        await world.apply(carrier_tables(carrier.port, rate=50))
        await bound(world)
        (state,) = world.core.carriers.values()
        state.queue.parts_max = 40
        api = await world.connect()
        batch = await batch_of(api, 200)
        later = await batch_of(api, 20, "later")
        await act(api, batch, "pause")
        await world.apply(carrier_tables(carrier.port, rate=0))
        await api.until(later, status="finished")
        assert (await api.get(batch))["status"] == "paused"
        await act(api, batch, "resume")
        await api.until(batch, status="finished")
        assert carrier.counts["accepted"] == 220


async def test_a_scheduled_batch_whose_time_comes_in_a_pause_waits(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        batch = await batch_of(api, 5)
        await act(api, batch, "pause")
        parts = await world.core.ports.store.read(lambda s: s.parts(list(world.core.withheld.paused)))
        # As the schedule's clockwork offers them.
        world.core.offer(parts)
        (state,) = world.core.carriers.values()
        assert state.queue.length == 0
        assert {part.state for part in parts} == {State.QUEUED}


async def test_a_stream_can_be_paused_while_it_is_received(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api, second = await world.connect(), await world.connect()
        lines = b"".join(b'{"to":"%s","text":"x"}\n' % number.encode() for number in numbers(2000))
        head = api.octets("POST", "/v1/batches", None, Content_Type=NDJSON, Transfer_Encoding="chunked")
        await api.client.send(head + b"%x\r\n%b\r\n" % (len(lines), lines))
        with trio.fail_after(5):
            while not (found := (await second.get("/v1/messages?limit=1"))["data"]):
                await trio.sleep(0.01)
        batch = f"/v1/batches/{found[0]['batch_id']}"
        assert (await act(second, batch, "pause")).json["status"] == "receiving"
        await api.client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(lines), lines))
        assert (await api.client.reply()).json["accepted"] == 4000
        assert (await second.get(batch))["status"] == "paused"
        assert len(world.core.withheld.paused) == len(world.core.withheld.waiting) == 4000


async def test_batches_of_others_cannot_be_paused(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api, other = await world.connect(), await world.connect(OTHER_KEY)
        batch = await batch_of(api, 3)
        for verb in ("pause", "resume"):
            assert (await act(other, batch, verb)).status == 404
            assert (await act(api, "/v1/batches/bat_0", verb)).status == 404
        assert not world.core.withheld.batches
        assert (await act(api, batch, "resume")).json["status"] == "processing"


async def test_what_no_carrier_took_has_failed_and_what_one_took_is_undelivered(tmp_path: Path) -> None:
    async with delivering(tmp_path, Behaviour(errors={"0B": 1.0})) as (world, _):
        await bound(world)
        api = await world.connect()
        batch = await batch_of(api, 3, "您" * 100)
        assert (await api.until(batch, status="finished"))["states"] == {"failed": 3}
        page = await api.get(f"{batch}/messages")
        assert {one["status"] for one in page["data"]} == {"failed"}
        assert {part["status"] for one in page["data"] for part in one["part_states"]} == {"failed"}
        assert len((await api.get("/v1/messages?status=failed"))["data"]) == 3
        assert (await api.get("/v1/messages?status=undelivered"))["data"] == []


async def test_a_batch_counts_messages_of_several_parts_as_they_end(tmp_path: Path) -> None:
    """What SQL counts is what each message says of itself."""
    async with delivering(tmp_path, Behaviour(states={"DELIVRD": 0.8, "UNDELIV": 0.1, "EXPIRED": 0.1})) as (
        world,
        _,
    ):
        await bound(world)
        api = await world.connect()
        batch = await batch_of(api, 40, "您" * 150)
        whole = await api.until(batch, status="finished")
        page = await api.get(f"{batch}/messages?limit=100")
        told: dict[str, int] = {}
        for one in page["data"]:
            told[one["status"]] = told.get(one["status"], 0) + 1
        assert whole["states"] == told and len(told) > 1
