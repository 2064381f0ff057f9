"""Receipts on their way to the customer: in order, until they are taken, to whoever may receive them."""

import time
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.esme import SimEsme
from gateway.smpp.constants import Status, Tag
from gateway.smpp.pdu import DeliverSm, DeliverSmResp
from store.model import LINK_LOST, NO_ANSWER, State

from .peer import Peer, bound
from .world import PASSWORD, World, config, stays, until, world

RETRY = {"receipts": {"retry_s_min": 0.1, "retry_s_max": 0.2}}


def field(receipt: DeliverSm, name: bytes) -> bytes:
    text = receipt.short_message
    return text[text.index(name + b":") + len(name) + 1 :].split(b" ")[0]


async def submit_some(gateway: World, count: int) -> list[bytes]:
    """Messages of a transmitter, whose receipts wait; their ids in order."""
    async with bound(gateway.port, kind="transmitter") as peer:
        ids = [(await peer.submit(to=b"8613700000%03d" % n)).message_id for n in range(count)]
    await until(lambda: gateway.account().outbox.waiting() == count)
    return ids


async def test_receipts_wait_while_nobody_is_bound_and_come_in_order_to_the_next_receiver(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as gateway:
        ids = await submit_some(gateway, 30)
        async with bound(gateway.port, kind="transmitter"):
            await stays(lambda: gateway.account().outbox.waiting() == 30)
        async with bound(gateway.port, kind="receiver") as peer:
            came = [field(await peer.receive(), b"id") for _ in range(30)]
        assert came == ids
        await until(lambda: not gateway.account().outbox.waiting())


async def test_more_receipts_than_memory_holds_wait_in_the_store_and_come_in_order(tmp_path: Path) -> None:
    settings = config(limits={"events_in_memory_max": 10})
    async with world(tmp_path, settings=settings) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            ids = [(await peer.submit(to=b"8613700000%03d" % n)).message_id for n in range(60)]
        await until(lambda: len(gateway.sim.log.receipts) == 60)
        await gateway.until_state(int(ids[-1]), State.DELIVERED)
        async with bound(gateway.port, kind="receiver") as receiver:
            came = [field(await receiver.receive(), b"id") for _ in range(60)]
        assert came == ids


@pytest.mark.parametrize("status", [0x08, 0x14, 0x58, 0x64])
async def test_a_temporary_no_brings_the_receipt_again_later(tmp_path: Path, status: int) -> None:
    async with world(tmp_path, settings=config(**RETRY)) as gateway:
        (message_id,) = await submit_some(gateway, 1)
        async with bound(gateway.port, kind="receiver") as peer:
            assert field(await peer.receive(status), b"id") == message_id
            assert field(await peer.receive(status), b"id") == message_id
            assert field(await peer.receive(0), b"id") == message_id
            await until(lambda: not gateway.account().outbox.waiting())
        await gateway.until_tries(int(message_id), [(status, False), (status, False), (0, True)])


@pytest.mark.parametrize("status", [0x65, 0x66, 0x45, 0x0C])
async def test_a_permanent_no_ends_it(tmp_path: Path, status: int) -> None:
    async with world(tmp_path, settings=config(**RETRY)) as gateway:
        (message_id,) = await submit_some(gateway, 1)
        async with bound(gateway.port, kind="receiver") as peer:
            await peer.receive(status)
            await until(lambda: not gateway.account().outbox.waiting())
            with pytest.raises(trio.TooSlowError):
                await peer.next(within_s=1.3)
        await gateway.until_tries(int(message_id), [(status, True)])


async def test_silence_brings_the_receipt_again(tmp_path: Path) -> None:
    settings = config(smpp={"response_timeout_s": 2, "enquire_link_s": 30}, **RETRY)
    async with world(tmp_path, settings=settings) as gateway:
        (message_id,) = await submit_some(gateway, 1)
        async with bound(gateway.port, kind="receiver") as peer:
            first = await peer.expect(DeliverSm)
            second = await peer.expect(DeliverSm)
            assert first.short_message == second.short_message
            assert first.sequence_number != second.sequence_number
            await peer.send(DeliverSmResp(second.sequence_number))
            await until(lambda: not gateway.account().outbox.waiting())
        await gateway.until_tries(int(message_id), [(NO_ANSWER, False), (0, True)])


async def test_a_receipt_that_was_under_way_when_the_bind_broke_comes_on_the_next(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        ids = await submit_some(gateway, 3)
        async with bound(gateway.port, kind="receiver") as peer:
            for _ in range(3):
                await peer.expect(DeliverSm)
            await peer.reset()
        async with bound(gateway.port, kind="receiver") as peer:
            assert [field(await peer.receive(), b"id") for _ in range(3)] == ids
        await gateway.until_tries(int(ids[0]), [(LINK_LOST, False), (0, True)])


async def test_receipts_move_to_another_bind_of_the_account_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, gateway.customer(bind="receiver") as silent:
        async with gateway.customer() as esme:
            silent_bind = gateway.account().binds[0]
            assert silent_bind.can_receive
            sent = [await esme.submit("text", f"861370000000{n}") for n in range(9)]
            silent.binds[0].drop()
            await until(
                lambda: all(one.final_at >= 0 or one.message_id in silent.books.parked for (one,) in sent)
            )


async def test_nobody_gets_the_receipts_of_another_account(tmp_path: Path) -> None:
    document = {
        "account": [
            {"user": "acme", "system_id": "acme", "password": PASSWORD},
            {"user": "acme", "system_id": "other", "password": PASSWORD},
        ]
    }
    async with (
        world(tmp_path, document=document) as gateway,
        gateway.customer() as one,
        gateway.customer(system_id="other") as two,
    ):
        for n in range(10):
            await one.submit("text", f"861370000000{n}")
            await two.submit("text", f"861380000000{n}")
        await until(lambda: not one.books.missing and not two.books.missing)
        assert (one.report().unmatched, two.report().unmatched) == (0, 0)


@pytest.mark.parametrize(
    ("wish", "state", "told"),
    [
        (0, "DELIVRD", False),
        (1, "DELIVRD", True),
        (1, "UNDELIV", True),
        (2, "DELIVRD", False),
        (2, "UNDELIV", True),
        (3, "DELIVRD", True),
        (3, "UNDELIV", False),
    ],
)
async def test_a_customer_is_told_what_it_asked_for(
    tmp_path: Path, wish: int, state: str, told: bool
) -> None:
    async with world(tmp_path, Behaviour(states={state: 1})) as gateway, bound(gateway.port) as peer:
        answer = await peer.submit(registered_delivery=wish)
        await until(lambda: gateway.carrier().receipts == 1)  # each part ends in a known state all the same
        if told:
            assert field(await peer.receive(), b"stat") == state.encode()
        wanted = {"DELIVRD": State.DELIVERED, "UNDELIV": State.FAILED}[state]
        await gateway.until_state(int(answer.message_id), wanted)
        with pytest.raises(trio.TooSlowError):
            await peer.next(within_s=0.1)


async def test_an_intermediate_receipt_goes_only_to_who_asked_for_it(tmp_path: Path) -> None:
    both = Behaviour(intermediate_receipts=1, receipts_delay_s=0.05)
    async with world(tmp_path, both) as gateway, bound(gateway.port) as peer:
        await peer.submit(registered_delivery=0x11)
        assert [field(await peer.receive(), b"stat") for _ in range(2)] == [b"ENROUTE", b"DELIVRD"]
        await peer.submit(registered_delivery=1)
        assert field(await peer.receive(), b"stat") == b"DELIVRD"


async def test_a_receipt_is_the_textbooks_with_tlvs_and_turned_addresses(tmp_path: Path) -> None:
    async with world(tmp_path, Behaviour(states={"UNDELIV": 1})) as gateway, bound(gateway.port) as peer:
        answer = await peer.submit(
            b"Hello, this is a text of some length", source_addr=b"Acme", source_addr_ton=5, source_addr_npi=0
        )
        receipt = await peer.receive()
        minute = time.strftime("%y%m%d%H", time.gmtime()).encode()
        assert receipt.esm_class == 0x04
        assert receipt.data_coding == 0
        assert receipt.registered_delivery == 0
        assert (receipt.source_addr_ton, receipt.source_addr) == (1, b"8613700000001")
        assert (receipt.dest_addr_ton, receipt.dest_addr_npi, receipt.destination_addr) == (5, 0, b"Acme")
        text = receipt.short_message
        assert text.startswith(b"id:%s sub:001 dlvrd:000 submit date:%s" % (answer.message_id, minute))
        assert text.split(b" stat:")[1] == b"UNDELIV err:034 text:Hello, this is a tex"
        assert dict(receipt.tlvs) == {
            Tag.RECEIPTED_MESSAGE_ID: answer.message_id + b"\0",
            Tag.MESSAGE_STATE: b"\x05",
        }


async def test_a_message_that_was_refused_gives_no_receipt(tmp_path: Path) -> None:
    document = {"blacklist": [{"scope": "global", "numbers": ["8613700000002"]}]}
    async with world(tmp_path, document=document) as gateway, gateway.customer() as esme:
        (refused,) = await esme.submit("text", "8613700000002")
        (sent,) = await esme.submit("text", "8613700000001")
        assert refused.status == Status.ESME_RINVDSTADR
        await until(lambda: sent.states == ["DELIVRD"])
        assert (refused.states, esme.report().unmatched) == ([], 0)


async def test_a_message_that_the_carrier_refuses_for_good_gives_a_receipt_with_its_error(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, Behaviour(errors={"0B": 1})) as gateway, bound(gateway.port) as peer:
        answer = await peer.submit()
        receipt = await peer.receive()
        assert (field(receipt, b"stat"), field(receipt, b"err")) == (b"UNDELIV", b"011")
        balance = gateway.core.quota.balances[gateway.account().user.id]
        assert (balance.reserved, balance.used) == (0, 0)  # it cost nothing
        assert await gateway.state(int(answer.message_id)) == State.FAILED


async def test_receipts_too_old_are_given_up_and_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as gateway:
        (message_id,) = await submit_some(gateway, 1)
        clock = gateway.core.clock
        wall_ms = clock.wall_ms

        def later() -> int:
            return wall_ms() + 73 * 3_600_000

        monkeypatch.setattr(clock, "wall_ms", later)
        await gateway.daemon.housekeeping._sweep_events(later())
        monkeypatch.setattr(clock, "wall_ms", wall_ms)
        await until(lambda: not gateway.account().outbox.waiting())
        await gateway.until_tries(int(message_id), [(NO_ANSWER, True)])
    logged = capfd.readouterr()
    assert "given up" in logged.out + logged.err


async def received(peer: Peer, count: int) -> list[bytes]:
    return [field(await peer.receive(), b"id") for _ in range(count)]


async def test_a_slow_receiver_gets_no_more_at_once_than_the_window(tmp_path: Path) -> None:
    settings = config(receipts={"window": 4})
    async with world(tmp_path, settings=settings) as gateway:
        ids = await submit_some(gateway, 10)
        async with bound(gateway.port, kind="receiver") as peer:
            open_now: list[Any] = [await peer.expect(DeliverSm) for _ in range(4)]
            with pytest.raises(trio.TooSlowError):
                await peer.next(within_s=0.2)
            await peer.send(*(DeliverSmResp(pdu.sequence_number) for pdu in open_now))
            assert [field(pdu, b"id") for pdu in open_now] + await received(peer, 6) == ids


def all_told(esme: SimEsme) -> bool:
    return not esme.books.unanswered and not esme.books.missing


async def test_receipts_of_many_messages_are_one_each_whatever_the_customer_answers(tmp_path: Path) -> None:
    async with world(tmp_path, Behaviour(duplicate_receipts=0.5)) as gateway:
        async with gateway.customer(binds=3, window=50, deliver_latency_s=0.02) as esme:
            for n in range(200):
                await esme.send("text", f"8613700000{n:03}")
            await until(lambda: all_told(esme))
            await stays(lambda: esme.report().duplicates == 0, 0.3)
