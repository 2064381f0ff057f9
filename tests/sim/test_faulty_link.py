"""A link that fails on command, between a carrier and an ESME."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import Refused, SimEsme
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.wire import FaultyLink

from .helpers import LOGIN, fixed_wall


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[SimCarrier, FaultyLink, SimEsme]]:
    async with (
        SimCarrier(listen=False, wall=fixed_wall) as carrier,
        FaultyLink(connect=carrier.connect) as link,
        SimEsme(EsmeOptions(**LOGIN), connect=link.connect) as esme,
    ):
        yield carrier, link, esme


async def test_healthy_link_changes_nothing_and_counts_octets(autojump_clock: object) -> None:
    async with joined() as (_carrier, link, esme):
        await esme.bind_all()
        (sent,) = await esme.submit("hello", "8613700000001")
        await trio.sleep(1)
        assert sent.states == ["DELIVRD"]
        assert link.octets["up"] > 60 < link.octets["down"]
        assert link.connections == 1


async def test_cut_is_seen_by_both_ends(autojump_clock: object) -> None:
    async with joined() as (carrier, link, esme):
        await esme.bind_all()
        link.cut()
        await esme.binds[0].wait_closed()
        await trio.sleep(1)
        assert not carrier.links
        assert esme.report().binds_lost == 1


async def test_cut_after_cuts_a_pdu_in_its_middle(autojump_clock: object) -> None:
    async with joined() as (carrier, link, esme):
        await esme.bind_all()
        before = link.octets["up"]
        link.cut_after(20, "up")
        await esme.send("hello", "8613700000001")
        await trio.sleep(1)
        assert link.octets["up"] == before + 20
        assert carrier.counts["submits"] == 0
        assert not carrier.links
        await esme.bind_one()
        (sent,) = await esme.submit("hello", "8613700000001")
        assert sent.status == 0


async def test_black_hole_tells_nobody(autojump_clock: object) -> None:
    async with joined() as (carrier, link, esme):
        await esme.bind_all()
        link.black_hole("down")
        await esme.send("hello", "8613700000001")
        await trio.sleep(100)
        assert carrier.counts["accepted"] == 1
        assert esme.report().unanswered == 1
        assert link.octets_lost["down"] > 0
        link.heal()
        (sent,) = await esme.submit("again", "8613700000002")
        assert sent.status == 0
        link.black_hole()
        esme.binds[0].drop()
        await trio.sleep(100)
        assert len(carrier.links) == 1


async def test_stall_holds_back_and_loses_nothing(autojump_clock: object) -> None:
    async with joined() as (carrier, link, esme):
        await esme.bind_all()
        link.stall()
        await esme.send("hello", "8613700000001")
        await trio.sleep(100)
        assert carrier.counts["submits"] == 0
        link.heal()
        await trio.sleep(1)
        assert esme.report().missing == 0
        assert carrier.counts["submits"] == 1


async def test_delay_adds_up_both_ways_and_keeps_bandwidth(autojump_clock: object) -> None:
    async with joined() as (_carrier, link, esme):
        await esme.bind_all()
        link.delay_s = 0.5
        before = trio.current_time()
        for number in range(5):
            await esme.send("hello", str(8613700000001 + number))
            await trio.sleep(0.01)
        while esme.books.unanswered:
            await esme.changed.wait()
        assert trio.current_time() - before == pytest.approx(1.04, abs=0.01)


async def test_fragments_are_understood(autojump_clock: object) -> None:
    async with joined() as (_carrier, link, esme):
        link.fragment_octets, link.fragment_pause_s = 3, 0.001
        await esme.bind_all()
        (sent,) = await esme.submit("hello", "8613700000001")
        assert sent.status == 0


async def test_refusing_link_lets_nobody_in(autojump_clock: object) -> None:
    async with joined() as (_carrier, link, esme):
        link.refusing = True
        with pytest.raises(Refused):
            await esme.bind_all()
        link.heal()
        await esme.bind_all()


async def test_proxy_between_two_tcp_ports() -> None:
    async with (
        SimCarrier() as carrier,
        FaultyLink(carrier.port) as link,
        SimEsme(EsmeOptions(**LOGIN, port=link.port)) as esme,
    ):
        await esme.bind_all()
        (sent,) = await esme.submit("hello", "8613700000001")
        assert sent.status == 0
        link.cut()
        await esme.binds[0].wait_closed()


async def test_nothing_behind_the_proxy_closes_the_connection() -> None:
    async with FaultyLink(1) as link, SimEsme(EsmeOptions(**LOGIN, port=link.port)) as esme:
        with pytest.raises((Refused, OSError)):
            await esme.bind_all()
