"""Inbound messages (MO): to the account that owns the number, part by part, and joined for readers."""

from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.sim.answers import Delivery
from gateway.sim.behaviour import Behaviour
from gateway.sim.message import Message, address, data_sm_body, sm_body, tlv
from gateway.sim.mo import mo_bodies
from gateway.sim.wire import DATA_SM
from gateway.smpp.text import decode_text
from gateway.status import status_report
from store.model import Changes, Inbound

from .peer import bound
from .world import PASSWORD, PATIENCE_S, World, config, until, world

NUMBERS: dict[str, list[dict[str, Any]]] = {
    "account": [
        {"user": "acme", "system_id": "acme", "password": PASSWORD},
        {"user": "acme", "system_id": "other", "password": PASSWORD},
    ],
    "number": [
        {"address": "1069*", "account": "acme"},
        {"address": "10690002*", "account": "other"},
        {"address": "10690003", "account": "other"},
    ],
}
LONG = "".join(chr(0x4E00 + n) for n in range(180))


async def rows(gateway: World, account: int | None = None) -> list[Inbound]:
    """Inbound rows, oldest first."""
    found: list[Inbound] = await gateway.read(lambda s: s.inbound(account, (1 << 63) - 1, 100))
    return found[::-1]


async def until_rows(gateway: World, count: int) -> list[Inbound]:
    with trio.fail_after(PATIENCE_S):
        while len(found := await rows(gateway)) < count:
            await trio.sleep(0.01)
    return found


def text_of(message: Message) -> str:
    octets = message.text[1 + message.text[0] :] if message.esm_class & 0x40 else message.text
    return decode_text(octets, message.data_coding)


async def test_the_owner_of_the_longest_matching_number_gets_it(tmp_path: Path) -> None:
    async with (
        world(tmp_path, document=NUMBERS) as gateway,
        gateway.customer(bind="receiver") as acme,
        gateway.customer(system_id="other") as other,
    ):
        for to in ("10691", "106900021", "10690003", "106900031"):
            gateway.sim.send_mo(f"to {to}", destination=to)
        await until(lambda: len(acme.books.inbound) == 2 and len(other.books.inbound) == 2)
        assert {message.destination_addr for message in acme.books.inbound} == {"10691", "106900031"}
        assert {message.destination_addr for message in other.books.inbound} == {"106900021", "10690003"}


async def test_the_octets_reach_the_customer_unchanged(tmp_path: Path) -> None:
    async with world(tmp_path, document=NUMBERS) as gateway, bound(gateway.port, kind="receiver") as peer:
        vendor = tlv(0x1403, b"vendor") + tlv(0x020A, b"\x0b\x84")
        body = sm_body(
            address("13700000001", 2, 8), address("10691", 3, 9), b"\x00\xff\x1b", data_coding=4, tlvs=vendor
        )
        gateway.sim.send_deliver(body)
        assert (await peer.receive()).raw == body


async def test_a_data_sm_from_a_carrier_is_an_inbound_message(tmp_path: Path) -> None:
    async with world(tmp_path, document=NUMBERS) as gateway, gateway.customer() as esme:
        payload = tlv(0x0424, "短信".encode("utf-16-be"))
        body = data_sm_body(
            address("8613700000001"), address("10691"), esm_class=0, data_coding=8, tlvs=payload
        )
        gateway.sim.answers.deliver(Delivery(DATA_SM, body, "", ""))
        await until(lambda: len(esme.books.inbound) == 1)
        assert text_of(esme.books.inbound[0]) == "短信"
        assert [row.text for row in await rows(gateway)] == ["短信"]


async def test_parts_out_of_order_over_two_binds_pass_on_as_they_come_and_are_stored_joined(
    tmp_path: Path,
) -> None:
    async with (
        world(tmp_path, document=NUMBERS, carrier={"binds": 2}) as gateway,
        gateway.customer() as esme,
    ):
        await gateway.up(binds=2)
        bodies = mo_bodies(LONG, "8613700000001", "10691", parts=3, reference=7, shuffled=False)
        links = gateway.sim.receivers()
        for place, link in ((2, links[0]), (0, links[1]), (1, links[0])):
            gateway.sim.send_deliver(bodies[place], link=link)
        await until(lambda: len(esme.books.inbound) == 3)
        found = await until_rows(gateway, 3)
        assert sorted(row.part_no for row in found) == [1, 2, 3]
        assert [row.text for row in found if row.text] == [LONG]
        assert found[-1].text == LONG  # the row of the part that completed it
        assert {seen.status for seen in gateway.sim.log.receipts} == {0}


async def test_a_long_message_is_joined_across_a_restart(tmp_path: Path) -> None:
    bodies = mo_bodies(LONG, "8613700000001", "10691", parts=3, reference=7, shuffled=True)
    async with world(tmp_path, document=NUMBERS) as gateway:
        gateway.sim.send_deliver(bodies[0])
        gateway.sim.send_deliver(bodies[1])
        await until_rows(gateway, 2)
    async with world(tmp_path, document=NUMBERS) as gateway:
        gateway.sim.send_deliver(bodies[2])
        found = await until_rows(gateway, 3)
        assert [row.text for row in found if row.text] == [LONG]
    async with world(tmp_path, document=NUMBERS) as gateway:
        gateway.sim.send_deliver(bodies[2])  # what was joined already is not begun again
        found = await until_rows(gateway, 4)
        assert [row.text for row in found if row.text] == [LONG]


async def test_a_message_whose_part_never_comes_is_stored_with_a_mark(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, document=NUMBERS) as gateway:
        bodies = mo_bodies(LONG, "8613700000001", "10691", parts=3, reference=7, shuffled=False)
        gateway.sim.send_deliver(bodies[0])
        gateway.sim.send_deliver(bodies[2])
        await until_rows(gateway, 2)
        changes = Changes()
        gateway.core.inbound.give_up(gateway.core.clock.now() + 1801, changes)
        await gateway.core.committer.commit(changes)
        found = await until_rows(gateway, 3)
        assert found[-1].text == f"{LONG[:60]}[…]{LONG[120:]}"
        assert found[-1].event == 0
    logged = capfd.readouterr()
    assert "incomplete" in logged.out + logged.err


async def test_more_long_messages_at_once_than_one_may_have_parts(tmp_path: Path) -> None:
    async with world(tmp_path, document=NUMBERS) as gateway, gateway.customer() as esme:
        bodies = [
            mo_bodies(LONG, f"8613700000{n:03}", "10691", parts=3, reference=7, shuffled=False)
            for n in range(200)
        ]
        for part in range(3):
            for some in bodies:
                gateway.sim.send_deliver(some[part])
        await until(lambda: len(esme.books.inbound) == 600)
        found: list[Inbound] = await gateway.read(lambda s: s.inbound(None, (1 << 63) - 1, 1000))
        assert sum(row.text == LONG for row in found) == 200


async def test_an_answer_is_matched_to_the_message_it_answers(tmp_path: Path) -> None:
    async with world(tmp_path, document=NUMBERS) as gateway, gateway.customer() as esme:
        (first,) = await esme.submit("one", "8613700000001")
        (second,) = await esme.submit("two", "8613700000001")
        await esme.submit("elsewhere", "8613700000002")
        gateway.sim.send_mo("yes", source="8613700000001", destination="10690001")
        gateway.sim.send_mo("who?", source="8613700000009", destination="10690001")
        found = await until_rows(gateway, 2)
        assert [row.answers for row in found] == [int(second.message_id), 0]
        assert first.message_id != second.message_id


async def test_what_nobody_owns_is_acknowledged_kept_and_counted(tmp_path: Path) -> None:
    async with world(tmp_path, document=NUMBERS) as gateway, gateway.customer() as esme:
        gateway.sim.send_mo("for nobody", destination="95555")
        (row,) = await until_rows(gateway, 1)
        assert (row.account, row.event, row.text) == (0, 0, "for nobody")
        assert [seen.text for seen in await rows(gateway, 0)] == ["for nobody"]
        await until(lambda: [seen.status for seen in gateway.sim.log.receipts] == [0])
        report = status_report(gateway.daemon)
        assert (report.inbound, report.inbound_unowned) == (1, 1)
        assert esme.books.inbound == []


async def test_inbound_messages_wait_for_a_receiver_over_a_restart_in_order(tmp_path: Path) -> None:
    async with world(tmp_path, document=NUMBERS) as gateway:
        for n in range(30):
            gateway.sim.send_mo(f"number {n}", destination="10691")
        await until_rows(gateway, 30)
    settings = config(limits={"events_in_memory_max": 7})
    async with world(tmp_path, applied=False, carriers={}, settings=settings) as gateway:
        async with gateway.customer(bind="receiver") as esme:
            await until(lambda: len(esme.books.inbound) == 30)
            assert [text_of(message) for message in esme.books.inbound] == [f"number {n}" for n in range(30)]


async def test_a_carriers_alphabet_is_used_to_read_its_texts(tmp_path: Path) -> None:
    async with world(tmp_path, document=NUMBERS, carrier={"alphabet": "latin1"}) as gateway:
        text = "café @ élan"
        whole = sm_body(address("8613700000001"), address("10691"), text.encode("latin-1"))
        gateway.sim.send_deliver(whole)
        for number, piece in enumerate((text[:5], text[5:]), 1):
            udh = bytes((5, 0, 3, 9, 2, number))
            gateway.sim.send_deliver(
                sm_body(
                    address("8613700000001"), address("10691"), udh + piece.encode("latin-1"), esm_class=0x40
                )
            )
        found = await until_rows(gateway, 3)
        assert [row.text for row in found if row.text] == [text, text]


async def test_a_storm_of_inbound_messages_is_all_acknowledged(tmp_path: Path) -> None:
    storm = Behaviour(mo_rate=200.0, mo_destination="10691", mo_parts=2, mo_shuffled=True, mo_text=LONG[:120])
    async with world(tmp_path, storm, document=NUMBERS) as gateway, gateway.customer() as esme:
        await until(lambda: len(esme.books.inbound) >= 200, within_s=5 * PATIENCE_S)
        gateway.sim.behaviour = Behaviour(mo_rate=0.001)
        await until(
            lambda: all(seen.status == 0 for seen in gateway.sim.log.receipts), within_s=5 * PATIENCE_S
        )


async def test_a_character_that_two_segments_share_is_read_whole(tmp_path: Path) -> None:
    octets = ("短" * 60 + "😀" + "信").encode("utf-16-be")
    async with world(tmp_path, document=NUMBERS) as gateway:
        for number, piece in enumerate((octets[:122], octets[122:]), 1):
            udh = bytes((5, 0, 3, 9, 2, number))
            gateway.sim.send_deliver(
                sm_body(
                    address("8613700000001"), address("10691"), udh + piece, esm_class=0x40, data_coding=8
                )
            )
        found = await until_rows(gateway, 2)
        assert found[-1].text == octets.decode("utf-16-be")


async def test_a_national_alphabet_in_the_header_is_minded(tmp_path: Path) -> None:
    async with world(tmp_path, document=NUMBERS) as gateway:
        turkish = bytes.fromhex("03240101") + b"\x1bG\x1bI\x1bS\x1bc"
        gateway.sim.send_deliver(sm_body(address("905551112233"), address("10691"), turkish, esm_class=0x40))
        (row,) = await until_rows(gateway, 1)
        assert row.text == "ĞİŞç"
