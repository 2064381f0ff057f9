"""Kannel (Debian), the gateway that most bulk senders grew up with, as a customer: HTTP in, SMPP to us."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.smpp.encode import body_of
from gateway.smpp.pdu import DeliverSm

from .gateway_process import PEOPLE, Gateway
from .kannel import ACCEPTED, BUFFERED, DELIVERED, EXPIRED, FAILED, REFUSED, Kannel, kannel, smsc
from .world import CHINESE, LONG_CHINESE, World, messages_of, open_world, simulated, texts_seen, until

ENGLISH = "Your parcel no. 7 costs 5€ ~ pay {by} [noon] | ok^"
RTHROTTLED = 0x58
LONG_ENGLISH = " ".join(f"{ENGLISH} ({n})" for n in range(6))
LATER = Behaviour(receipts_delay_s=0.2)
# On another bind a receipt may be read before the answer that it belongs to, and is lost on Kannel.
MUCH_LATER = Behaviour(receipts_delay_s=1.0)


def number(n: int) -> str:
    return f"86138001380{n:02d}"


async def send_all(boxes: Kannel, world: World, texts: list[str], **more: Any) -> None:
    """One message a number, and wait until each is told to be delivered."""
    for n, text in enumerate(texts):
        assert (await boxes.send(world.number, number(n), text, **more)).startswith("0: Accepted")
    for n in range(len(texts)):
        await until(lambda n=n: DELIVERED in boxes.kinds(number(n)), f"the receipt of {number(n)}")


# How Kannel reads ids. It turns them into 64-bit numbers where it is told their base: decimal ones of 19 digits
# fit; read as hexadecimal they all become the largest number, and only the destination tells them apart.
ID_TYPES: dict[str, dict[str, Any]] = {
    "as text": {},
    "decimal": {"msg_id_type": "0x00"},
    "hexadecimal": {"msg_id_type": "0x03"},
}


@pytest.mark.parametrize("ids", ID_TYPES)
async def test_texts_arrive_and_receipts_come_to_their_url(
    gateway: Gateway, tmp_path: Path, ids: str
) -> None:
    texts = [ENGLISH, CHINESE, LONG_ENGLISH, LONG_CHINESE]
    async with (
        simulated(gateway, LATER) as (world, carrier),
        kannel(tmp_path, smsc(world, **ID_TYPES[ids])) as boxes,
    ):
        await send_all(boxes, world, texts)
        assert sorted(texts_seen(messages_of(carrier))) == sorted(texts)
        for n in range(len(texts)):
            await until(lambda n=n: boxes.kinds(number(n)) == [ACCEPTED, DELIVERED], "both receipts")
            delivered = boxes.receipt(number(n), DELIVERED)
            if ids != "hexadecimal":
                assert delivered["text"].startswith(b"id:" + delivered["fid"] + b" sub:001 dlvrd:001 ")
                assert b" stat:DELIVRD err:000 " in delivered["text"]
        assert boxes.receipt(number(0), DELIVERED)["text"].endswith(b" text:Your parcel no. 7 co")


@pytest.mark.parametrize("version", [34, 33])
async def test_a_transmitter_and_a_receiver_get_answers_and_receipts(
    gateway: Gateway, tmp_path: Path, version: int
) -> None:
    pair: dict[str, Any] = {"transceiver_mode": False, "interface_version": version}
    async with (
        simulated(gateway, MUCH_LATER) as (world, carrier),
        kannel(tmp_path, smsc(world, **pair), smsc(world, receive_port=world.port, **pair)) as boxes,
    ):
        await send_all(boxes, world, [ENGLISH, CHINESE])
        assert sorted(texts_seen(messages_of(carrier))) == sorted([ENGLISH, CHINESE])
        assert len(boxes.receipt(number(0), DELIVERED)["fid"]) == (19 if version == 34 else 8)


# What becomes of a message, what its dlr-mask asks for, and what Kannel then tells.
MASKS: list[tuple[str, int, list[int]]] = [
    ("DELIVRD", 31, [ACCEPTED, DELIVERED]),
    ("DELIVRD", 1, [DELIVERED]),
    ("DELIVRD", 2, []),
    ("UNDELIV", 31, [ACCEPTED, FAILED]),
    ("UNDELIV", 2, [FAILED]),
    ("UNDELIV", 1, []),
    ("EXPIRED", 31, [ACCEPTED, FAILED | EXPIRED]),
    ("DELETED", 2, [FAILED]),
    ("REJECTD", 3, [FAILED]),
    ("DELIVRD", 8, [ACCEPTED]),
    ("UNDELIV", 0, []),
]


async def test_it_is_told_what_its_mask_asks_for(gateway: Gateway, tmp_path: Path) -> None:
    async with simulated(gateway) as (world, carrier), kannel(tmp_path, smsc(world)) as boxes:
        for n, (state, mask, told) in enumerate(MASKS):
            carrier.behaviour = Behaviour(receipts_delay_s=0.1, states={state: 1.0})
            await boxes.send(world.number, number(n), CHINESE, mask=mask)
            await until(lambda n=n: len(carrier.log.receipts) == n + 1, "the carrier's receipt")
            await until(lambda n=n, told=told: len(boxes.kinds(number(n))) >= len(told), f"{told} of {state}")
        # One more proves that nothing is still to come for the others.
        carrier.behaviour = LATER
        await boxes.send(world.number, number(99), CHINESE)
        await until(lambda: len(boxes.kinds(number(99))) == 2, "the receipts of the last")
        assert [boxes.kinds(number(n)) for n in range(len(MASKS))] == [told for _, _, told in MASKS]


async def test_an_intermediate_notification_is_told_as_one(gateway: Gateway, tmp_path: Path) -> None:
    behaviour = Behaviour(receipts_delay_s=0.1, intermediate_receipts=1.0)
    async with simulated(gateway, behaviour) as (world, _), kannel(tmp_path, smsc(world)) as boxes:
        await boxes.send(world.number, number(0), CHINESE)  # with a mask that asks for intermediates
        await until(lambda: boxes.kinds(number(0)) == [ACCEPTED, BUFFERED, DELIVERED], "every receipt")
        # esm_class 20, "intermediate delivery notification" (SMPP 3.4 section 5.2.12), before the receipt's 04
        classes = [line.split()[-1] for line in boxes.log.splitlines() if "  esm_class: " in line]
        assert classes[-2:] == ["0x00000020", "0x00000004"]


async def test_what_we_refuse_it_reports_as_refused(gateway: Gateway, tmp_path: Path) -> None:
    async with (
        simulated(gateway, account={"senders": ["1069*"]}) as (world, carrier),
        kannel(tmp_path, smsc(world)) as boxes,
    ):
        await boxes.send("95588", number(0), CHINESE)
        await until(lambda: boxes.kinds(number(0)) == [REFUSED], "the refusal")
        assert boxes.receipts(number(0))[0]["text"].startswith(b"NACK/0x0000000a/")  # ESME_RINVSRCADR
        assert not carrier.log.parts


async def test_what_we_throttle_it_sends_again_until_all_is_through(gateway: Gateway, tmp_path: Path) -> None:
    count = 20
    async with (
        simulated(gateway, LATER, account={"rate": 8, "burst": 4}) as (world, carrier),
        kannel(tmp_path, smsc(world, max_pending_submits=10)) as boxes,
    ):
        async with trio.open_nursery() as nursery:
            for n in range(count):
                nursery.start_soon(boxes.send, world.number, number(n), f"{CHINESE}{n}")
        for n in range(count):
            await until(lambda n=n: DELIVERED in boxes.kinds(number(n)), f"the receipt of {number(n)}")
        assert f"command_status: {RTHROTTLED} = " in boxes.log
        assert sorted(texts_seen(messages_of(carrier))) == sorted(f"{CHINESE}{n}" for n in range(count))


async def test_it_puts_inbound_messages_together_and_passes_them_on(gateway: Gateway, tmp_path: Path) -> None:
    long = "长" * 100
    async with simulated(gateway) as (world, carrier), kannel(tmp_path, smsc(world)) as boxes:
        carrier.send_mo("回复T退订😀", destination=world.number)
        carrier.send_mo(long, destination=world.number, parts=2, shuffled=True)
        await until(lambda: len(boxes.web.of("/mo")) == 2, "two inbound messages")
        told = boxes.web.of("/mo")
        assert {query["text"].decode("utf-16-be") for query in told} == {"回复T退订😀", long}
        assert {(query["to"], query["coding"]) for query in told} == {(world.number.encode(), b"2")}


async def test_binary_flash_validity_and_priority_reach_the_carrier(gateway: Gateway, tmp_path: Path) -> None:
    async with (
        simulated(gateway) as (world, carrier),
        kannel(tmp_path, smsc(world, alt_dcs=True)) as boxes,
    ):
        binary, header = bytes(range(0, 256, 2)), bytes.fromhex("0605040b8423f0")
        await boxes.send(world.number, number(0), binary, coding=1, udh=header)
        await boxes.send(world.number, number(1), "flash", mclass=0)
        await boxes.send(world.number, number(2), CHINESE, validity=30, priority=2)
        await until(lambda: len(carrier.log.parts) == 3, "three messages")
        seen = {message.destination_addr: message for message in messages_of(carrier)}
        assert seen[number(0)].text == header + binary
        assert seen[number(0)].esm_class & 0x40
        assert seen[number(0)].data_coding in (4, 0xF5)
        assert (seen[number(1)].data_coding, seen[number(1)].text) == (0xF0, b"flash")
        await until(lambda: all(DELIVERED in boxes.kinds(number(n)) for n in range(3)), "their receipts")


async def test_it_binds_over_tls(gateway: Gateway, tmp_path: Path) -> None:
    async with (
        simulated(gateway, LATER) as (world, carrier),
        kannel(tmp_path, smsc(world, port=gateway.ports.tls, use_ssl=True)) as boxes,
    ):
        await send_all(boxes, world, [CHINESE])
        assert texts_seen(messages_of(carrier)) == [CHINESE]


async def test_neither_side_gives_up_on_a_silent_other(gateway: Gateway, tmp_path: Path) -> None:
    async with (
        simulated(gateway, LATER) as (world, _),
        kannel(tmp_path, smsc(world, enquire_link_interval=1)) as boxes,
    ):
        await until(lambda: boxes.log.count("type_name: enquire_link_resp") >= 3, "questions of both sides")
        await send_all(boxes, world, [CHINESE])
        assert boxes.log.count("type_name: bind_transceiver_resp") == 1


async def test_a_restart_of_the_gateway_loses_it_no_receipt(certificate: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gateway"
    gateway = Gateway(folder, certificate)
    try:
        gateway.apply(**PEOPLE)
        async with (
            SimCarrier(Behaviour(receipts=False)) as carrier,
            open_world(gateway, carrier.port) as world,
        ):
            async with kannel(tmp_path, smsc(world)) as boxes:
                await carrier.wait_bound()
                await boxes.send(world.number, number(0), CHINESE)
                await until(lambda: boxes.kinds(number(0)) == [ACCEPTED], "its acceptance")
                assert await trio.to_thread.run_sync(gateway.stop) == 0
                (part,) = carrier.log.parts
                text = f"id:{part.message_id} sub:001 dlvrd:001 stat:DELIVRD err:000"
                carrier.send_deliver(
                    body_of(
                        DeliverSm(
                            source_addr=number(0).encode(),
                            destination_addr=world.number.encode(),
                            esm_class=4,
                            short_message=text.encode(),
                        )
                    )
                )  # the carrier holds it until somebody binds
                world.gateway = gateway = await trio.to_thread.run_sync(
                    partial(Gateway, folder, certificate, SLUICE__SMPP__LISTEN=f"127.0.0.1:{world.port}")
                )
                await until(lambda: boxes.kinds(number(0)) == [ACCEPTED, DELIVERED], "its receipt")
                carrier.behaviour = LATER
                await boxes.send(world.number, number(1), CHINESE)
                await until(lambda: boxes.kinds(number(1)) == [ACCEPTED, DELIVERED], "the next")
            assert texts_seen(messages_of(carrier)) == [CHINESE, CHINESE]
    finally:
        assert gateway.stop() == 0
