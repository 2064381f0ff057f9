"""node-smpp (npm smpp) as a carrier that the gateway binds to: what many test centres are made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.sim.esme import SimEsme
from gateway.sim.esme_books import Sent
from gateway.sim.esme_options import EsmeOptions

from .gateway_process import Gateway
from .node_peer import Fields, NodePeer, message_of, node_peer, octets
from .world import CHINESE, ENGLISH, LONG_CHINESE, LONG_ENGLISH, World, open_world, until

TO = "8613800138000"
DELIVERED = 2
RINVCMDID, RTHROTTLED, RMSGQFUL, RSUBMITFAIL = 0x03, 0x58, 0x14, 0x45
BINDS = ("bind_transceiver", "bind_transmitter", "bind_receiver")


class Far:
    """A node that listens as a carrier, the gateway bound to it, and a customer."""

    def __init__(self, node: NodePeer, world: World, esme: SimEsme) -> None:
        self.node = node
        self.world = world
        self.esme = esme

    @property
    def accepted(self) -> list[tuple[Fields, str]]:
        """submit_sm that were taken, each with the id it got."""
        return [
            (pdu, given["message_id"])
            for pdu, given in self.node.answered("submit_sm")
            if "message_id" in given
        ]

    def session(self, command: str = "bind_transceiver") -> int:
        """The newest session that sent this bind."""
        bound = [event for event in self.node.events if event.get("pdu", {}).get("command") == command]
        return int(bound[-1]["session"])

    async def bound(self, *commands: str) -> None:
        await until(
            lambda: all(self.node.answered(command) for command in commands or ("bind_transceiver",)),
            "the gateway's bind",
        )

    async def submit(self, *texts: str) -> list[Sent]:
        sent = []
        for n, text in enumerate(texts):
            sent += await self.esme.submit(text, f"{int(TO) + n}")
        return sent


@asynccontextmanager
async def far_carrier(
    gateway: Gateway, *, pem: Path | None = None, ids: str = "hex", esme: Fields | None = None, **carrier: Any
) -> AsyncIterator[Far]:
    async with node_peer() as node:
        await node.answer("submit_sm", ids=ids)
        for bind in BINDS:
            await node.answer(bind, fields={"system_id": "node", "sc_interface_version": 0x34})
        tls: Fields = {"key": str(pem), "cert": str(pem)} if pem else {}
        port = (await node.order("listen", **tls))["port"]
        if pem:
            carrier = {"tls": True, "tls_ca": str(pem), **carrier}
        async with open_world(gateway, port, carrier=carrier) as world:
            options = EsmeOptions(
                port=world.port,
                system_id=world.system_id,
                password=world.password,
                sender=world.number,
                **(esme or {}),
            )
            async with SimEsme(options) as customer:
                await customer.bind_all()
                yield Far(node, world, customer)
                assert node.errors == []


def receipt(submitted: Fields, message_id: str, form: str) -> Fields:
    """deliver_sm fields of a receipt DELIVRD, in one of the ways that carriers write them."""
    addresses = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": submitted["destination_addr"],
        "destination_addr": submitted["source_addr"],
        "esm_class": 4,
    }
    shown = f"{int(message_id, 16):010d}" if form == "decimal text" else message_id
    text = f"id:{shown} sub:001 dlvrd:001 submit date:2611220101 done date:2611220102 stat:DELIVRD err:000 text:..."
    tlvs = {"receipted_message_id": message_id, "message_state": DELIVERED}
    if form in ("TLVs", "data_sm"):
        return {**addresses, **tlvs}
    if form == "payload":
        return {**addresses, "message_payload": text}
    if form == "both":
        return {**addresses, "short_message": text, **tlvs}
    return {**addresses, "short_message": text}


async def send_receipts(far: Far, form: str) -> None:
    command = "data_sm" if form == "data_sm" else "deliver_sm"
    for submitted, message_id in far.accepted:
        answer = await far.node.send(far.session(), command, **receipt(submitted, message_id, form))
        assert (answer["command"], answer["command_status"]) == (f"{command}_resp", 0)


@pytest.mark.parametrize("form", ["text", "decimal text", "TLVs", "both", "payload", "data_sm"])
async def test_receipts_of_every_form_come_home(gateway: Gateway, form: str) -> None:
    async with far_carrier(gateway) as far:
        sent = await far.submit(ENGLISH, CHINESE, CHINESE)
        assert [part.status for part in sent] == [0, 0, 0]
        await until(lambda: len(far.accepted) == 3, "three submits")
        assert [message_of(pdu) for pdu, _ in far.accepted] == [ENGLISH, CHINESE, CHINESE]
        await send_receipts(far, form)
        await until(lambda: not far.esme.books.missing, "three receipts")
        assert [part.states for part in sent] == [["DELIVRD"]] * 3


async def test_over_tls_it_is_verified_and_everything_else_is_the_same(
    gateway: Gateway, certificate: Path
) -> None:
    async with far_carrier(gateway, pem=certificate, esme={"long": "payload"}) as far:
        await far.submit(CHINESE, LONG_CHINESE)
        await until(
            lambda: "".join(message_of(pdu) for pdu, _ in far.accepted) == CHINESE + LONG_CHINESE,
            "every part",
        )
        await send_receipts(far, "text")
        await until(lambda: not far.esme.books.missing, "the receipts")
        await far.node.send(far.session(), "deliver_sm", **inbound(far.world, "上行"))
        await until(lambda: len(far.esme.books.inbound) == 1, "the inbound message")


@pytest.mark.parametrize(
    "settings", [{"tls_ca": ""}, {"tls_server_name": "other.example"}], ids=["ca", "name"]
)
async def test_a_certificate_that_is_not_the_carrier_s_is_not_bound_to(
    gateway: Gateway, certificate: Path, settings: Fields
) -> None:
    async with node_peer() as node:
        port = (await node.order("listen", key=str(certificate), cert=str(certificate)))["port"]
        carrier = {"tls": True, "tls_ca": str(certificate), **settings}
        async with open_world(gateway, port, carrier=carrier) as world:

            def complained() -> bool:
                return any(
                    line.get("carrier") == world.carrier_name and "certificate was refused" in str(line)
                    for line in gateway.log()
                )

            await until(complained, "the gateway's complaint")
            assert not node.requests("bind_transceiver")


def inbound(world: World, text: Any, **fields: Any) -> Fields:
    return {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": TO,
        "destination_addr": world.number,
        "short_message": text,
        **fields,
    }


async def test_inbound_messages_come_unchanged_whole_or_in_segments(gateway: Gateway) -> None:
    async with far_carrier(gateway) as far:
        await far.bound()
        texts = ["T", "回复T退订😀", "Größe: 5 µm, coração"]
        for text in texts:
            answer = await far.node.send(far.session(), "deliver_sm", **inbound(far.world, text))
            assert answer["command_status"] == 0
        for number in (1, 2):
            header = bytes((5, 0, 3, 9, 2, number)).hex()
            part = {"udh": {"hex": header}, "message": f"第{number}段"}
            await far.node.send(far.session(), "deliver_sm", **inbound(far.world, part))
        payload = inbound(far.world, "", message_payload=LONG_CHINESE, user_message_reference=7)
        await far.node.send(far.session(), "data_sm", **payload)
        await until(lambda: len(far.esme.books.inbound) == 6, "six deliver_sm")
        got = far.esme.books.inbound
        codings = [message.data_coding for message in got]
        assert codings == [1, 8, 3, 8, 8, 8]
        assert [got[0].text, got[1].text.decode("utf-16-be"), got[2].text.decode("latin-1")] == texts_as(
            texts
        )
        assert [message.part for message in got[3:5]] == [(9, 2, 1), (9, 2, 2)]
        assert got[5].text.decode("utf-16-be") == LONG_CHINESE
        assert got[5].tlvs[0x0204] == b"\0\7"


def texts_as(texts: list[str]) -> list[Any]:
    return [texts[0].encode(), *texts[1:]]


async def test_what_is_throttled_goes_again_and_arrives_once_each_in_order(gateway: Gateway) -> None:
    count = 12
    async with far_carrier(gateway, window=5) as far:
        await far.node.answer("submit_sm", ids="hex", statuses=[RTHROTTLED, RMSGQFUL, RTHROTTLED])
        sent = await far.submit(*[CHINESE] * count)
        await until(lambda: len(far.accepted) == count, "every one accepted")
        to = [pdu["destination_addr"] for pdu, _ in far.accepted]
        assert sorted(to) == [part.destination for part in sent]
        assert len(far.node.requests("submit_sm")) == count + 3
        await send_receipts(far, "text")
        await until(lambda: not far.esme.books.missing, "every receipt")
        assert far.esme.books.report().duplicates == 0


async def test_a_refusal_is_told_to_the_customer_as_undeliverable(gateway: Gateway) -> None:
    async with far_carrier(gateway) as far:
        await far.node.answer("submit_sm", ids="hex", statuses=[RSUBMITFAIL])
        (sent,) = await far.submit(CHINESE)
        await until(lambda: bool(sent.states), "the receipt")
        assert (sent.status, sent.states) == (0, ["UNDELIV"])
        assert len(far.node.requests("submit_sm")) == 1


async def test_the_window_is_never_exceeded_and_late_answers_still_count(gateway: Gateway) -> None:
    async with far_carrier(gateway, window=4) as far:
        await far.node.answer("submit_sm", silent=True)
        await far.submit(*[CHINESE] * 9)
        await until(lambda: len(far.node.requests("submit_sm")) >= 4, "a full window")
        assert (await far.node.send(far.session(), "enquire_link"))["command_status"] == 0
        assert len(far.node.requests("submit_sm")) == 4


async def test_it_unbinds_us_and_we_bind_again(gateway: Gateway) -> None:
    async with far_carrier(gateway) as far:
        await far.bound()
        first = far.session()
        answer = await far.node.send(first, "unbind")
        assert (answer["command"], answer["command_status"]) == ("unbind_resp", 0)
        await far.node.order("close", session=first)
        await until(lambda: len(far.node.requests("bind_transceiver")) == 2, "the next bind")
        await far.submit(CHINESE)
        await until(lambda: len(far.accepted) == 1, "a submit on the new bind")
        assert far.session() != first


async def test_a_connection_that_breaks_loses_nothing(gateway: Gateway) -> None:
    async with far_carrier(gateway) as far:
        await far.bound()
        await far.node.answer("submit_sm", silent=True)
        (sent,) = await far.submit(CHINESE)
        await until(lambda: bool(far.node.requests("submit_sm")), "the submit that is never answered")
        await far.node.answer("submit_sm", ids="hex")
        await far.node.order("close", session=far.session())
        await until(lambda: bool(far.accepted), "the same again on the next bind")
        await send_receipts(far, "text")
        await until(lambda: bool(sent.states), "the receipt")
        assert sent.states == ["DELIVRD"]
        assert len(far.node.requests("submit_sm")) == 2


async def test_our_bind_and_enquire_link_are_what_it_expects(gateway: Gateway) -> None:
    async with far_carrier(gateway, system_type="VMA", enquire_link_s=0.3) as far:
        await far.bound()
        (bind,) = far.node.requests("bind_transceiver")
        assert (bind["system_id"], bind["password"], bind["system_type"]) == ("carrier", "password", "VMA")
        assert bind["interface_version"] == 0x34
        await until(lambda: len(far.node.requests("enquire_link")) >= 2, "enquire_link, twice")


async def test_a_message_centre_without_transceivers_gets_a_pair(gateway: Gateway) -> None:
    async with node_peer() as node:
        await node.answer("bind_transceiver", nack=True)
        await node.answer("submit_sm", ids="decimal")
        port = (await node.order("listen"))["port"]
        async with open_world(gateway, port) as world:
            await until(
                lambda: bool(node.requests("bind_transmitter") and node.requests("bind_receiver")), "a pair"
            )
            options = EsmeOptions(
                port=world.port, system_id=world.system_id, password=world.password, sender=world.number
            )
            async with SimEsme(options) as esme:
                await esme.bind_all()
                far = Far(node, world, esme)
                (sent,) = await far.submit(CHINESE)
                await until(lambda: bool(far.accepted), "the submit on the transmitter")
                ((pdu, message_id),) = far.accepted
                fields = receipt(pdu, message_id, "text")
                await node.send(far.session("bind_receiver"), "deliver_sm", **fields)
                await until(lambda: bool(sent.states), "the receipt by the receiver")


async def test_vendor_commands_and_alerts_do_no_harm(gateway: Gateway) -> None:
    async with far_carrier(gateway) as far:
        await far.bound()
        nack = await far.node.send(far.session(), "vendor_sm")
        assert (nack["command"], nack["command_status"]) == ("generic_nack", RINVCMDID)
        await far.node.send(far.session(), "alert_notification", source_addr=TO, esme_addr=far.world.number)
        assert (await far.node.send(far.session(), "enquire_link"))["command_status"] == 0
        assert not [event for event in far.node.events if event.get("closed")]


@pytest.mark.parametrize("split", ["udh8", "udh16", "sar", "payload"])
@pytest.mark.parametrize("text", [LONG_ENGLISH, LONG_CHINESE], ids=["english", "chinese"])
async def test_long_texts_are_cut_the_way_that_the_carrier_is_said_to_like(
    gateway: Gateway, split: str, text: str
) -> None:
    async with far_carrier(gateway, split=split, esme={"long": "payload"}) as far:
        await far.submit(text)
        await until(
            lambda: "".join(message_of(pdu) for pdu, _ in far.accepted) == text, "every part, in order"
        )
        parts = [pdu for pdu, _ in far.accepted]
        assert all(("message_payload" in pdu) == (split == "payload") for pdu in parts)
        numbers = list(range(1, len(parts) + 1))
        if split == "sar":
            assert [pdu["sar_segment_seqnum"] for pdu in parts] == numbers
            assert {pdu["sar_total_segments"] for pdu in parts} == {len(parts)}
            assert len({pdu["sar_msg_ref_num"] for pdu in parts}) == 1
        else:
            where = "message_payload" if split == "payload" else "short_message"
            elements = [octets(pdu[where]["udh"][0]) for pdu in parts]
            assert [element[-1] for element in elements] == numbers
            assert {element[:2] for element in elements} == {b"\x08\4" if split == "udh16" else b"\0\3"}
