"""aiosmpplib (PyPI), a client on asyncio, as a customer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from aiosmpplib import ESME, AbstractHook, PhoneNumber, SubmitSm
from aiosmpplib.protocol import DeliverSm, EnquireLinkResp, SmppMessage, SubmitSmResp
from aiosmpplib.state import NPI, TON, BindMode, SmppCommandStatus, SmppError

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

WAIT_S_MAX = 30.0
TO = "8613800138000"


class Told(AbstractHook):
    """Everything that the library tells its application."""

    def __init__(self) -> None:
        self.messages: list[SmppMessage] = []
        self.errors: list[Exception] = []
        self._more = asyncio.Event()

    async def sending(self, smpp_message: SmppMessage, pdu: bytes, client_id: str) -> None:
        pass

    async def received(self, smpp_message: SmppMessage | None, pdu: bytes, client_id: str) -> None:
        if smpp_message is not None:
            self.messages.append(smpp_message)
            self._more.set()

    async def send_error(self, smpp_message: SmppMessage, error: Exception, client_id: str) -> None:
        self.errors.append(error)
        self._more.set()

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.messages if type(message) is kind]

    @property
    def receipts(self) -> list[DeliverSm]:
        return [message for message in self.of(DeliverSm) if message.is_receipt()]

    @property
    def inbound(self) -> list[DeliverSm]:
        return [message for message in self.of(DeliverSm) if not message.is_receipt()]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self._more.clear()
                await self._more.wait()


Conversation = Callable[[ESME, Told], Awaitable[None]]


async def converse(world: World, conversation: Conversation, **options: Any) -> Told:
    """Run `conversation` on a bound client, in a thread with asyncio's loop; gives what it was told."""

    async def main() -> Told:
        told = Told()
        esme = ESME(
            "127.0.0.1",
            world.port,
            world.system_id,
            world.password,
            hook=told,
            log_handler=logging.NullHandler(),
            **options,
        )
        running = asyncio.create_task(esme.start())
        writer = None
        try:
            await told.until(lambda: bool(told.messages))
            writer = esme._writer
            await conversation(esme, told)
        finally:
            await esme.stop()
            await running
            if writer is not None:
                writer.close()  # the library forgets to
        return told

    return await trio.to_thread.run_sync(partial(asyncio.run, main()))


def message(world: World, text: str, log_id: str, **fields: Any) -> SubmitSm:
    return SubmitSm(
        short_message=text,
        source=PhoneNumber(world.number, TON.INTERNATIONAL, NPI.ISDN),
        destination=PhoneNumber(TO, TON.INTERNATIONAL, NPI.ISDN),
        log_id=log_id,
        **fields,
    )


# Its third way, SAR, names a variable before it is set (`encoding` in its `_dequeue_messages`).
WAYS = {
    "udh": {"auto_message_payload": False, "esm_class": 0x40},
    "payload": {"auto_message_payload": True},
}


@pytest.mark.parametrize("way", WAYS)
async def test_texts_arrive_whole_and_receipts_find_their_message(gateway: Gateway, way: str) -> None:
    # Its UDH splitter counts characters, and so does well only without escapes.
    long_english = LONG_ENGLISH if way == "payload" else "Sluice keeps parts together. " * 9
    texts = {"a": ENGLISH, "b": CHINESE, "c": long_english, "d": LONG_CHINESE}
    # The library takes a receipt that comes before it has sent the next part for that of the whole message.
    async with simulated(gateway, Behaviour(receipts_delay_s=0.5)) as (world, carrier):

        async def conversation(esme: ESME, told: Told) -> None:
            for count, (log_id, text) in enumerate(texts.items(), 1):
                await esme.broker.enqueue(message(world, text, log_id, **WAYS[way]))
                await told.until(lambda count=count: len(told.receipts) == count)

        told = await converse(world, conversation)
        assert texts_seen(messages_of(carrier)) == list(texts.values())
    assert told.errors == []
    assert [response.log_id for response in told.of(SubmitSmResp)] == list(texts)
    # The library joins the receipts of its own parts, and matches them by the id alone.
    assert [receipt.log_id for receipt in told.receipts] == list(texts)
    for receipt in told.receipts:
        parsed = receipt.parse_receipt()
        assert (parsed["stat"], parsed["err"], parsed["sub"], parsed["dlvrd"]) == ("DELIVRD", 0, 1, 1)
        assert parsed["done date"] >= parsed["submit date"]


async def test_its_parts_of_over_140_octets_are_refused_before_any_handset_drops_them(
    gateway: Gateway,
) -> None:
    async with simulated(gateway, Behaviour(receipts_delay_s=0.3)) as (world, carrier):

        async def conversation(esme: ESME, told: Told) -> None:
            await esme.broker.enqueue(message(world, LONG_ENGLISH, "long", **WAYS["udh"]))
            await told.until(lambda: bool(told.of(SubmitSmResp)))

        told = await converse(world, conversation)
        # 176 septets behind a UDH, where 153 fit (3GPP TS 23.040 section 9.2.3.24.1).
        assert all(len(seen.text) <= 6 + 153 for seen in messages_of(carrier))
    statuses = {response.command_status for response in told.of(SubmitSmResp)}
    assert SmppCommandStatus.ESME_RINVMSGLEN in statuses


async def test_failures_are_told_by_state_and_error(gateway: Gateway) -> None:
    async with simulated(gateway, Behaviour(states={"UNDELIV": 1.0})) as (world, _):

        async def conversation(esme: ESME, told: Told) -> None:
            await esme.broker.enqueue(message(world, CHINESE, "lost"))
            await told.until(lambda: bool(told.receipts))

        told = await converse(world, conversation)
    (receipt,) = told.receipts
    assert (receipt.log_id, receipt.parse_receipt()["stat"]) == ("lost", "UNDELIV")
    assert receipt.parse_receipt()["dlvrd"] == 0


async def test_inbound_segments_are_joined_by_the_library(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, carrier):
        token = trio.lowlevel.current_trio_token()

        async def conversation(esme: ESME, told: Told) -> None:
            for text, parts in (("回复T退订😀", 1), ("长" * 100, 2)):
                send = partial(carrier.send_mo, text, destination=world.number, parts=parts, shuffled=True)
                token.run_sync_soon(send)
            await told.until(lambda: len(told.inbound) == 2)

        told = await converse(world, conversation)
    assert [mo.short_message for mo in told.inbound] == ["回复T退订😀", "长" * 100]
    assert {mo.destination.number for mo in told.inbound} == {world.number}


async def test_throttling_and_refusals_are_read_from_a_header_alone(gateway: Gateway) -> None:
    async with simulated(gateway, account={"rate": 2}) as (world, _):

        async def conversation(esme: ESME, told: Told) -> None:
            await esme.broker.enqueue(message(world, ENGLISH, "bad", priority_flag=9))
            for n in range(10):
                await esme.broker.enqueue(message(world, ENGLISH, f"{n}"))
            await told.until(lambda: len(told.of(SubmitSmResp)) == 11)

        told = await converse(world, conversation)
    statuses = {response.log_id: response.command_status for response in told.of(SubmitSmResp)}
    assert statuses.pop("bad") in (SmppCommandStatus.ESME_RINVPRTFLG, SmppCommandStatus.ESME_RTHROTTLED)
    assert set(statuses.values()) == {SmppCommandStatus.ESME_ROK, SmppCommandStatus.ESME_RTHROTTLED}


async def test_its_enquire_link_is_answered_and_ours_by_it(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, _):

        async def conversation(esme: ESME, told: Told) -> None:
            await told.until(lambda: len(told.of(EnquireLinkResp)) >= 2)
            await asyncio.sleep(1.5)  # longer than the gateway's own silence
            assert esme.session_state == BindMode.TRANSCEIVER.session_state

        told = await converse(world, conversation, enquire_link_interval=0.2)
    assert told.errors == []


async def test_a_refused_bind_ends_the_attempt(gateway: Gateway) -> None:
    async with simulated(gateway) as (world, _):

        async def attempt() -> None:
            esme = ESME("127.0.0.1", world.port, world.system_id, "wrong", log_handler=logging.NullHandler())
            # It looks for a body behind the status and, as SMPP 3.4 wants none there, finds a ValueError.
            with pytest.raises((SmppError, ValueError)):
                await esme.connect()
            esme._writer.close()

        await trio.to_thread.run_sync(asyncio.run, attempt())
