"""The load client against the simulated carrier: it sends what it says, and notices what goes wrong."""

from itertools import repeat

import pytest
import trio
import trio.testing

from bench.load import LoadBind, LoadOptions, Pool, load
from bench.tally import Report, Tally
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.message import address, read_sm, sm_body
from gateway.sim.wire import pdu, split_frames


async def run(
    behaviour: Behaviour | None = None, *, fast: bool = False, **options: object
) -> tuple[SimCarrier, Report]:
    async with SimCarrier(behaviour, fast=fast) as carrier:
        known = {"system_id": "carrier", "password": "password", "messages": 200, "binds": 2, "window": 20}
        with trio.fail_after(20):
            tally = await load(LoadOptions(port=carrier.port, **{**known, **options}))  # type: ignore[arg-type]
        return carrier, tally.report(cpu_user_s=0, cpu_system_s=0)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("rate", [0, 4000])
async def test_every_message_gets_exactly_one_receipt_of_its_own(fast: bool, rate: int) -> None:
    carrier, report = await run(fast=fast, rate=rate)
    assert report.sent == report.accepted == report.receipts == 200
    assert (report.lost, report.duplicates, report.unmatched, report.wrong_destination) == (0, 0, 0, 0)
    assert carrier.statistics()["window_max"] <= 20
    if not fast:
        assert len(set(carrier.log.destinations())) == 200


async def test_lost_and_refused_and_repeated_are_all_noticed() -> None:
    behaviour = Behaviour(
        throttled=0.2, missing_receipts=0.2, duplicate_receipts=0.2, unknown_receipts=0.1, early_receipts=0.2
    )
    carrier, report = await run(behaviour, patience_s=0.3)
    refused = carrier.counts["refused"]
    assert report.refused == {"00000058": refused}
    assert report.accepted == 200 - refused
    assert report.lost > 0 < report.duplicates
    assert report.unmatched > 0
    delivered = report.accepted - report.lost
    assert report.receipts == delivered + report.duplicates + report.unmatched


async def test_receipt_for_an_id_never_given_is_noticed() -> None:
    async with SimCarrier(Behaviour(id_form="empty")) as carrier:
        options = LoadOptions(
            port=carrier.port,
            system_id="carrier",
            password="password",
            messages=4,
            binds=1,
            window=1,
            patience_s=0.3,
        )
        tally = await load(options)
    report = tally.report(cpu_user_s=0, cpu_system_s=0)
    assert report.unmatched == 4


async def test_lost_responses_end_the_run_after_patience() -> None:
    _carrier, report = await run(Behaviour(lost_responses=1.0, receipts=False), patience_s=0.3)
    assert report.unanswered == report.sent == 40


async def test_submit_only_asks_for_no_receipts() -> None:
    carrier, report = await run(receipts=False)
    assert (report.accepted, carrier.counts["receipts"], report.lost) == (200, 0, 0)


async def test_stop_after_ends_a_run_without_a_number() -> None:
    _carrier, report = await run(messages=10**8, stop_after_s=0.1, fast=True)
    assert 0 < report.sent == report.receipts < 10**8


async def test_wrong_password_and_nobody_there_are_said_plainly() -> None:
    with pytest.raises(ExceptionGroup) as refused:
        await run(password="wrong")
    assert refused.group_contains(ConnectionError, match="refused the bind of 'carrier': status 0xe")
    with pytest.raises(ExceptionGroup) as absent:
        await load(LoadOptions(port=1, messages=1))
    assert absent.group_contains(ConnectionError, match="Nothing listens on 127.0.0.1:1")


def test_pool_patches_sequence_and_destination_and_nothing_else() -> None:
    options = LoadOptions(messages=10, binds=2)
    pool = Pool(options, bind=1)
    slots = len(pool.destinations)
    first = pool.take(0, 3, 100, 2)
    again = pool.take(slots, 3, 123_456_789, 1)
    for octets, sequence, number, step in ((first, 1, 100, 2), (again, slots + 1, 123_456_789, 1)):
        frames, used = split_frames(octets)
        assert used == len(octets)
        assert [frame[2] for frame in frames] == [sequence, sequence + 1, sequence + 2]
        messages = [read_sm(frame[3]) for frame in frames]
        assert [m.destination_addr for m in messages] == [f"8613{number + i * step:09d}" for i in range(3)]
        assert len({message.text for message in messages}) == 3
        assert all(30 <= len(m.text.decode("utf-16-be")) <= 60 for m in messages)
    assert len(pool.take(slots - 1, 3, 0, 1)) < len(first)


async def test_receipt_from_another_destination_is_noticed() -> None:
    ours, _theirs = trio.testing.memory_stream_pair()
    tally = Tally(2, receipts_expected=True)
    bind = LoadBind(LoadOptions(messages=2, binds=1), 0, tally, ours)
    bind.offer(2, repeat(1.0))
    bind.take(pdu(0x80000004, 1, b"11\0") + pdu(0x80000004, 2, b"22\0"), 2.0)
    for message_id, number in ((b"11", 0), (b"22", 7)):
        body = sm_body(
            address(f"8613{number:09d}"),
            address("10690001"),
            b"id:%b stat:DELIVRD " % message_id,
            esm_class=4,
        )
        bind.take(pdu(5, 1, body), 3.0)
    assert (tally.wrong_destination, tally.finals, len(tally.waiting)) == (1, 2, 0)
    bind.take(pdu(5, 1, sm_body(address("8613000000000"), address("1"), b"hello")), 4.0)
    assert tally.states == {b"DELIVRD": 2, b"no text": 1}
