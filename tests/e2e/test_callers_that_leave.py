"""Whoever asked may be gone before the disk answers: what was accepted goes its way all the same."""

from pathlib import Path

import trio

from gateway.smpp.pdu import CancelSm, ReplaceSm, SmeAddress, SubmitMulti
from gateway.submissions import with_text
from store.model import State

from .peer import bound, submit_sm
from .world import blocked_store, stays, until, world

SOURCE = b"10690001"
PAUSED = {"state": "paused"}


async def test_a_submit_whose_customer_has_left_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        with blocked_store(gateway):
            async with bound(gateway.port) as peer:
                await peer.send(submit_sm())
                await until(lambda: gateway.account().binds[0].unanswered)  # type: ignore[attr-defined]
                await peer.reset()
            await until(lambda: not gateway.account().binds)
        await until(lambda: gateway.sim.log.destinations() == ["8613700000001"])
        assert gateway.account().accepted == 1


async def test_a_submit_multi_whose_customer_has_left_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        with blocked_store(gateway):
            async with bound(gateway.port) as peer:
                destinations = (SmeAddress(1, 1, b"8613700000001"), SmeAddress(1, 1, b"8613700000002"))
                await peer.send(SubmitMulti(destinations=destinations, short_message=b"text"))
                balance = gateway.core.quota.balances[gateway.account().user.id]
                await until(lambda: balance.reserved == 2)
                await peer.reset()
            await until(lambda: not gateway.account().binds)
        await until(lambda: len(gateway.sim.log.parts) == 2)


async def test_a_cancel_whose_customer_has_left_still_gives_its_receipt(tmp_path: Path) -> None:
    async with world(tmp_path, carrier=PAUSED, bound=False) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            answer = await peer.submit()
            with blocked_store(gateway):
                await peer.send(CancelSm(message_id=answer.message_id, source_addr=SOURCE))
                await until(lambda: not gateway.carrier().queue.length)
                await peer.reset()
                await until(lambda: not gateway.account().binds)
        async with bound(gateway.port, kind="receiver") as receiver:
            assert b"stat:DELETED" in (await receiver.receive()).short_message


async def test_a_replaced_message_whose_customer_has_left_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path, carrier=PAUSED, bound=False) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            answer = await peer.submit(b"old")
            with blocked_store(gateway):
                await peer.send(
                    ReplaceSm(message_id=answer.message_id, source_addr=SOURCE, short_message=b"new")
                )
                await until(lambda: not gateway.carrier().queue.length)
                await peer.reset()
                await until(lambda: not gateway.account().binds)
        await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
        await until(lambda: [part.message.text for part in gateway.sim.log.parts] == [b"new"])


async def test_a_program_that_gives_up_waiting_has_its_message_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        with blocked_store(gateway):
            with trio.move_on_after(0.1) as given_up:
                await gateway.core.submit_one(gateway.account(), with_text("8613700000001", "text"))
            assert given_up.cancelled_caught
        await until(lambda: gateway.sim.log.destinations() == ["8613700000001"])


async def test_a_carrier_that_is_lost_while_its_receipt_is_looked_up_keeps_its_answers(
    tmp_path: Path,
) -> None:
    """Answers and a receipt come in one read; the receipt needs the store, and the link ends meanwhile."""
    from gateway.sim.behaviour import Behaviour

    late = Behaviour(response_latency_s=0.2, coalesce_s=0.05, unknown_receipts=1.0)
    async with world(tmp_path, late) as gateway, gateway.customer() as esme:
        gateway.core.evicted_to_store.add(gateway.carrier().id)
        ports = gateway.core.ports.store
        read, asked = ports.read, trio.Event()

        async def hanging(call):  # type: ignore[no-untyped-def]
            asked.set()
            await trio.sleep_forever()

        sent = await esme.send("text", "8613700000001")
        ports.read = hanging  # type: ignore[method-assign]
        await asked.wait()
        ports.read = read  # type: ignore[method-assign]
        gateway.sim.links[0].drop()
        gateway.carrier().binds[0].end("lost")  # type: ignore[attr-defined]
        await until(lambda: not gateway.carrier().binds or gateway.carrier().binds[0].number > 1)
        await gateway.until_state(sent[0].message_id, State.SENT)
        await stays(lambda: gateway.sim.log.destinations() == ["8613700000001"])
