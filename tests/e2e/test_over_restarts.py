"""What a gateway owes outlives it: every kind of open business comes back from the files and is finished."""

from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.smpp.constants import Status
from gateway.smpp.times import format_absolute
from store.model import PartFlag, State

from .peer import Peer, bound
from .processes import gateway_process
from .world import PEOPLE, UPSTREAM, config, until, upstream, world


async def test_what_waits_for_a_carrier_is_sent_after_a_restart(tmp_path: Path) -> None:
    """Accepted while the carrier was away, over the bound of memory; the next daemon sends all, once."""
    settings = config(limits={"queue_parts_max": 10})
    carrier = [upstream("c", 1)]
    route = [{"prefix": "", "carriers": ["c"]}]
    document = {"carrier": carrier, "route": route}
    async with world(tmp_path, carriers={}, document=document, settings=settings) as gateway:
        async with bound(gateway.port) as peer:
            ids = [(await peer.submit(to=b"8613700000%03d" % n)).message_id for n in range(40)]
    async with SimCarrier(**UPSTREAM) as sim:
        async with world(
            tmp_path, carriers={}, document={"carrier": [upstream("c", sim.port)]}, settings=settings
        ) as gateway:
            await gateway.up()
            for message_id in ids:
                await gateway.until_state(int(message_id), State.DELIVERED)
            async with bound(gateway.port, kind="receiver") as receiver:
                for _ in ids:
                    await receiver.receive()
        assert sim.log.destinations() == [f"8613700000{n:03d}" for n in range(40)]
        assert not sim.log.duplicates()


async def test_receipts_of_what_was_sent_before_a_restart_find_it(tmp_path: Path) -> None:
    async with SimCarrier(Behaviour(receipts_delay_s=1.0), **UPSTREAM) as sim:
        document = {"carrier": [upstream("c", sim.port)], "route": [{"prefix": "", "carriers": ["c"]}]}
        async with world(tmp_path, carriers={}, document=document) as gateway:
            await gateway.up()
            async with bound(gateway.port) as peer:
                message_id = int((await peer.submit()).message_id)
            await gateway.until_state(message_id, State.SENT)
        async with world(tmp_path, carriers={}, applied=False) as gateway:
            await gateway.up()
            await gateway.until_state(message_id, State.DELIVERED)
            assert gateway.core.outcomes.unmatched_receipts == 0
            async with bound(gateway.port, kind="receiver") as receiver:
                receipt = await receiver.receive()
            assert b"id:%d " % message_id in receipt.short_message
        assert len(sim.log.parts) == 1


async def test_receipts_that_nobody_took_wait_over_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            ids = [(await peer.submit(to=b"8613700000%03d" % n)).message_id for n in range(5)]
        await until(lambda: gateway.account().outbox.waiting() == 5)
    async with world(tmp_path, carriers={}, applied=False) as gateway:
        async with bound(gateway.port, kind="receiver") as receiver:
            texts = [(await receiver.receive()).short_message for _ in ids]
        assert [text.split()[0] for text in texts] == [b"id:" + message_id for message_id in ids]


async def test_a_receipt_once_taken_is_not_offered_again_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        async with bound(gateway.port) as peer:
            await peer.submit()
            await peer.receive()
        await until(lambda: not gateway.account().outbox.waiting() and not gateway.account().outbox.in_flight)
    async with world(tmp_path, carriers={}, applied=False) as gateway:
        async with bound(gateway.port, kind="receiver") as receiver:
            with trio.move_on_after(0.5):
                raise AssertionError(await receiver.receive())


async def test_a_schedule_survives_a_restart_and_fires_once(tmp_path: Path) -> None:
    async with SimCarrier(**UPSTREAM) as sim:
        document = {"carrier": [upstream("c", sim.port)], "route": [{"prefix": "", "carriers": ["c"]}]}
        async with world(tmp_path, carriers={}, document=document) as gateway:
            await gateway.up()
            at = format_absolute(gateway.core.clock.wall_ms() + 5_000)
            async with bound(gateway.port) as peer:
                message_id = int((await peer.submit(schedule_delivery_time=at)).message_id)
            assert await gateway.state(message_id) == State.SCHEDULED
        assert not sim.log.parts
        async with world(tmp_path, carriers={}, applied=False) as gateway:
            await gateway.up()
            await gateway.until_state(message_id, State.DELIVERED)
        assert len(sim.log.parts) == 1


async def test_an_early_receipt_parked_before_a_restart_is_still_parked(tmp_path: Path) -> None:
    behaviour = Behaviour(unknown_receipts=1.0)
    async with world(tmp_path, behaviour) as gateway:
        async with bound(gateway.port) as peer:
            await peer.submit()
            await peer.receive()
        await until(lambda: gateway.core.outcomes.parked)
    async with world(tmp_path, carriers={}, applied=False) as gateway:
        assert len(gateway.core.outcomes.parked) >= 1
        (parked,) = await gateway.read(lambda s: s.parked(0, 10))
        assert parked.reason == "unknown id"


async def test_the_quota_that_is_left_is_the_same_after_a_restart(tmp_path: Path) -> None:
    user = {"login": "acme", "group": "g", "limit": 10}
    async with world(tmp_path, document={"user": [user]}) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            for n in range(7):
                assert (await peer.submit(to=b"8613700000%03d" % n)).command_status == 0
        await until(lambda: len(gateway.sim.log.receipts) == 7)
    async with world(tmp_path, carriers={}, applied=False) as gateway:
        balance = gateway.core.quota.balances[gateway.account().user.id]
        assert (balance.limit, balance.available) == (10, 3)
        async with bound(gateway.port, kind="transmitter") as peer:
            answers = [await peer.submit(to=b"8613700001%03d" % n) for n in range(5)]
        assert [answer.command_status for answer in answers] == [0, 0, 0, *[Status.ESME_RSUBMITFAIL] * 2]


async def test_a_clean_stop_marks_nothing_as_a_possible_duplicate(tmp_path: Path) -> None:
    document = {"carrier": [upstream("c", 1)], "route": [{"prefix": "", "carriers": ["c"]}]}
    async with world(tmp_path, carriers={}, document=document) as gateway:
        async with bound(gateway.port) as peer:
            message_id = int((await peer.submit()).message_id)
    async with SimCarrier(**UPSTREAM) as sim:
        document = {"carrier": [upstream("c", sim.port)]}
        async with world(tmp_path, carriers={}, document=document) as gateway:
            await gateway.until_state(message_id, State.DELIVERED)
            life = await gateway.life(message_id)
            assert not life.parts[0].flags & PartFlag.MAYBE_DUPLICATE


def all_but_the_first(sim: SimCarrier) -> None:
    """Let a carrier answer every submit_sm but the first."""
    submit, swallowed = sim.answers.submit, []

    def answer(link: Any, command_id: int, sequence_number: int, body: bytes) -> None:
        if swallowed:
            submit(link, command_id, sequence_number, body)
        swallowed.append(body)

    sim.answers.submit = answer  # type: ignore[method-assign]


async def told_until(peer: Peer, message_id: bytes) -> list[bytes]:
    """What a customer is told before the receipt of this message."""
    told: list[bytes] = []
    while not (text := (await peer.receive()).short_message).startswith(b"id:" + message_id):
        told.append(text)
    return told


THREE_PARTS: dict[str, Any] = {"text": b"", "tlvs": ((0x0424, b"x" * 400),)}


async def test_a_message_told_as_failed_is_not_told_again_when_its_held_part_ends_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three parts the first has no answer and the others fail: one receipt, whatever the first comes to."""
    async with SimCarrier(Behaviour(states={"UNDELIV": 1}), **UPSTREAM) as sim:
        all_but_the_first(sim)
        carrier = upstream("c", sim.port, on_unknown="hold", response_timeout_s=2)
        document = {"carrier": [carrier], "route": [{"prefix": "", "carriers": ["c"]}]}
        async with world(tmp_path, carriers={}, document=document) as gateway:
            await gateway.up()
            async with bound(gateway.port) as peer:
                held = int((await peer.submit(**THREE_PARTS)).message_id)
                assert b"stat:UNDELIV" in (await peer.receive()).short_message
            await gateway.until_state(held, State.HELD)
            await until(lambda: [seen.status for seen in sim.log.receipts] == [0, 0])
        async with world(tmp_path, carriers={}, applied=False) as gateway:
            await gateway.up()
            clock, wall_ms = gateway.core.clock, gateway.core.clock.wall_ms
            with monkeypatch.context() as patch:
                patch.setattr(clock, "wall_ms", lambda: wall_ms() + 100 * 3_600_000)
                await gateway.core.ports.store.write(lambda s: s.maintain(clock.wall_ms()))
                await gateway.daemon.housekeeping._sweep_overdue(clock.wall_ms())
            await gateway.until_state(held, State.UNKNOWN)
            async with bound(gateway.port) as peer:
                assert await told_until(peer, (await peer.submit()).message_id) == []


async def test_a_message_told_as_failed_is_not_told_again_when_a_kill_ends_its_part_that_was_under_way(
    tmp_path: Path,
) -> None:
    async with SimCarrier(Behaviour(states={"UNDELIV": 1}), **UPSTREAM) as sim:
        all_but_the_first(sim)
        async with gateway_process(tmp_path / "data") as gateway:
            carrier = upstream("c", sim.port, on_unknown="fail", response_timeout_s=60)
            await gateway.apply(
                {"carrier": [carrier], **PEOPLE, "route": [{"prefix": "", "carriers": ["c"]}]}
            )
            await sim.wait_bound()
            async with bound(gateway.port) as peer:
                first = (await peer.submit(**THREE_PARTS)).message_id
                await told_until(peer, first)
                # The next message's receipt shows that the customer's answer to this one is on disk.
                await told_until(peer, (await peer.submit()).message_id)
            await gateway.kill()
            await gateway.start()
            await sim.wait_bound()
            async with bound(gateway.port) as peer:
                told = await told_until(peer, (await peer.submit()).message_id)
                assert not [text for text in told if b"stat:UNDELIV" not in text], (
                    "another state after the first"
                )
            life = await gateway.call("message", id=first.decode())
            assert life["life"]["parts"][0]["state"] == State.UNKNOWN
