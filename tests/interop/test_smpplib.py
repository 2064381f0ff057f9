"""smpplib (PyPI), the synchronous client that many Python applications use, as a customer."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.gsm
import trio

from gateway.sim.behaviour import Behaviour

from .gateway_process import Gateway
from .world import (
    CHINESE,
    ENGLISH,
    LONG_CHINESE,
    LONG_ENGLISH,
    World,
    messages_of,
    simulated,
    texts_seen,
)

READ_S_MAX = 30.0
TO = "8613800138000"
DELIVERED = 2


class Customer:
    """A bound smpplib client and what it was told. Synchronous: runs in a thread of its own."""

    def __init__(self, world: World, bind: str = "bind_transceiver", **more: Any) -> None:
        port = world.gateway.ports.tls if "ssl_context" in more else world.port
        # Strict: an optional parameter that smpplib does not know is an error.
        self.client = smpplib.client.Client(
            "127.0.0.1", port, timeout=READ_S_MAX, allow_unknown_opt_params=False, **more
        )
        self.world = world
        self.accepted: dict[int, bytes] = {}  # sequence number -> message_id
        self.receipts: list[Any] = []
        self.inbound: list[Any] = []
        self.refused: list[int] = []
        self.states: list[Any] = []
        self.client.set_message_sent_handler(self._sent)
        self.client.set_message_received_handler(self._received)
        self.client.set_query_resp_handler(lambda pdu: self.states.append(pdu))
        self.client.set_error_pdu_handler(lambda pdu: self.refused.append(pdu.status))
        self.client.connect()
        try:
            getattr(self.client, bind)(system_id=world.system_id, password=world.password)
        except smpplib.exceptions.PDUError:
            self.client.disconnect()
            raise

    def _sent(self, pdu: Any) -> None:
        self.accepted[pdu.sequence] = pdu.message_id

    def _received(self, pdu: Any) -> None:
        (self.receipts if pdu.esm_class & 0x3C == 4 else self.inbound).append(pdu)

    def submit(self, octets: bytes, coding: int, **fields: Any) -> None:
        self.client.send_message(
            source_addr_ton=smpplib.consts.SMPP_TON_INTL,
            source_addr=self.world.number,
            dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
            dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            destination_addr=TO,
            data_coding=coding,
            registered_delivery=1,
            **({"short_message": octets} if octets else {}),
            **fields,
        )

    def submit_text(self, text: str, *, udh: bool = True) -> int:
        """In as many parts as smpplib cuts; how many that were."""
        parts, coding, esm_class = smpplib.gsm.make_parts(text, use_udhi=udh)
        for number, part in enumerate(parts, 1):
            sar = {}
            if not udh and len(parts) > 1:
                sar = {
                    "sar_msg_ref_num": 7,
                    "sar_total_segments": len(parts),
                    "sar_segment_seqnum": number,
                }
            self.submit(part, coding, esm_class=esm_class, **sar)
        return len(parts)

    def read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READ_S_MAX
        while not condition():
            assert time.monotonic() < deadline, "what was waited for did not come"
            self.client.read_once(auto_send_enquire_link=False)

    def leave(self) -> None:
        self.client.unbind()
        self.client.disconnect()


async def in_thread(conversation: Callable[[], Any]) -> Any:
    """Run what blocks beside the carrier's loop; its sockets have timeouts of their own."""
    return await trio.to_thread.run_sync(conversation)


@pytest.mark.parametrize("udh", [True, False], ids=["udh", "sar"])
async def test_texts_arrive_whole_and_every_part_has_its_receipt(gateway: Gateway, udh: bool) -> None:
    texts = [ENGLISH, CHINESE, LONG_ENGLISH, LONG_CHINESE]
    async with simulated(gateway) as (world, carrier):

        def conversation() -> Customer:
            customer = Customer(world)
            count = 0
            for text in texts:
                sent = customer.submit_text(text, udh=udh)
                assert (sent > 1) == (text in (LONG_ENGLISH, LONG_CHINESE))
                count += sent
                customer.read_until(lambda count=count: len(customer.receipts) == count)
            assert len(customer.accepted) == count
            customer.leave()
            return customer

        customer = await in_thread(conversation)
        assert texts_seen(messages_of(carrier)) == texts
    assert customer.refused == []
    told = [pdu.receipted_message_id for pdu in customer.receipts]
    assert sorted(told) == sorted(customer.accepted.values())
    for pdu in customer.receipts:
        assert pdu.message_state == DELIVERED
        assert pdu.esm_class == smpplib.consts.SMPP_MSGTYPE_DEFAULT | 4
        assert pdu.short_message.startswith(b"id:" + pdu.receipted_message_id + b" sub:001 dlvrd:001 ")
        assert b" stat:DELIVRD err:000 " in pdu.short_message
        assert (pdu.source_addr, pdu.destination_addr) == (TO.encode(), world.number.encode())


@pytest.mark.parametrize("text", [LONG_ENGLISH, LONG_CHINESE], ids=["english", "chinese"])
async def test_a_long_payload_is_cut_by_the_gateway_and_has_one_receipt(gateway: Gateway, text: str) -> None:
    encode = smpplib.gsm.gsm_encode if text is LONG_ENGLISH else lambda t: t.encode("utf-16-be")
    coding = 0 if text is LONG_ENGLISH else 8
    async with simulated(gateway) as (world, carrier):

        def conversation() -> Customer:
            customer = Customer(world)
            customer.submit(b"", coding, message_payload=encode(text))
            customer.read_until(lambda: bool(customer.receipts))
            customer.leave()
            return customer

        customer = await in_thread(conversation)
        assert texts_seen(messages_of(carrier)) == [text]
        assert len(carrier.log.parts) > 1
    assert [pdu.receipted_message_id for pdu in customer.receipts] == list(customer.accepted.values())


async def test_receipts_go_to_the_receiver_of_a_transmitter_and_receiver_pair(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, _):

        def conversation() -> tuple[Customer, Customer]:
            sender, receiver = Customer(world, "bind_transmitter"), Customer(world, "bind_receiver")
            sender.submit_text(ENGLISH)
            sender.read_until(lambda: bool(sender.accepted))
            receiver.read_until(lambda: bool(receiver.receipts))
            sender.leave()
            receiver.leave()
            return sender, receiver

        sender, receiver = await in_thread(conversation)
    assert sender.receipts == []
    assert [pdu.receipted_message_id for pdu in receiver.receipts] == list(sender.accepted.values())


async def test_inbound_messages_arrive_segment_by_segment(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, carrier):

        def conversation() -> Customer:
            customer = Customer(world)
            trio.from_thread.run_sync(lambda: carrier.send_mo("回复T退订😀", destination=world.number))
            trio.from_thread.run_sync(lambda: carrier.send_mo("长" * 100, destination=world.number, parts=2))
            customer.read_until(lambda: len(customer.inbound) == 3)
            customer.leave()
            return customer

        customer = await in_thread(conversation)
    short, *parts = customer.inbound
    assert short.short_message.decode("utf-16-be") == "回复T退订😀"
    assert short.data_coding == 8
    assert {part.short_message[4:6] for part in parts} == {b"\2\1", b"\2\2"}
    parts.sort(key=lambda part: part.short_message[5])
    assert "".join(part.short_message[6:].decode("utf-16-be") for part in parts) == "长" * 100


async def test_a_query_tells_the_state_before_and_after_the_receipt(gateway: Gateway) -> None:
    async with simulated(gateway, Behaviour(receipts_delay_s=1.0)) as (world, _):

        def conversation() -> Customer:
            customer = Customer(world)
            customer.submit_text(ENGLISH)
            customer.read_until(lambda: bool(customer.accepted))
            (message_id,) = customer.accepted.values()
            for count in (1, 2):
                customer.client.query_message(
                    message_id=message_id.decode(),
                    source_addr_ton=smpplib.consts.SMPP_TON_INTL,
                    source_addr_npi=0,
                    source_addr=world.number,
                )
                customer.read_until(lambda count=count: len(customer.states) == count)
                customer.read_until(lambda: bool(customer.receipts))
            customer.leave()
            return customer

        customer = await in_thread(conversation)
    before, after = customer.states
    assert (before.message_state, before.final_date or b"") == (1, b"")
    assert after.message_state == DELIVERED
    assert len(after.final_date) == 16


async def test_a_client_of_3_3_gets_short_ids_and_no_optional_parameters(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smpplib.consts, "SMPP_VERSION_34", 0x33)  # all that its binds ever say
    async with simulated(gateway) as (world, _):

        def conversation() -> Customer:
            customer = Customer(world)
            customer.submit_text(ENGLISH)
            customer.read_until(lambda: bool(customer.accepted))
            customer.read_until(lambda: bool(customer.receipts))
            (message_id,) = customer.accepted.values()
            customer.client.query_message(
                message_id=message_id.decode(), source_addr_ton=1, source_addr_npi=0, source_addr=world.number
            )
            customer.read_until(lambda: bool(customer.states))
            customer.leave()
            return customer

        customer = await in_thread(conversation)
    (message_id,) = customer.accepted.values()
    assert len(message_id) == 8  # SMPP 3.4 section 4.4.2
    (receipt,) = customer.receipts
    assert receipt.short_message.startswith(b"id:" + message_id + b" ")
    assert (receipt.receipted_message_id, receipt.message_state) == (None, None)
    assert customer.states[0].message_state == DELIVERED


async def test_refusals_are_read_as_their_status(gateway: Gateway) -> None:
    async with simulated(gateway, account={"senders": ["1069*"]}) as (world, carrier):

        def conversation() -> Customer:
            wrong = World(gateway, world.system_id, world.number, world.carrier_name, "wrong")
            with pytest.raises(smpplib.exceptions.PDUError) as refused:
                Customer(wrong)
            assert refused.value.args[1] == smpplib.consts.SMPP_ESME_RBINDFAIL
            customer = Customer(world)
            customer.submit(b"x", 0, priority_flag=9)
            customer.submit(b"x", 0, validity_period="000000000001004R"[:15])
            customer.submit(b"x", 0, esm_class=2)
            customer.read_until(lambda: len(customer.refused) == 3)
            customer.leave()
            return customer

        customer = await in_thread(conversation)
        assert not carrier.log.parts
    assert sorted(customer.refused) == [
        smpplib.consts.SMPP_ESME_RINVPRTFLG,
        smpplib.consts.SMPP_ESME_RINVESMCLASS,
        smpplib.consts.SMPP_ESME_RINVEXPIRY,
    ]  # answers may come in any order


async def test_it_binds_and_submits_over_tls(gateway: Gateway, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False  # smpplib gives wrap_socket no name; the authority is still checked
    async with simulated(gateway) as (world, carrier):

        def conversation() -> Customer:
            customer = Customer(world, ssl_context=context)
            customer.submit_text(CHINESE)
            customer.read_until(lambda: bool(customer.receipts))
            customer.leave()
            return customer

        customer = await in_thread(conversation)
        assert texts_seen(messages_of(carrier)) == [CHINESE]
    assert len(customer.accepted) == 1


async def test_a_silent_customer_is_asked_and_answers(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, _):

        def conversation() -> None:
            customer = Customer(world)
            pdu = customer.client.read_pdu()
            assert pdu.command == "enquire_link"
            customer.client._enquire_link_received(pdu)
            customer.submit_text(ENGLISH)
            customer.read_until(lambda: bool(customer.accepted))
            customer.leave()

        await in_thread(conversation)
