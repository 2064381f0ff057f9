"""The simulated ESME: what it sends, what it notices, how it misbehaves."""

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import SimEsme
from gateway.sim.esme_books import receipt_of
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.message import MESSAGE_PAYLOAD, read_sm

from .helpers import LOGIN, pair, talk


@pytest.mark.parametrize("long", ["udh", "sar", "payload"])
@pytest.mark.parametrize("text", ["长" * 150, "l" * 350])
async def test_long_texts_arrive_whole_and_in_order(autojump_clock: object, long: str, text: str) -> None:
    async with pair(long=long, window=1, binds=2) as (carrier, esme):
        await esme.bind_all()
        sent = await esme.submit(text, "8613700000001")
        parts = [part.message for part in carrier.log.parts]
        assert len(parts) == len(sent) == (1 if long == "payload" else 3)
        assert not carrier.log.broken_orders()
        skip = 6 if long == "udh" else 0
        joined = b"".join(part.text[skip:] for part in parts)
        assert joined.decode("ascii" if text.isascii() else "utf-16-be") == text
        if long == "payload":
            assert MESSAGE_PAYLOAD in parts[0].tlvs
        else:
            assert [part.part for part in parts] == [(1, 3, 1), (1, 3, 2), (1, 3, 3)]


async def test_broken_order_of_parts_is_noticed_by_the_carrier(autojump_clock: object) -> None:
    async with pair() as (carrier, esme):
        bind = await esme.bind_one()
        head = b"\0\1\1s\0\1\1d\0\x40\0\0\0\0\0\0\0\0\7\5\0\3\1\2"
        bind.submit(head + b"\2b", "d")
        bind.submit(head + b"\1a", "d")
        await trio.sleep(1)
        assert len(carrier.log.broken_orders()) == 1


async def test_window_is_never_exceeded_over_several_binds(autojump_clock: object) -> None:
    behaviour = Behaviour(response_latency_s=0.1, response_jitter_s=0.2)
    carrier, report = await talk(behaviour, messages=100, window=5, binds=3)
    assert carrier.log.window_max == {1: 5, 2: 5, 3: 5}
    assert report.accepted == 100


async def test_rate_is_kept(autojump_clock: object) -> None:
    carrier, _report = await talk(messages=50, rate=10.0)
    assert carrier.log.rate_max <= 11


async def test_pair_sends_on_the_transmitter_and_receives_on_the_receiver(autojump_clock: object) -> None:
    carrier, report = await talk(messages=5, bind="pair")
    assert {part.link for part in carrier.log.parts} == {1}
    assert {receipt.link for receipt in carrier.log.receipts} == {2}
    assert report.missing == 0


async def test_never_reads_leaves_everything_unanswered(autojump_clock: object) -> None:
    carrier, report = await talk(messages=5, never_reads=True, wait_s=2)
    assert carrier.counts["submits"] == report.unanswered == 5


async def test_vanished_esme_stays_connected_and_silent(autojump_clock: object) -> None:
    async with pair(vanish_after=2) as (carrier, esme):
        await esme.bind_all()
        for number in range(4):
            await esme.send("x", str(8613700000001 + number))
        await trio.sleep(30)
        assert carrier.counts["submits"] == 2
        assert len(carrier.links) == 1
        assert not esme.binds[0].sends


async def test_cut_pdu_never_completes(autojump_clock: object) -> None:
    async with pair(cut_after=2) as (carrier, esme):
        await esme.bind_all()
        for number in range(2):
            await esme.send("x", str(8613700000001 + number))
        await trio.sleep(30)
        assert carrier.counts["submits"] == 1


async def test_disconnect_between_submit_and_answer(autojump_clock: object) -> None:
    async with pair(Behaviour(response_latency_s=1), disconnect_after=2) as (carrier, esme):
        await esme.bind_all()
        for number in range(2):
            await esme.send("x", str(8613700000001 + number))
        await trio.sleep(3)
        assert carrier.counts["submits"] == 2
        assert len(esme.books.unanswered) == 2
        assert not carrier.links


async def test_reset_over_tcp_is_seen_by_the_carrier() -> None:
    async with (
        SimCarrier() as carrier,
        SimEsme(EsmeOptions(**LOGIN, port=carrier.port, reset_after=1)) as esme,
    ):
        await esme.bind_all()
        await esme.send("x", "8613700000001")
        with trio.fail_after(5):
            while carrier.links:
                await trio.sleep(0.005)
        assert carrier.counts["submits"] == 1


async def test_dribbled_octets_are_understood(autojump_clock: object) -> None:
    _carrier, report = await talk(messages=3, split_octets=1, split_pause_s=0.001)
    assert (report.accepted, report.missing) == (3, 0)


async def test_silent_to_enquire_link(autojump_clock: object) -> None:
    async with pair(Behaviour(enquire_link_s=1.0), enquire_link_silence=True) as (carrier, esme):
        await esme.bind_all()
        await trio.sleep(2.5)
        assert esme.books.counts["enquire_links"] == 2
        assert carrier.counts["other_responses"] == 0


def test_inbound_text_that_looks_like_a_receipt_is_none() -> None:
    forged = read_sm(b"\0\1\1s\0\1\1d\0\0\0\0\0\0\0\0\0\0\x11id:1 stat:DELIVRD")
    assert receipt_of(forged) is None


async def test_same_seed_sends_the_same_messages(autojump_clock: object) -> None:
    runs = []
    for seed in (5, 5, 6):
        carrier, _report = await talk(messages=8, seed=seed)
        runs.append([part.message.text for part in carrier.log.parts])
    assert runs[0] == runs[1] != runs[2]
