"""Inbound messages: whose number was texted, unchanged segment by segment, joined for readers, matched to what
they answer."""

from pathlib import Path

from gateway.smpp.pdu import DeliverSm
from gateway.smpp.udh import segment_of
from store.model import State

from .peer import Peer, bound
from .world import stays, until, world

OWNER = {"number": [{"address": "1069*", "account": "acme"}]}


async def receive(peer: Peer, count: int) -> list[DeliverSm]:
    return [await peer.receive() for _ in range(count)]


async def test_a_message_reaches_the_owner_of_the_longest_matching_number(tmp_path: Path) -> None:
    other = {"user": "acme", "system_id": "other", "password": "secret"}
    account = {"user": "acme", "system_id": "acme", "password": "secret"}
    numbers = [{"address": "1069*", "account": "acme"}, {"address": "10690001", "account": "other"}]
    async with world(tmp_path, document={"account": [account, other], "number": numbers}) as gateway:
        async with bound(gateway.port) as mine, bound(gateway.port, system_id="other") as theirs:
            gateway.sim.send_mo("您好", destination="10690001")
            gateway.sim.send_mo("回复T退订", destination="10690002", source="8613900000009")
            (to_them,) = await receive(theirs, 1)
            (to_me,) = await receive(mine, 1)
        assert (to_them.short_message.decode("utf-16-be"), to_them.destination_addr) == ("您好", b"10690001")
        assert (to_me.source_addr, to_me.destination_addr) == (b"8613900000009", b"10690002")


async def test_nobody_s_number_is_kept_and_visible_and_acknowledged(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        gateway.sim.send_mo("?", destination="4455")
        await until(lambda: gateway.core.inbound.unowned == 1)
        await until(lambda: gateway.sim.statistics()["held"] == 0)
        (row,) = await gateway.read(lambda s: s.inbound(0, 1 << 62, 10))
        assert (row.dest, row.text, row.event) == (b"4455", "?", 0)


async def test_segments_out_of_order_over_two_binds_come_unchanged_and_are_joined_for_readers(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, carrier={"binds": 2}, document=OWNER) as gateway:
        await gateway.up(binds=2)
        text = "这是一条很长的上行短信，需要分成三段。" * 3
        async with bound(gateway.port) as peer:
            gateway.sim.send_mo(text, destination="10690001", parts=3, shuffled=True)
            segments = [segment_of(pdu) for pdu in await receive(peer, 3)]
        by_number = {s.concat.seq: s.text for s in segments if s.concat}
        assert b"".join(by_number[n] for n in (1, 2, 3)).decode("utf-16-be") == text
        rows = await gateway.read(lambda s: s.inbound(None, 1 << 62, 10))
        assert [row.text for row in rows if row.text] == [text]
        assert sorted(row.part_no for row in rows) == [1, 2, 3]


async def test_a_reply_names_the_message_that_it_answers(tmp_path: Path) -> None:
    async with world(tmp_path, document=OWNER) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            message_id = int((await peer.submit(to=b"8613900000000")).message_id)
        await gateway.until_state(message_id, State.DELIVERED)
        gateway.sim.send_mo("收到", source="8613900000000", destination="10690001")
        gateway.sim.send_mo("谁", source="8613900000001", destination="10690001")
        await until(lambda: gateway.core.inbound.received == 2)
        await until(lambda: gateway.account().outbox.waiting() >= 2)
        rows = await gateway.read(lambda s: s.inbound(None, 1 << 62, 10))
        assert {row.text: row.answers for row in rows} == {"收到": message_id, "谁": 0}


async def test_messages_wait_for_their_owner(tmp_path: Path) -> None:
    async with world(tmp_path, document=OWNER) as gateway:
        for n in range(3):
            gateway.sim.send_mo(f"text {n}", destination="10690001")
        await until(lambda: gateway.account().outbox.waiting() == 3)
        async with bound(gateway.port, kind="transmitter"):
            await stays(lambda: gateway.account().outbox.waiting() == 3)
        async with bound(gateway.port, kind="receiver") as peer:
            assert len(await receive(peer, 3)) == 3
    async with world(tmp_path, carriers={}, applied=False) as gateway:
        assert not gateway.account().outbox.spilled
