"""Whole conversations of the gateway with customers and carriers, recorded for others to read.

Between them they hold every PDU of SMPP 3.4 that either side may send (`test_tshark.py` counts them), in the
shapes that the gateway can give them. The peers are ours, so that nothing here waits for a package.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.wire import header_only, pdu
from gateway.smpp.constants import CommandId
from gateway.smpp.encode import body_of, encode
from gateway.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DeliverSm,
    DistributionList,
    EnquireLink,
    Pdu,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    Tlvs,
    Unbind,
)
from gateway.smpp.udh import build_concat_udh

from .gateway_process import Gateway
from .recorder import Conversation, Direction, Recorder
from .script_peer import ScriptPeer
from .world import CHINESE, LONG_CHINESE, World, apply, open_world, until

TO = b"8613800138000"
IN_AN_HOUR = b"000000010000000R"
FOR_A_DAY = b"000001000000000R"
GSM_TEXT = b"Parcel \x1b<no. 7\x1b> costs 5\x1be \x00 noon"  # [ ] € @
UCS2 = 8


class Recorded(msgspec.Struct, frozen=True):
    """One connection. `ours` is the direction that the gateway wrote."""

    name: str
    ours: Direction
    conversation: Conversation
    honest: bool = True  # False: the peer sent what no dissector should like


class Scene(msgspec.Struct):
    """A customer's port and a carrier, both behind recorders."""

    world: World
    carrier: SimCarrier
    downstream: Recorder
    upstream: Recorder

    def recorded(self, name: str, *, honest: bool = True) -> list[Recorded]:
        below = [
            Recorded(f"{name}, customer {n}", "down", conversation, honest)
            for n, conversation in enumerate(self.downstream.conversations, 1)
        ]
        above = [
            Recorded(f"{name}, carrier {n}", "up", conversation)
            for n, conversation in enumerate(self.upstream.conversations, 1)
        ]
        return below + above

    async def part(self) -> None:
        """Have the gateway unbind from the carrier, and see it done."""
        settings = {"name": self.world.carrier_name, "state": "paused"}
        await apply(self.world.gateway, carrier=[settings])
        await until(lambda: not self.carrier.links, "the carrier's links are gone")


@asynccontextmanager
async def scene(
    gateway: Gateway, behaviour: Behaviour | None = None, *, binds: int = 1, **carrier: Any
) -> AsyncIterator[Scene]:
    async with (
        SimCarrier(behaviour) as sim,
        Recorder(sim.port) as upstream,
        open_world(gateway, upstream.port, carrier=carrier) as world,
        Recorder(gateway.ports.smpp) as downstream,
    ):
        await sim.wait_bound(binds)
        yield Scene(world, sim, downstream, upstream)


def submit(
    world: World, text: bytes = GSM_TEXT, tlvs: Tlvs = (), *, receipts: int = 1, **fields: Any
) -> SubmitSm:
    return SubmitSm(
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr=world.number.encode(),
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr=TO,
        registered_delivery=receipts,
        short_message=text,
        tlvs=tlvs,
        **fields,
    )


def ucs2(text: str) -> bytes:
    return text.encode("utf-16-be")


def is_receipt(heard: Pdu) -> bool:
    return isinstance(heard, DeliverSm) and heard.esm_class & 0x3C == 4


def is_inbound(heard: Pdu) -> bool:
    return isinstance(heard, DeliverSm) and not heard.esm_class & 0x3C


# Every optional parameter that SMPP 3.4 lets a submit_sm carry beside those that say how it is cut.
OPTIONS: Tlvs = (
    (0x0204, b"\x12\x34"),  # user_message_reference
    (0x020A, b"\x1f\x90"),  # source_port: none that a dissector knows a protocol for
    (0x000D, b"\x01"),  # source_addr_subunit
    (0x020B, b"\x1f\x91"),  # destination_port
    (0x0005, b"\x01"),  # dest_addr_subunit
    (0x0019, b"\x00"),  # payload_type
    (0x0201, b"\x02"),  # privacy_indicator
    (0x0381, b"\x01\x01\x018675512345678"),  # callback_num
    (0x0202, b"\x80\x01"),  # source_subaddress
    (0x0203, b"\xa0\x02"),  # dest_subaddress
    (0x1201, b"\x01"),  # display_time
    (0x1203, b"\x00\x02"),  # sms_signal
    (0x020D, b"\x00"),  # language_indicator
    (0x0426, b"\x01"),  # more_messages_to_send
    (0x0304, b"\x05"),  # number_of_messages
    (0x1403, b"vendor"),
)
# Those that not every codec knows.
RARE_OPTIONS: Tlvs = (
    (0x0381, b"\x01\x01\x018675512345678"),  # callback_num, twice, with what belongs to each
    (0x0381, b"\x01\x01\x018675587654321"),
    (0x0302, b"\x04"),  # callback_num_pres_ind
    (0x0302, b"\x08"),
    (0x0303, b"\x00Ann"),  # callback_num_atag
    (0x0303, b"\x00Bob"),
    (0x0205, b"\x07"),  # user_response_code
    (0x1204, b"\x02"),  # ms_validity
    (0x130C, b""),  # alert_on_message_delivery
    (0x0030, b"\x80"),  # ms_msg_wait_facilities
    (0x1380, b"\x01"),  # its_reply_type
    (0x1383, b"\x00\x02"),  # its_session_info
    (0x0501, b"\x01"),  # ussd_service_op
)


async def submissions(peer: ScriptPeer, world: World) -> None:
    """Every way to hand in a message."""
    text = ucs2(CHINESE)
    long = ucs2(LONG_CHINESE)
    parts = [long[at : at + 120] for at in range(0, 360, 120)]
    for number, part in enumerate(parts, 1):
        by_udh = build_concat_udh(9, 3, number) + part
        sar: Tlvs = ((0x020C, b"\x00\x09"), (0x020E, b"\x03"), (0x020F, bytes((number,))))
        await peer.ask(submit(world, by_udh, esm_class=0x40, data_coding=UCS2))
        await peer.ask(submit(world, part, sar, data_coding=UCS2))
    requests: list[Pdu] = [
        submit(world),
        submit(world, text, data_coding=UCS2, priority_flag=3, protocol_id=0x41, service_type=b"CMT"),
        submit(world, GSM_TEXT * 6, esm_class=3),
        submit(world, b"", ((0x0424, long),), data_coding=UCS2),
        submit(world, bytes(range(1, 141)), data_coding=4),
        submit(world, b"flash", data_coding=0x10),
        submit(world, GSM_TEXT, OPTIONS),
        submit(world, GSM_TEXT, RARE_OPTIONS),
        submit(world, text, data_coding=UCS2, validity_period=FOR_A_DAY),
        submit(world, GSM_TEXT, ((0x0017, b"\x00\x00\x0e\x10"),)),
        submit(world, b"\x06\x05\x04\x1f\x90\x1f\x91" + bytes(100), esm_class=0x40, data_coding=4),
        DataSm(
            source_addr_ton=5,
            source_addr=b"ACME",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=TO,
            registered_delivery=1,
            data_coding=UCS2,
            tlvs=((0x0424, long),),
        ),
    ]
    for request in requests:
        response = await peer.ask(request)
        assert response.command_status == 0, (request, response)


async def operations(peer: ScriptPeer, world: World) -> None:
    """Queries, replacements, cancellations, submit_multi: the good answers and the bad ones."""
    source = {"source_addr_ton": 1, "source_addr_npi": 1, "source_addr": world.number.encode()}
    where = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": TO}
    scheduled = await peer.ask(submit(world, schedule_delivery_time=IN_AN_HOUR))
    message_id: bytes = scheduled.message_id  # type: ignore[attr-defined]
    await peer.ask(QuerySm(message_id=message_id, **source))
    await peer.ask(ReplaceSm(message_id=message_id, short_message=b"new", registered_delivery=1, **source))
    again = await peer.ask(submit(world, schedule_delivery_time=IN_AN_HOUR))
    await peer.ask(CancelSm(message_id=again.message_id, **source, **where))  # type: ignore[attr-defined]
    await peer.ask(QuerySm(message_id=again.message_id, **source))  # type: ignore[attr-defined]
    await peer.ask(QuerySm(message_id=message_id, **source))
    for missing in (b"1234567890123456789", b"none"):
        await peer.ask(QuerySm(message_id=missing, **source))
        await peer.ask(ReplaceSm(message_id=missing, short_message=b"new", **source))
        await peer.ask(CancelSm(message_id=missing, **source, **where))
    several = (SmeAddress(1, 1, b"8613800138001"), SmeAddress(1, 1, b"8613800138002"))
    for destinations in (
        several,
        (*several, DistributionList(b"friends"), SmeAddress(1, 1, b"12")),
        (SmeAddress(1, 1, b"12"),),
    ):
        await peer.ask(
            SubmitMulti(
                destinations=destinations,
                data_coding=UCS2,
                short_message=ucs2(CHINESE),
                registered_delivery=1,
                **source,
            )
        )


async def customer_of_3_4(gateway: Gateway) -> list[Recorded]:
    """A transceiver that does everything; a carrier whose receipts take every form and end."""
    async with scene(gateway, Behaviour(id_form="hex", enquire_link_s=1.0)) as stage:
        world, carrier = stage.world, stage.carrier
        async with ScriptPeer(stage.downstream.port) as peer:
            bind = BindTransceiver(system_id=world.system_id.encode(), password=world.password.encode())
            assert (await peer.ask(bind)).command_status == 0
            await submissions(peer, world)
            await operations(peer, world)
            for form in ("text", "tlv", "both"):
                for state in ("DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "REJECTD"):
                    carrier.behaviour = Behaviour(receipt_form=form, states={state: 1.0})
                    await peer.ask(submit(world, b"%s as %s" % (state.encode(), form.encode())))
            carrier.behaviour = Behaviour(
                intermediate_receipts=1.0, receipt_pdu="data_sm", receipt_form="both"
            )
            await peer.ask(submit(world, b"enroute", receipts=0x11))
            carrier.behaviour = Behaviour(errors={"45": 1.0})
            await peer.ask(submit(world, b"refused"))
            carrier.behaviour = Behaviour(errors={"58": 1.0})
            await peer.ask(submit(world, b"throttled"))
            await until(lambda: carrier.log.parts[-1].status == 0x58, "a throttled submit")
            carrier.behaviour = Behaviour()
            carrier.send_mo("回复T退订😀", destination=world.number)
            carrier.send_mo("长" * 100, destination=world.number, parts=2)
            link = carrier.links[0]
            alert = encode(AlertNotification(7, 0, 1, 1, TO, 0, 0, world.number.encode()))
            link.put(alert)
            await peer.until_heard(is_inbound, 3, "three inbound messages")
            await peer.ask(EnquireLink())
            await peer.until_heard(
                lambda heard: isinstance(heard, EnquireLink), 1, "the gateway's enquire_link"
            )
            await peer.until_heard(is_receipt, 40, "receipts")
            await peer.ask(Unbind())
        await stage.part()
        return stage.recorded("3.4 transceiver")


async def customers_of_every_version(gateway: Gateway) -> list[Recorded]:
    """A transmitter and a receiver of 3.3, 3.4 and 5.0; the gateway unbinds them when their account is disabled."""
    found: list[Recorded] = []
    for version in (0x33, 0x34, 0x50):
        async with scene(gateway) as stage:
            world = stage.world
            login = {
                "system_id": world.system_id.encode(),
                "password": world.password.encode(),
                "interface_version": version,
            }
            async with (
                ScriptPeer(stage.downstream.port) as sender,
                ScriptPeer(stage.downstream.port) as receiver,
            ):
                await sender.ask(EnquireLink())  # before the bind, as some clients do
                assert (await sender.ask(BindTransmitter(**login))).command_status == 0
                assert (await receiver.ask(BindReceiver(**login))).command_status == 0
                await sender.ask(submit(world))
                await sender.ask(submit(world, ucs2(CHINESE), data_coding=UCS2))
                stage.carrier.send_mo("上行", destination=world.number)
                await receiver.until_heard(is_receipt, 2, "two receipts")
                await receiver.until_heard(is_inbound, 1, "the inbound message")
                await apply(gateway, account=[{"system_id": world.system_id, "state": "disabled"}])
                await sender.until_closed()
                await receiver.until_closed()
            await stage.part()
            found += stage.recorded(f"pair of {version:#x}")
    return found


async def strangers(gateway: Gateway) -> list[Recorded]:
    """Out of turn, out of shape and out of luck: what the gateway says to those."""
    async with scene(gateway) as stage:
        world = stage.world
        right = {"system_id": world.system_id.encode(), "password": world.password.encode()}
        async with ScriptPeer(stage.downstream.port) as early:
            await early.ask(submit(world))
            await early.ask(QuerySm(message_id=b"1"))
            await early.ask(BindTransceiver(system_id=world.system_id.encode(), password=b"wrong"))
            await early.until_closed()
        async with ScriptPeer(stage.downstream.port) as odd:
            assert (await odd.ask(BindTransceiver(**right))).command_status == 0
            await odd.ask(BindTransceiver(**right))
            await odd.ask(submit(world, priority_flag=9))
            await odd.ask(submit(world, esm_class=2))
            await odd.ask(submit(world, schedule_delivery_time=b"991332250000000+"))
            await odd.ask(DataSm(destination_addr=TO))
            await odd.ask(DeliverSm(source_addr=TO))
            number = 1_000
            for octets in malformed(world):
                number += 1
                await odd.send_octets(pdu(octets[0], number, octets[1]))
                await odd.answer_to(number)
            await odd.send_octets(header_only(0x8000_0110, 9))  # a response that nobody knows: no answer
            await odd.ask(EnquireLink())
            await odd.send_octets(b"\0\0\0\x08\0\0\0\x15")
            await odd.until_closed()
        return stage.recorded("strangers", honest=False)


def malformed(world: World) -> list[tuple[int, bytes]]:
    """(command_id, body) of requests that cannot be read, or are no commands of SMPP."""
    good = body_of(submit(world))
    source_at = 1
    return [
        (CommandId.SUBMIT_SM, b""),
        (CommandId.SUBMIT_SM, good[:20]),
        (CommandId.SUBMIT_SM, good + b"\x02\x04\x00"),
        (CommandId.SUBMIT_SM, good + b"\x04\x24\xff\xff12345"),
        (CommandId.SUBMIT_SM, good[:source_at] + b"\1\1" + b"9" * 21 + good[source_at + 2 :]),
        (CommandId.SUBMIT_SM, b"123456" + good),
        (CommandId.SUBMIT_MULTI, good[: good.index(0, 4) + 1] + b"\1\x09" + good),
        (CommandId.QUERY_SM, b"no end"),
        (CommandId.CANCEL_SM, b"\0"),
        (CommandId.REPLACE_SM, b"\0"),
        (CommandId.DATA_SM, b"\0"),
        (0x0000_0110, b""),
        (0x0001_0200, b"vendor"),
        (0x0100_0001, b""),
        (0x0000_0111, b"\0"),
    ]


# What carriers may be said to like, each in a conversation of its own.
LIKES: dict[str, dict[str, Any]] = {
    "16-bit references": {"split": "udh16"},
    "SAR": {"split": "sar", "alphabet": "latin1", "gsm_data_coding": 3},
    "payload": {"split": "payload", "validity_form": "absolute", "validity_s_max": 3600},
    "TLVs": {"tlv_add": [[0x1400, "0102"]], "tlv_drop": [0x0204], "source_ton": 0, "dest_npi": 1},
    "3.3": {"interface_version": 0x33, "bind": "pair"},
    "packed": {"alphabet": "gsm-packed", "receipts": "asked", "system_type": "VMA", "address_range": "^1069"},
}


async def carriers_with_likes(gateway: Gateway) -> list[Recorded]:
    found: list[Recorded] = []
    for name, settings in LIKES.items():
        binds = 2 if settings.get("bind") == "pair" else 1
        async with scene(gateway, Behaviour(id_form="hex-decimal"), binds=binds, **settings) as stage:
            world = stage.world
            async with ScriptPeer(stage.downstream.port) as peer:
                login = {"system_id": world.system_id.encode(), "password": world.password.encode()}
                await peer.ask(BindTransceiver(**login))
                for request in (
                    submit(world, tlvs=((0x0204, b"\0\1"),)),
                    submit(world, GSM_TEXT * 6, validity_period=FOR_A_DAY),
                    submit(world, b"", ((0x0424, ucs2(LONG_CHINESE)),), data_coding=UCS2),
                ):
                    assert (await peer.ask(request)).command_status == 0
                await peer.until_heard(is_receipt, 3, "a receipt for each")
                await peer.ask(Unbind())
            await stage.part()
            found += stage.recorded(f"a carrier that likes {name}")
    return found


async def carriers_that_connect(gateway: Gateway) -> list[Recorded]:
    """Carriers that bind in, in both dialects, and one that asks for our bind."""
    found: list[Recorded] = []
    for name, mode, dialect in (
        ("bound-in, deliver_sm", "bound-in", "deliver_sm"),
        ("bound-in, submit_sm", "bound-in", "submit_sm"),
        ("outbind", "outbind", ""),
    ):
        serial = f"inward{len(found)}"
        settings = {
            "mode": mode,
            "system_id": serial,
            "allow": ["127.0.0.0/8"],
            "mo_as": dialect or "deliver_sm",
        }
        async with (
            SimCarrier(listen=False, system_id=serial) as carrier,
            open_world(gateway, 0, carrier=settings) as world,
            Recorder(gateway.ports.smpp) as inward,
            Recorder(gateway.ports.smpp) as downstream,
        ):
            stream = await trio.open_tcp_stream("127.0.0.1", inward.port)
            if mode == "outbind":
                await carrier.outbind(stream)
            else:
                await carrier.bind_in(stream, dialect=dialect)
            await carrier.wait_bound()
            stage = Scene(world, carrier, downstream, inward)
            async with ScriptPeer(downstream.port) as peer:
                login = {"system_id": world.system_id.encode(), "password": world.password.encode()}
                await peer.ask(BindTransceiver(**login))
                await peer.ask(submit(world))
                await peer.ask(submit(world, b"", ((0x0424, ucs2(LONG_CHINESE)),), data_coding=UCS2))
                carrier.send_mo("上行", destination=world.number)
                await peer.until_heard(is_receipt, 2, "two receipts")
                await peer.until_heard(is_inbound, 1, "the inbound message")
                await peer.ask(Unbind())
            carrier.links[0].unbind()
            await until(lambda carrier=carrier: not carrier.links, "the end of the carrier's link")  # type: ignore[misc]
            for conversation in inward.conversations:
                found.append(Recorded(name, "down", conversation))
            found += [Recorded(f"{name}, customer", "down", each) for each in stage.downstream.conversations]
    return found


RECORDINGS: list[Callable[[Gateway], Any]] = [
    customer_of_3_4,
    customers_of_every_version,
    strangers,
    carriers_with_likes,
    carriers_that_connect,
]


def record(gateway: Gateway) -> list[Recorded]:
    """Hold all of them, one after the other."""

    async def main() -> list[Recorded]:
        return [each for recording in RECORDINGS for each in await recording(gateway)]

    return trio.run(main)
