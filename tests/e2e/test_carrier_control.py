"""What people do to a carrier while traffic runs: bind it anew, give it another rate."""

from pathlib import Path

import msgspec
import trio

from gateway.console import ConsoleOperations
from gateway.control_carriers import carrier_operations
from gateway.sim.behaviour import Behaviour
from tests.e2e.world import until, world


async def test_a_rebind_lets_answers_come_unbinds_and_loses_nothing(tmp_path: Path) -> None:
    slow = Behaviour(response_latency_s=0.2)
    async with world(tmp_path, slow, carrier={"binds": 2, "window": 5}) as gateway:
        async with gateway.customer(window=50) as esme:
            await gateway.up(binds=2)
            before = {link.number for link in gateway.carrier().binds}
            for n in range(20):
                await esme.send("text", f"8613700000{n:03}")
            assert ConsoleOperations(gateway.daemon).rebind(gateway.carrier().id)
            await until(lambda: not esme.books.missing and not esme.books.unanswered)
            await until(lambda: len(gateway.carrier().binds) == 2)
            assert before.isdisjoint(link.number for link in gateway.carrier().binds)
            assert len(gateway.sim.log.parts) == 20  # what was on the wire was answered, not sent again
            assert not gateway.daemon.dialer.last_trouble
    assert not ConsoleOperations(gateway.daemon).rebind(99)


async def test_a_rebind_ends_the_wait_of_a_carrier_that_was_refused(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"reconnect_s_min": 30, "reconnect_s_max": 60}) as gateway:
        await gateway.up()
        usual = gateway.sim.behaviour
        gateway.sim.behaviour = msgspec.structs.replace(usual, bind_status=0x0E)
        control = carrier_operations(gateway.daemon)
        await control["carriers.rebind"]({"name": "c"})
        await until(lambda: "ESME_RINVPASWD" in gateway.daemon.dialer.trouble.get(gateway.carrier().id, ""))
        gateway.sim.behaviour = usual
        await control["carriers.rebind"]({"name": "c"})
        await until(lambda: gateway.carrier().up, within_s=10)
        (row,) = await control["carriers.list"]({})
        assert "ESME_RINVPASWD" in row["last_error"]  # kept, though it is bound again
        assert row["last_error_at"] > 0


async def test_another_rate_is_felt_within_a_second_for_the_whole_carrier_and_kept(tmp_path: Path) -> None:
    async with (
        world(tmp_path, carrier={"rate": 2, "binds": 2}) as gateway,
        gateway.customer(window=300) as esme,
    ):
        for n in range(200):
            await esme.send("text", f"8613700000{n:03}")
        await until(lambda: len(gateway.sim.log.parts) >= 3)
        control = carrier_operations(gateway.daemon)
        await control["carriers.rate"]({"name": "c", "rate": 100})
        at, had = trio.current_time(), len(gateway.sim.log.parts)
        await until(lambda: len(gateway.sim.log.parts) > had + 5)
        assert trio.current_time() - at < 1.5
        await until(lambda: len(gateway.sim.log.parts) == 200)
        assert gateway.sim.log.rate_max <= 100
        (row,) = await control["carriers.list"]({})
        assert row["pace"] == 100
        with gateway.daemon.configuration.reading() as connection:
            actions = connection.execute(
                "SELECT action, detail FROM audit WHERE action = 'carrier.rate'"
            ).fetchall()
        assert [(action, '"rate":[2,100]' in detail) for action, detail in actions] == [
            ("carrier.rate", True)
        ]


async def test_every_second_is_kept_for_the_chart(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, gateway.customer(window=50) as esme:
        operations = ConsoleOperations(gateway.daemon)
        await until(lambda: operations.throughput(0))
        for n in range(30):
            await esme.send("text", f"8613700000{n:03}")
        await until(lambda: sum(second[3] for second in operations.throughput(0)) == 30)
        seconds = operations.throughput(0)
        assert sum(second[1] for second in seconds) == sum(second[2] for second in seconds) == 30
        assert [second[0] for second in seconds] == sorted({second[0] for second in seconds})
        assert operations.throughput(seconds[-2][0])[0] == seconds[-1]
        day = await operations.day_sums(0, 1 << 40, None)
        assert (day["QUEUED"], day["SENT"]) == (30, 30)
        account = gateway.account().id
        assert await operations.day_sums(0, 1 << 40, [account]) == day
        assert await operations.day_sums(0, 1 << 40, []) == {}
