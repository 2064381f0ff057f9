"""What carriers are promised: windows, rates over any second, a slow-down when they ask for one."""

from pathlib import Path

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from store.model import State

from .world import stays, until, upstream, world


async def test_the_window_of_a_bind_is_used_and_never_exceeded(tmp_path: Path) -> None:
    slow = Behaviour(response_latency_s=0.03)
    async with (
        world(tmp_path, slow, carrier={"window": 5, "binds": 3}) as gateway,
        gateway.customer(window=200) as esme,
    ):
        await gateway.up(binds=3)
        for n in range(150):
            await esme.send("text", f"8613700000{n:03}")
        await until(lambda: not esme.books.missing and not esme.books.unanswered)
        assert list(gateway.sim.log.window_max.values()) == [5, 5, 5]


@pytest.mark.parametrize(("rate", "messages"), [(20, 25), (120, 220)])
async def test_the_rate_holds_for_any_second_and_is_reached(tmp_path: Path, rate: int, messages: int) -> None:
    async with (
        world(tmp_path, carrier={"rate": rate, "binds": 2}) as gateway,
        gateway.customer(window=messages) as esme,
    ):
        took_s = []
        for wanted in (messages, 2 * messages, 3 * messages):  # a busy machine may miss it, not each time
            begun = trio.current_time()
            for n in range(messages):
                await esme.send("text", f"8613700000{n:03}")
            await until(lambda w=wanted: len(gateway.sim.log.parts) == w)  # type: ignore[misc]
            took_s.append(trio.current_time() - begun)
            assert gateway.sim.log.rate_max <= rate
            if took_s[-1] < messages / rate * 1.3 + 0.2:
                break
        assert min(took_s) < messages / rate * 1.3 + 0.2


async def test_parts_of_long_messages_count_towards_the_rate(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"rate": 30}) as gateway, gateway.customer(long="payload") as esme:
        for n in range(12):
            await esme.send("x" * 450, f"8613700000{n:03}")
        await until(lambda: len(gateway.sim.log.parts) == 36)
        assert gateway.sim.log.rate_max <= 30
        assert not gateway.sim.log.broken_orders()


@pytest.mark.parametrize("status", [0x58, 0x14])
async def test_throttled_parts_are_put_back_in_order_and_the_carrier_is_given_a_pause(
    tmp_path: Path, status: int
) -> None:
    strict = Behaviour(rate=40, rate_status=status)
    async with world(tmp_path, strict) as gateway, gateway.customer(window=100) as esme:
        sent = [await esme.send("text", f"8613700000{n:03}") for n in range(100)]
        await until(lambda: gateway.carrier().throttled)
        refused_at = trio.current_time()
        assert gateway.carrier().adaptive.paused_until > refused_at
        await until(lambda: not esme.books.missing and not esme.books.unanswered)
        assert all(part.states == ["DELIVRD"] for (part,) in sent)
        accepted = [p.message.destination_addr for p in gateway.sim.log.parts if p.status == 0]
        assert len(accepted) == len(set(accepted)) == 100
        assert accepted == sorted(accepted)
        assert gateway.carrier().adaptive.factor < 1


async def test_a_new_window_and_rate_count_without_a_new_bind(tmp_path: Path) -> None:
    slow = Behaviour(response_latency_s=0.05)
    async with world(tmp_path, slow, carrier={"window": 2}) as gateway, gateway.customer(window=50) as esme:
        await gateway.apply({"carrier": [upstream("c", gateway.sim.port, window=7)]})
        for n in range(40):
            await esme.send("text", f"8613700000{n:03}")
        await until(lambda: not esme.books.missing and not esme.books.unanswered)
        assert gateway.sim.log.window_max == {1: 7}


async def test_a_paused_carrier_is_unbound_and_its_messages_wait(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, gateway.customer() as esme:
        await gateway.apply({"carrier": [{"name": "c", "state": "paused"}]})
        await until(lambda: not gateway.sim.links)
        (sent,) = await esme.submit("text", "8613700000001")
        assert sent.status == 0
        await stays(lambda: not gateway.sim.links, 0.3)
        assert await gateway.state(sent.message_id) == State.QUEUED
        await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
        await until(lambda: sent.states == ["DELIVRD"])
