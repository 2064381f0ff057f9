"""A carrier that cannot be had is asked again, ever more slowly, never in step and never in a tight loop."""

from pathlib import Path

import pytest
import trio

from gateway.ports import RealNetwork
from gateway.sim.carrier import SimCarrier
from store.directory import Carrier

from .world import UPSTREAM, World, stays, until, upstream, world

MARGIN_S = 5.0  # what a slow machine may add to a pause


class Counting(RealNetwork):
    """The system's network; notes when somebody connects, and refuses while `closed`."""

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed
        self.at: list[float] = []

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        self.at.append(trio.current_time())
        if self.closed:
            raise ConnectionRefusedError(111, "Connection refused")
        return await super().connect(host, port)

    def pauses(self) -> list[float]:
        return [after - before for before, after in zip(self.at, self.at[1:], strict=False)]


def trouble(gateway: World) -> str:
    return gateway.daemon.dialer.trouble.get(gateway.carrier().id, "")


async def test_a_carrier_that_refuses_connections_is_tried_at_doubling_jittered_pauses(
    tmp_path: Path,
) -> None:
    network = Counting(closed=True)
    async with SimCarrier(**UPSTREAM) as sim:
        patient = upstream("c", sim.port, reconnect_s_min=0.1, reconnect_s_max=0.8)
        async with world(tmp_path, carriers={}, document={"carrier": [patient]}, network=network) as gateway:
            await until(lambda: len(network.at) == 7)
            pauses = network.pauses()
            for pause_s, whole_s in zip(pauses, [0.1, 0.2, 0.4, 0.8, 0.8, 0.8], strict=True):
                assert 0.7 * whole_s - 0.01 <= pause_s <= whole_s + MARGIN_S
            assert len({round(pause_s, 3) for pause_s in pauses[3:]}) > 1, "each has its own jitter"
            assert "refused" in trouble(gateway)
            network.closed = False
            await gateway.up()
            assert not trouble(gateway)


async def test_a_carrier_that_refuses_our_password_is_left_alone_for_long_and_said_aloud(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = Counting(closed=False)
    async with SimCarrier(**UPSTREAM) as sim:
        wrong = upstream("c", sim.port, password="wrong")
        async with world(tmp_path, carriers={}, document={"carrier": [wrong]}, network=network) as gateway:
            await until(lambda: "bind refused" in trouble(gateway))
            await stays(lambda: len(network.at) == 1, 1.0)  # five times its longest pause
            await gateway.apply({"carrier": [upstream("c", sim.port)]})
            await gateway.up()  # new settings wait for nothing
    logged = capfd.readouterr()
    assert (logged.out + logged.err).count("carrier not bound") == 1


def test_pauses_are_a_second_to_a_minute_unless_configured() -> None:
    carrier = Carrier(1, "c")
    assert (carrier.reconnect_s_min, carrier.reconnect_s_max) == (1, 60)
