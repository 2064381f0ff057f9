"""Inbound messages: whole texts, newest first, for their owner only."""

from pathlib import Path

import trio

from tests.api.world import OTHER_KEY, bound, delivering


async def test_inbound_messages_are_joined_and_belong_to_their_owner(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        api, other = await world.connect(), await world.connect(OTHER_KEY)
        await bound(world)
        for number in range(5):
            carrier.send_mo(
                "您好" * 50, source=f"861390000000{number}", destination="10690000", parts=2, shuffled=True
            )
        with trio.fail_after(5):
            while len(whole := (await api.get("/v1/inbound?limit=1000"))["data"]) < 5:
                await trio.sleep(0.02)
        assert {(one["text"], one["parts"], one["to"]) for one in whole} == {("您好" * 50, 2, "10690000")}
        assert {one["from"] for one in whole} == {f"861390000000{number}" for number in range(5)}
        assert [one["id"] for one in whole] == sorted((one["id"] for one in whole), reverse=True)
        seen: list[str] = []
        path = "/v1/inbound?limit=2"
        while path:
            page = await api.get(path)
            assert len(page["data"]) <= 2
            seen += [one["id"] for one in page["data"]]
            path = f"/v1/inbound?limit=2&cursor={page['next']}" if page["next"] else ""
        assert seen == [one["id"] for one in whole]
        assert (await other.get("/v1/inbound"))["data"] == []


async def test_an_inbound_message_names_what_it_answers(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        api = await world.connect()
        sent = await api.send(to="13900000001", client_ref="q-7", **{"from": "10690000"})
        await api.until(f"/v1/messages/{sent['id']}", status="delivered")
        carrier.send_mo("yes", source="8613900000001", destination="10690000")
        with trio.fail_after(5):
            while not (data := (await api.get("/v1/inbound"))["data"]):
                await trio.sleep(0.02)
        assert data[-1]["in_reply_to"] == {"message_id": sent["id"], "client_ref": "q-7"}
        assert data[-1]["from"] == "8613900000001"
