"""Schedules and validity, kept by the gateway."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.smpp.constants import Status
from store.model import State

from .peer import bound
from .world import World, stays, until, world


def at(seconds: float) -> bytes:
    """An absolute time so many seconds from now; SMPP has tenths."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return (moment.strftime("%y%m%d%H%M%S") + f"{moment.microsecond // 100_000}00+").encode()


def relative(seconds: int) -> bytes:
    return b"0000000000%02d000R" % seconds


@pytest.mark.parametrize("form", ["absolute", "relative"])
async def test_a_scheduled_message_waits_for_its_time_and_then_goes(tmp_path: Path, form: str) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        begun = trio.current_time()
        answer = await peer.submit(schedule_delivery_time=at(3) if form == "absolute" else relative(3))
        assert await gateway.state(int(answer.message_id)) == State.SCHEDULED
        assert gateway.core.quota.balances[gateway.account().user.id].reserved == 1
        receipt = await peer.receive()
        assert receipt.short_message.startswith(b"id:" + answer.message_id)
        assert trio.current_time() - begun > 2.5
        assert gateway.sim.log.parts[0].at - begun >= 2.8


async def test_a_schedule_survives_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        answer = await peer.submit(schedule_delivery_time=relative(5))
    async with world(tmp_path) as gateway, bound(gateway.port, kind="receiver") as peer:
        assert await gateway.state(int(answer.message_id)) == State.SCHEDULED
        receipt = await peer.receive()
        assert receipt.short_message.startswith(b"id:" + answer.message_id)


async def test_a_schedule_in_the_past_is_now_and_one_too_far_ahead_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        past = await peer.submit(schedule_delivery_time=at(-3600))
        assert past.command_status == 0
        await peer.receive()
        far = await peer.submit(schedule_delivery_time=b"010000000000000R")
        assert far.command_status == Status.ESME_RINVSCHED


async def expired(gateway: World, validity: bytes) -> None:
    async with bound(gateway.port) as peer:
        answer = await peer.submit(validity_period=validity)
        assert answer.command_status == 0
        await gateway.until_state(int(answer.message_id), State.QUEUED)
        await trio.sleep(1.3)
        await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
        receipt = await peer.receive()
        assert b"stat:EXPIRED" in receipt.short_message
        await gateway.until_state(int(answer.message_id), State.EXPIRED)
        assert not gateway.sim.log.parts
        balance = gateway.core.quota.balances[gateway.account().user.id]
        assert (balance.reserved, balance.used) == (0, 0)


@pytest.mark.parametrize("form", ["absolute", "relative"])
async def test_a_message_that_expired_in_the_queue_is_not_sent_and_says_so(tmp_path: Path, form: str) -> None:
    async with world(tmp_path, carrier={"state": "paused"}, bound=False) as gateway:
        await expired(gateway, at(1) if form == "absolute" else relative(1))


async def test_a_message_expires_also_while_its_carrier_stays_away(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"state": "paused"}, bound=False) as gateway:
        async with bound(gateway.port) as peer:
            answer = await peer.submit(validity_period=relative(1))
            await trio.sleep(1.1)
            # The store tells of overdue parts once they are no longer young.
            store = gateway.core.ports.store.store  # type: ignore[attr-defined]
            now_ms = gateway.core.clock.wall_ms()
            await gateway.core.ports.store.write(lambda s: s.maintain(now_ms + 120_000))
            assert store is not None
            await gateway.daemon.housekeeping.sweep()
            receipt = await peer.receive()
            assert b"stat:EXPIRED" in receipt.short_message
            assert receipt.short_message.startswith(b"id:" + answer.message_id)


async def test_validity_over_at_submission_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        assert (await peer.submit(validity_period=at(-60))).command_status == Status.ESME_RINVEXPIRY


async def test_qos_time_to_live_beats_the_validity_period(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"state": "paused"}, bound=False) as gateway:
        async with bound(gateway.port) as peer:
            ttl = ((0x0017, (1).to_bytes(4, "big")),)
            answer = await peer.submit(validity_period=b"000000010000000R", tlvs=ttl)
            part = (await gateway.life(int(answer.message_id))).parts[0]
            assert abs(part.expires_at - part.accepted_at - 1000) < 100


async def test_a_sent_message_without_a_receipt_becomes_unknown_after_its_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, Behaviour(receipts=False)) as gateway, bound(gateway.port) as peer:
        answer = await peer.submit(validity_period=relative(1))
        await gateway.until_state(int(answer.message_id), State.SENT)
        clock, wall_ms = gateway.core.clock, gateway.core.clock.wall_ms
        monkeypatch.setattr(clock, "wall_ms", lambda: wall_ms() + 3 * 3_600_000)
        await gateway.core.ports.store.write(lambda s: s.maintain(clock.wall_ms()))
        await gateway.daemon.housekeeping._sweep_overdue(clock.wall_ms())
        monkeypatch.setattr(clock, "wall_ms", wall_ms)
        receipt = await peer.receive()
        assert b"stat:UNKNOWN" in receipt.short_message
        await gateway.until_state(int(answer.message_id), State.UNKNOWN)


async def test_a_wall_clock_that_jumps_fires_nothing_before_it_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        answer = await peer.submit(schedule_delivery_time=b"000000010000000R")  # in an hour
        clock, wall_ms = gateway.core.clock, gateway.core.clock.wall_ms
        monkeypatch.setattr(clock, "wall_ms", lambda: wall_ms() + 2 * 3_600_000)
        await stays(lambda: not gateway.sim.log.parts, 1.5)
        monkeypatch.setattr(clock, "wall_ms", wall_ms)
        assert await gateway.state(int(answer.message_id)) == State.SCHEDULED
    logged = capfd.readouterr()
    assert "jumped forward" in logged.out + logged.err


async def test_what_is_cancelled_while_its_time_comes_is_not_sent(tmp_path: Path) -> None:
    """The sweep has read the message from the store and waits for its commit; the cancel comes in between."""
    from gateway.smpp.pdu import CancelSm, CancelSmResp

    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        answer = await peer.submit(schedule_delivery_time=relative(2))
        store = gateway.core.ports.store
        read = store.read
        cancelled = False

        async def racing(call):  # type: ignore[no-untyped-def]
            nonlocal cancelled
            found = await read(call)
            if not cancelled and found and getattr(found[0], "state", None) == State.SCHEDULED:
                cancelled = True
                request = CancelSm(message_id=answer.message_id, source_addr=b"10690001")
                response = await gateway.core.operations.cancel(gateway.account(), request)
                assert isinstance(response, CancelSmResp)
            return found

        store.read = racing  # type: ignore[method-assign]
        await until(lambda: cancelled)
        store.read = read  # type: ignore[method-assign]
        await stays(lambda: not gateway.sim.log.parts, 1.5)
        assert await gateway.state(int(answer.message_id)) == State.CANCELLED
