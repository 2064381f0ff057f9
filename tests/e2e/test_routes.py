"""Which carrier takes a message: prefix, failover while running, balance; whose turn it is: urgency, fairness."""

from collections import Counter
from pathlib import Path
from typing import Any

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.smpp.constants import Status
from store.model import State

from .peer import bound
from .world import PASSWORD, PEOPLE, UPSTREAM, World, stays, until, upstream, world


def two(first: Behaviour | None = None, second: Behaviour | None = None) -> dict[str, SimCarrier]:
    return {"a": SimCarrier(first, **UPSTREAM), "b": SimCarrier(second, **UPSTREAM)}


def counts(gateway: World) -> dict[str, int]:
    return {name: len(sim.log.parts) for name, sim in gateway.carriers.items()}


async def test_the_longest_prefix_wins_and_no_route_is_said(tmp_path: Path) -> None:
    routes = [{"prefix": "86", "carriers": ["a"]}, {"prefix": "86137", "carriers": ["b"]}]
    async with (
        world(tmp_path, carriers=two(), document={"route": routes}) as gateway,
        gateway.customer() as esme,
    ):
        for to in ("8613800000001", "8613700000001", "8613700000002"):
            await esme.submit("text", to)
        (lost,) = await esme.submit("text", "447700900001")
        assert lost.status == Status.ESME_RINVDSTADR
        await until(lambda: counts(gateway) == {"a": 1, "b": 2})
        # A new route counts at once; a route that is gone as well.
        await gateway.apply(
            {"route": [{"prefix": "44", "carriers": ["a"]}, {"prefix": "86137", "remove": True}]}
        )
        await esme.submit("text", "447700900001")
        await esme.submit("text", "8613700000003")
        await until(lambda: counts(gateway) == {"a": 3, "b": 2})


async def test_routes_of_an_account_and_of_a_type_come_before_general_ones(tmp_path: Path) -> None:
    document = {
        "sms_type": [{"name": "api"}, {"name": "promo"}],
        "account": [
            {"user": "acme", "system_id": "acme", "password": PASSWORD},
            {"user": "acme", "system_id": "vip", "password": PASSWORD},
            {"user": "acme", "system_id": "promo", "password": PASSWORD, "sms_type": "promo"},
        ],
        "route": [
            {"prefix": "", "carriers": ["a"]},
            {"prefix": "", "account": "vip", "carriers": ["b"]},
            {"prefix": "", "sms_type": "promo", "carriers": ["b"]},
        ],
    }
    async with world(tmp_path, carriers=two(), document=document) as gateway:
        for system_id, carrier in (("acme", "a"), ("vip", "b"), ("promo", "b")):
            before = counts(gateway)[carrier]
            async with gateway.customer(system_id=system_id) as esme:
                await esme.submit("text", "8613700000001")
                await until(lambda: counts(gateway)[carrier] == before + 1)  # noqa: B023


async def test_failover_while_running_moves_what_waits_and_what_comes(tmp_path: Path) -> None:
    slow = Behaviour(response_latency_s=0.05)
    routes = [{"prefix": "", "carriers": ["a", "b"]}]
    async with (
        world(tmp_path, carriers=two(slow), carrier={"window": 2}, document={"route": routes}) as gateway,
        gateway.customer(window=200) as esme,
    ):
        for n in range(60):
            await esme.send("text", f"86137000000{n:02}")
        await until(lambda: counts(gateway)["a"] >= 4)
        assert counts(gateway)["b"] == 0
        # Carrier a goes away and does not come back.
        await gateway.apply({"carrier": [{"name": "a", "port": 1}]})
        await until(lambda: not gateway.carrier("a").binds)
        (fresh,) = await esme.submit("text", "8613800000001")
        await until(lambda: fresh.states == ["DELIVRD"])
        assert "8613800000001" in gateway.carriers["b"].log.destinations()
        gateway.carrier("a").down_since = gateway.core.clock.now() - 6  # as if five seconds had passed
        await until(lambda: not esme.books.missing)
        assert esme.report().duplicates == 0
        # And back: a is first again.
        await gateway.apply({"carrier": [upstream("a", gateway.carriers["a"].port)]})
        await gateway.up("a")
        before = counts(gateway)["a"]
        await esme.submit("text", "8613900000001")
        await until(lambda: counts(gateway)["a"] == before + 1)


async def test_a_message_waits_where_every_carrier_is_down_and_goes_to_the_first_that_comes(
    tmp_path: Path,
) -> None:
    routes = [{"prefix": "", "carriers": ["a", "b"]}]
    down = {"port": 1}
    async with world(
        tmp_path, carriers=two(), carrier=down, document={"route": routes}, bound=False
    ) as gateway:
        async with gateway.customer() as esme:
            (sent,) = await esme.submit("text", "8613700000001")
            assert sent.status == 0
            await gateway.until_state(sent.message_id, State.QUEUED)
            await gateway.apply({"carrier": [upstream("b", gateway.carriers["b"].port)]})
            await gateway.up("b")
            gateway.carrier("a").down_since = gateway.core.clock.now() - 6
            await until(lambda: sent.states == ["DELIVRD"])
            assert counts(gateway) == {"a": 0, "b": 1}


async def test_balance_shares_by_weight_and_leaves_out_who_is_down(tmp_path: Path) -> None:
    routes = [{"prefix": "", "carriers": ["a", "b"], "weights": [3, 1], "policy": "balance"}]
    async with (
        world(tmp_path, carriers=two(), document={"route": routes}) as gateway,
        gateway.customer(window=100) as esme,
    ):
        for n in range(80):
            await esme.send("text", f"86137000000{n:02}")
        await until(lambda: not esme.books.unanswered and not esme.books.missing)
        assert counts(gateway) == {"a": 60, "b": 20}
        await gateway.apply({"carrier": [{"name": "a", "state": "paused"}]})
        await until(lambda: not gateway.carrier("a").up)
        for n in range(10):
            await esme.submit("text", f"86138000000{n:02}")
        await until(lambda: counts(gateway) == {"a": 60, "b": 30})


# -- whose turn it is ---------------------------------------------------------------------------------


async def test_an_urgent_message_passes_a_long_queue(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"rate": 40, "window": 5}) as gateway:
        async with gateway.customer(window=500) as flood, bound(gateway.port, kind="transmitter") as bank:
            for n in range(300):
                await flood.send("text", f"8613700000{n:03}")
            await until(lambda: not flood.books.unanswered)
            for n in range(5):
                await bank.submit(to=b"861390000000%d" % n, priority_flag=3)
            await until(lambda: "8613900000004" in gateway.sim.log.destinations())
            assert gateway.sim.log.destinations().index("8613900000004") < 60
            await gateway.apply({"carrier": [{"name": "c", "rate": 0}]})
            await until(lambda: not flood.books.missing)


async def test_bulk_is_not_starved_by_the_urgent(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"state": "paused", "window": 20}, bound=False) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            for n in range(100):
                await peer.submit(to=b"86137000000%02d" % n, priority_flag=0)
                await peer.submit(to=b"86139000000%02d" % n, priority_flag=3)
        await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
        await until(lambda: len(gateway.sim.log.parts) == 200)
        first = Counter(to[:5] for to in gateway.sim.log.destinations()[:60])
        assert first["86139"] > first["86137"] >= 3


async def test_a_flood_of_one_account_does_not_hold_up_another(tmp_path: Path) -> None:
    document: dict[str, Any] = {
        **PEOPLE,
        "account": [
            {"user": "acme", "system_id": "flood", "password": PASSWORD},
            {"user": "acme", "system_id": "calm", "password": PASSWORD},
        ],
    }
    async with world(tmp_path, carrier={"rate": 50}, document=document) as gateway:
        async with (
            gateway.customer(system_id="flood", window=500) as flood,
            gateway.customer(system_id="calm") as calm,
        ):
            for n in range(400):
                await flood.send("text", f"8613700000{n:03}")
            await until(lambda: not flood.books.unanswered)
            sent = [(await calm.submit("text", f"86138000000{n:02}"))[0] for n in range(10)]
            await until(lambda: all(one.states == ["DELIVRD"] for one in sent))
            await stays(lambda: flood.books.missing, 0.01)
            await gateway.apply({"carrier": [{"name": "c", "rate": 0}]})
            await until(lambda: not flood.books.missing)


async def test_messages_of_one_account_to_one_number_keep_their_order(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"window": 3}) as gateway, gateway.customer(window=100) as esme:
        for n in range(60):
            await esme.send(f"text {n}", "8613700000001")
        await until(lambda: not esme.books.unanswered and not esme.books.missing)
        numbers = [int(part.message.text.split()[1]) for part in gateway.sim.log.parts]
        assert numbers == list(range(60))
