"""node-smpp (npm smpp), the client of most JavaScript applications, as a customer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.sim.behaviour import Behaviour

from .gateway_process import Gateway
from .node_peer import Fields, NodePeer, message_of, node_peer, octets
from .world import (
    CHINESE,
    ENGLISH,
    LONG_CHINESE,
    LONG_ENGLISH,
    World,
    messages_of,
    simulated,
    text_of,
    texts_seen,
    until,
)

TO = "8613800138000"
ROK, RINVCMDID, RALYBND, RBINDFAIL, RINVDSTADR = 0, 0x03, 0x05, 0x0D, 0x0B
RCANCELFAIL, RREPLACEFAIL, RQUERYFAIL, RINVMSGID = 0x11, 0x13, 0x67, 0x0C
ENROUTE, DELIVERED, DELETED, SCHEDULED = 1, 2, 4, 0
IN_AN_HOUR = "000000010000000R"


@asynccontextmanager
async def customer(world: World, **bind: Any) -> AsyncIterator[tuple[NodePeer, int]]:
    """A node with one bound session, which unbinds at the end."""
    async with node_peer() as node:
        session = await node.connect(url=f"smpp://127.0.0.1:{world.port}")
        command = bind.pop("command", "bind_transceiver")
        bound = await node.send(session, command, system_id=world.system_id, password=world.password, **bind)
        assert (bound["command_status"], bound["system_id"]) == (ROK, "sluice")
        yield node, session
        left = await node.send(session, "unbind")
        assert left["command_status"] == ROK
        assert node.errors == []


def submit(world: World, text: Any, **fields: Any) -> Fields:
    """Fields of a submit_sm; node-smpp chooses the alphabet: GSM octets as 1, Latin-1 as 3, UCS-2 as 8."""
    return {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": world.number,
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": TO,
        "registered_delivery": 1,
        "short_message": text,
        **fields,
    }


def receipts(node: NodePeer) -> list[Fields]:
    return [pdu for pdu in node.requests("deliver_sm") if pdu["esm_class"] & 0x3C == 4]


@pytest.mark.parametrize("version", [0x34, 0x50])
async def test_texts_arrive_as_sent_and_each_has_its_receipt(gateway: Gateway, version: int) -> None:
    latin = "Größe: 5 µm, coração às três"
    async with (
        simulated(gateway) as (world, carrier),
        customer(world, interface_version=version) as (node, session),
    ):
        accepted = []
        for text in (ENGLISH, CHINESE, latin):
            response = await node.send(session, "submit_sm", **submit(world, text))
            assert response["command_status"] == ROK
            accepted.append(response["message_id"])
        await until(lambda: len(receipts(node)) == 3, "three receipts")
        english, chinese, european = messages_of(carrier)
        assert (english.data_coding, text_of(english.text, 0)) == (1, ENGLISH)
        assert (chinese.data_coding, text_of(chinese.text, 8)) == (8, CHINESE)
        assert (european.data_coding, european.text.decode("latin-1")) == (3, latin)
        told = receipts(node)
        assert sorted(pdu["receipted_message_id"] for pdu in told) == sorted(accepted)
        for pdu in told:
            assert pdu["message_state"] == DELIVERED
            assert message_of(pdu).startswith(
                f"id:{pdu['receipted_message_id']} sub:001 dlvrd:001 submit date:"
            )
            assert " stat:DELIVRD err:000 text:" in message_of(pdu)


async def test_three_hundred_at_once_are_answered_in_order_and_receipted_once_each(gateway: Gateway) -> None:
    count = 300
    async with simulated(gateway) as (world, carrier), customer(world) as (node, session):
        orders = [
            await node.start_order(
                "send", session=session, command="submit_sm", fields=submit(world, f"{CHINESE}{n}")
            )
            for n in range(count)
        ]
        answers = [(await node.outcome(order))["pdu"] for order in orders]
        assert {answer["command_status"] for answer in answers} == {ROK}
        accepted = [answer["message_id"] for answer in answers]
        assert accepted == sorted(set(accepted))  # ids rise with the order of acceptance
        await until(lambda: len(receipts(node)) >= count, "every receipt")
        told = [pdu["receipted_message_id"] for pdu in receipts(node)]
        assert sorted(told) == accepted
        assert texts_seen(messages_of(carrier)) == [f"{CHINESE}{n}" for n in range(count)]


@pytest.mark.parametrize("text", [LONG_ENGLISH, LONG_CHINESE, "€" * 200], ids=["en", "zh", "escapes"])
async def test_a_long_payload_is_cut_between_characters(gateway: Gateway, text: str) -> None:
    async with simulated(gateway) as (world, carrier), customer(world) as (node, session):
        fields = submit(world, "", message_payload=text)
        del fields["short_message"]
        response = await node.send(session, "submit_sm", **fields)
        assert response["command_status"] == ROK
        await until(lambda: bool(receipts(node)), "the receipt of the whole")
        assert texts_seen(messages_of(carrier)) == [text]
        assert [pdu["receipted_message_id"] for pdu in receipts(node)] == [response["message_id"]]


async def test_parts_with_a_header_of_their_own_pass_unchanged(gateway: Gateway) -> None:
    parts = [LONG_CHINESE[:60], LONG_CHINESE[60:120], LONG_CHINESE[120:180]]
    async with simulated(gateway) as (world, carrier), customer(world) as (node, session):
        for number, part in enumerate(parts, 1):
            header = bytes((6, 8, 4, 0x12, 0x34, len(parts), number)).hex()
            text = {"udh": {"hex": header}, "message": part}
            response = await node.send(session, "submit_sm", **submit(world, text))
            assert response["command_status"] == ROK
        await until(lambda: len(receipts(node)) == len(parts), "a receipt for each part")
        assert texts_seen(messages_of(carrier)) == ["".join(parts)]
        assert {seen.part[0] for seen in messages_of(carrier)} == {0x1234}


async def test_a_national_shift_table_survives(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, carrier), customer(world) as (node, session):
        turkish = bytes.fromhex("1b471b491b531b631b651b671b691b73")  # ĞİŞç€ğış, by 3GPP TS 23.038
        text = {"udh": {"hex": "03240101"}, "message": {"hex": turkish.hex()}}
        fields = submit(world, text, data_coding=0)
        assert (await node.send(session, "submit_sm", **fields))["command_status"] == ROK
        await until(lambda: bool(messages_of(carrier)), "the message")
        (seen,) = messages_of(carrier)
        assert (seen.esm_class & 0x40, seen.text) == (0x40, bytes.fromhex("03240101") + turkish)


async def test_a_client_of_3_3_reads_short_ids_and_no_tlvs(gateway: Gateway) -> None:
    async with (
        simulated(gateway) as (world, _),
        customer(world, command="bind_receiver", interface_version=0x33) as (node, _),
    ):
        bound = await node.connect(url=f"smpp://127.0.0.1:{world.port}")
        response = await node.send(
            bound,
            "bind_transmitter",
            system_id=world.system_id,
            password=world.password,
            interface_version=0x33,
        )
        assert "sc_interface_version" not in response
        accepted = await node.send(bound, "submit_sm", **submit(world, ENGLISH))
        assert len(accepted["message_id"]) == 8
        await until(lambda: bool(receipts(node)), "the receipt")
        (receipt,) = receipts(node)
        assert "receipted_message_id" not in receipt
        assert message_of(receipt).startswith(f"id:{accepted['message_id']} ")
        several = await node.send(
            bound,
            "submit_multi",
            **submit(world, ENGLISH, dest_address=[{"destination_addr": TO, "dest_addr_ton": 1}]),
        )
        assert len(several["message_id"]) == 8
        data = await node.send(bound, "data_sm", **submit(world, ENGLISH, message_payload=ENGLISH))
        assert len(data["message_id"]) == 8
        await node.send(bound, "unbind")


@pytest.mark.parametrize(("version", "waiting"), [(0x34, ENROUTE), (0x50, SCHEDULED)])
async def test_query_cancel_and_replace_of_a_scheduled_message(
    gateway: Gateway, version: int, waiting: int
) -> None:
    async with (
        simulated(gateway) as (world, carrier),
        customer(world, interface_version=version) as (node, session),
    ):
        source = {"source_addr_ton": 1, "source_addr_npi": 1, "source_addr": world.number}

        async def schedule() -> str:
            fields = submit(world, CHINESE, schedule_delivery_time=IN_AN_HOUR)
            response = await node.send(session, "submit_sm", **fields)
            assert response["command_status"] == ROK
            return str(response["message_id"])

        async def state(message_id: str) -> int:
            found = await node.send(session, "query_sm", message_id=message_id, **source)
            assert (found["command_status"], found["message_id"]) == (ROK, message_id)
            return int(found["message_state"])

        async def cancel(message_id: str = "", **more: Any) -> int:
            fields = {"message_id": message_id, "destination_addr": TO, **source, **more}
            return int((await node.send(session, "cancel_sm", **fields))["command_status"])

        first, second = await schedule(), await schedule()
        assert await state(first) == waiting  # 3.4 has no state for it
        assert await cancel(first) == ROK
        assert await state(first) == DELETED
        assert await cancel(first) == RCANCELFAIL
        assert await cancel("no-such-id") == RINVMSGID
        replaced = {
            "message_id": second,
            "short_message": {"hex": "您".encode("utf-16-be").hex()},
            "registered_delivery": 1,
            **source,
        }
        assert (await node.send(session, "replace_sm", **replaced))["command_status"] == ROK
        await until(lambda: bool(messages_of(carrier)), "the replaced message")
        assert texts_seen(messages_of(carrier)) == ["您"]
        assert (await node.send(session, "replace_sm", **replaced))["command_status"] == RREPLACEFAIL
        third = await schedule()
        assert await cancel() == ROK  # by source and destination
        assert await state(third) == DELETED
        await until(lambda: len(receipts(node)) == 3, "two receipts of deletion and one of delivery")
        states = {pdu["receipted_message_id"]: pdu["message_state"] for pdu in receipts(node)}
        assert states == {first: DELETED, second: DELIVERED, third: DELETED}
        foreign = await node.send(session, "query_sm", message_id="1234567890123456789", **source)
        assert foreign["command_status"] == RQUERYFAIL


async def test_submit_multi_gives_one_id_and_a_receipt_a_number(gateway: Gateway) -> None:
    to = [f"861380013{n:04d}" for n in range(3)]
    async with simulated(gateway) as (world, carrier), customer(world) as (node, session):
        fields = submit(
            world,
            CHINESE,
            dest_address=[
                *({"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": one} for one in to),
                {"dl_name": "friends"},
                {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "12"},
            ],
        )
        response = await node.send(session, "submit_multi", **fields)
        assert response["command_status"] == ROK
        assert [one["destination_addr"] for one in response["unsuccess_sme"]] == ["friends", "12"]
        assert response["unsuccess_sme"][1]["error_status_code"] == RINVDSTADR
        await until(lambda: len(receipts(node)) == 3, "a receipt for each number")
        assert {pdu["receipted_message_id"] for pdu in receipts(node)} == {response["message_id"]}
        assert sorted(pdu["source_addr"] for pdu in receipts(node)) == to
        assert sorted(seen.destination_addr for seen in messages_of(carrier)) == to


async def test_data_sm_is_a_message_like_any_other(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, carrier), customer(world) as (node, session):
        fields = submit(world, None, message_payload=LONG_CHINESE)
        del fields["short_message"]
        response = await node.send(session, "data_sm", **fields)
        assert response["command_status"] == ROK
        await until(lambda: bool(receipts(node)), "the receipt")
        assert texts_seen(messages_of(carrier)) == [LONG_CHINESE]
        assert receipts(node)[0]["receipted_message_id"] == response["message_id"]


async def test_inbound_messages_and_receipts_are_offered_again_until_taken(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, carrier), customer(world) as (node, _):
        await node.answer("deliver_sm", statuses=[0x64, 0x58, 0x08])
        carrier.send_mo("回复T退订😀", destination=world.number)
        await until(lambda: len(node.requests("deliver_sm")) == 4, "three refusals and a ROK")
        assert {message_of(pdu) for pdu in node.requests("deliver_sm")} == {"回复T退订😀"}
        (first, *_) = node.requests("deliver_sm")
        assert (first["destination_addr"], first["data_coding"]) == (world.number, 8)
        await node.answer("deliver_sm", statuses=[0x65])
        carrier.send_mo("永久拒绝", destination=world.number)
        await until(lambda: len(node.requests("deliver_sm")) == 5, "the refused one")
        carrier.send_mo("下一条", destination=world.number)
        await until(lambda: len(node.requests("deliver_sm")) >= 6, "the next one")
        assert [message_of(pdu) for pdu in node.requests("deliver_sm")][4:] == ["永久拒绝", "下一条"]


async def test_receipts_wait_for_a_customer_that_is_away(gateway: Gateway) -> None:
    async with simulated(gateway, Behaviour(receipts_delay_s=0.4)) as (world, carrier):
        async with customer(world, command="bind_transmitter") as (node, session):
            response = await node.send(session, "submit_sm", **submit(world, CHINESE))
        await until(lambda: bool(carrier.log.receipts) and carrier.log.receipts[0].status == 0, "its receipt")
        async with customer(world, command="bind_receiver") as (node, session):
            await until(lambda: bool(receipts(node)), "the receipt that waited")
            assert [pdu["receipted_message_id"] for pdu in receipts(node)] == [response["message_id"]]


async def test_what_is_no_command_or_out_of_turn_gets_its_status_and_the_session_goes_on(
    gateway: Gateway,
) -> None:
    async with simulated(gateway) as (world, _), customer(world) as (node, session):
        nack = await node.send(session, "vendor_sm")
        assert (nack["command"], nack["command_status"]) == ("generic_nack", RINVCMDID)
        unknown = await node.send(session, "broadcast_sm", source_addr=world.number)
        assert unknown["command_status"] == RINVCMDID
        again = await node.send(
            session, "bind_transceiver", system_id=world.system_id, password=world.password
        )
        assert (again["command"], again["command_status"]) == ("bind_transceiver_resp", RALYBND)
        other = await node.connect(url=f"smpp://127.0.0.1:{world.port}")
        early = await node.send(other, "submit_sm", **submit(world, CHINESE))
        assert (early["command"], early["command_status"]) == ("submit_sm_resp", 4)
        refused = await node.send(other, "bind_transceiver", system_id=world.system_id, password="wrong")
        assert (refused["command"], refused["command_status"]) == ("bind_transceiver_resp", RBINDFAIL)
        await until(lambda: {"session": other, "closed": True} in node.events, "the refused one is closed")
        assert (await node.send(session, "enquire_link"))["command_status"] == ROK


async def test_optional_parameters_reach_the_carrier(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, carrier), customer(world) as (node, session):
        fields = submit(
            world,
            CHINESE,
            user_message_reference=0x1234,
            dest_addr_subunit=1,
            privacy_indicator=2,
            callback_num=[{"digit_mode": 1, "ton": 1, "npi": 1, "number": "8675512345678"}],
            alert_on_message_delivery=1,
        )
        assert (await node.send(session, "submit_sm", **fields))["command_status"] == ROK
        await until(lambda: bool(messages_of(carrier)), "the message")
        tlvs = messages_of(carrier)[0].tlvs
        assert tlvs[0x0204] == b"\x12\x34"
        assert (tlvs[0x0005], tlvs[0x0201], tlvs[0x130C]) == (b"\1", b"\2", b"\1")
        assert tlvs[0x0381] == b"\1\1\1" + b"8675512345678"


async def test_it_binds_over_tls_and_verifies_us(gateway: Gateway, certificate: Path) -> None:
    async with simulated(gateway) as (world, carrier), node_peer() as node:
        session = await node.connect(url=f"ssmpp://127.0.0.1:{gateway.ports.tls}", ca=str(certificate))
        bound = await node.send(
            session, "bind_transceiver", system_id=world.system_id, password=world.password
        )
        assert bound["command_status"] == ROK
        assert (await node.send(session, "submit_sm", **submit(world, CHINESE)))["command_status"] == ROK
        await until(lambda: bool(receipts(node)), "the receipt")
        assert texts_seen(messages_of(carrier)) == [CHINESE]
        assert (await node.send(session, "unbind"))["command_status"] == ROK


async def test_both_sides_ask_whether_the_other_lives(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, _), customer(world) as (node, session):
        await until(lambda: bool(node.requests("enquire_link", session)), "the gateway's enquire_link")
        assert (await node.send(session, "enquire_link"))["command_status"] == ROK


def test_octets_are_octets() -> None:
    assert octets({"hex": "00ff"}) == b"\0\xff"
