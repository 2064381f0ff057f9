"""How a simulated carrier answers submit_sm."""

import pytest
import trio

from gateway.sim.behaviour import ID_FORM_NAMES, Behaviour
from gateway.sim.wire import SUBMIT_SM, bind_body, bind_by_hand, header_only, pdu, read_frame

from .helpers import LOGIN, pair, talk


async def test_plain_carrier_answers_everything_and_sends_one_receipt_each(autojump_clock: object) -> None:
    carrier, report = await talk(messages=50)
    assert report.accepted == report.receipts["DELIVRD"] == 50
    assert (report.missing, report.unmatched, report.duplicates, report.early, report.unanswered) == (0,) * 5
    assert carrier.counts["submits"] == carrier.counts["deliveries_answered"] == 50


async def test_latency_is_what_was_asked_for(autojump_clock: object) -> None:
    _carrier, report = await talk(Behaviour(response_latency_s=0.25), messages=5, window=1)
    assert report.accept_ms.p50 == report.accept_ms.max == 250.0


async def test_jitter_answers_out_of_order_and_every_answer_finds_its_request(autojump_clock: object) -> None:
    async with pair(Behaviour(response_jitter_s=1.0), messages=40, window=40) as (carrier, esme):
        report = await esme.run()
        answered = sorted(esme.books.sent, key=lambda sent: sent.answered_at)
        assert [sent.sequence_number for sent in answered] != sorted(s.sequence_number for s in answered)
    assert report.accepted == 40
    ids = {part.sequence_number: part.message_id for part in carrier.log.parts}
    assert all(ids[sent.sequence_number] == sent.message_id for sent in esme.books.sent)


async def test_lost_responses_leave_messages_unanswered_though_their_receipts_come(
    autojump_clock: object,
) -> None:
    carrier, report = await talk(Behaviour(lost_responses=0.3), messages=60, window=60, wait_s=5)
    lost = carrier.counts["responses_lost"]
    assert 5 < lost < 35
    assert report.unanswered == report.unmatched == lost
    assert carrier.counts["receipts"] == 60


async def test_duplicate_responses_are_unmatched_at_the_peer(autojump_clock: object) -> None:
    async with pair(Behaviour(duplicate_responses=1.0), messages=7) as (_carrier, esme):
        report = await esme.run()
        assert esme.books.counts["responses_unmatched"] == 7
    assert report.accepted == 7


async def test_wrong_sequence_numbers_match_nothing(autojump_clock: object) -> None:
    async with pair(Behaviour(wrong_sequence_numbers=1.0), messages=3, wait_s=1) as (_carrier, esme):
        report = await esme.run()
        assert esme.books.counts["responses_unmatched"] == 3
    assert report.unanswered == 3


async def test_generic_nacks_refuse_and_no_receipt_follows(autojump_clock: object) -> None:
    carrier, report = await talk(Behaviour(generic_nacks=1.0), messages=3)
    assert report.refused == {"00000008": 3}
    assert carrier.counts["receipts"] == 0


async def test_refusals_come_by_their_shares(autojump_clock: object) -> None:
    behaviour = Behaviour(
        throttled=0.2, queue_full=0.1, system_errors=0.1, submit_fails=0.1, errors={"0B": 0.1, "400": 0.1}
    )
    _carrier, report = await talk(behaviour, messages=400, window=100)
    expected = {
        "00000058": 80,
        "00000014": 40,
        "00000008": 40,
        "00000045": 40,
        "0000000B": 40,
        "00000400": 40,
    }
    assert report.refused.keys() == expected.keys()
    for status, share in expected.items():
        assert share * 0.4 < report.refused[status] < share * 1.7
    assert report.accepted == 400 - sum(report.refused.values())
    assert report.missing == 0


@pytest.mark.parametrize("bodies", [False, True])
async def test_refusals_are_headers_alone_unless_asked_otherwise(
    autojump_clock: object, bodies: bool
) -> None:
    async with pair(Behaviour(throttled=1.0, error_bodies=bodies)) as (carrier, _esme):
        stream = await carrier.connect()
        await bind_by_hand(stream, 9, b"carrier", b"password")
        await stream.send_all(pdu(SUBMIT_SM, 2, b"\0\1\1s\0\1\1d\0\0\0\0\0\0\1\0\0\0\0"))
        command_id, status, sequence_number, body, _rest = await read_frame(stream)
        assert (command_id, status, sequence_number) == (0x80000004, 0x58, 2)
        assert body == (b"\0" if bodies else b"")


async def test_rate_is_counted_over_every_sliding_second(autojump_clock: object) -> None:
    carrier, report = await talk(Behaviour(rate=10), messages=40, rate=20, window=40)
    assert carrier.log.rate_max in (20, 21)  # moments a second apart may round either way
    assert 15 <= report.refused["00000058"] <= 30
    carrier, report = await talk(Behaviour(rate=21), messages=40, rate=20, window=40)
    assert not report.refused


async def test_window_is_measured_and_overrun_is_refused(autojump_clock: object) -> None:
    carrier, report = await talk(Behaviour(response_latency_s=1), messages=30, window=7)
    assert max(carrier.log.window_max.values()) == 7
    assert report.accepted == 30
    carrier, _report = await talk(messages=30, window=7)
    assert 1 < max(carrier.log.window_max.values()) <= 7
    behaviour = Behaviour(response_latency_s=1, window=7, window_status=0x14)
    carrier, report = await talk(behaviour, messages=30, flood=True)
    assert carrier.log.window_max == {1: 30}
    assert report.refused == {"00000014": 23}


@pytest.mark.parametrize("form", ID_FORM_NAMES)
async def test_id_forms_differ_as_their_names_say(autojump_clock: object, form: str) -> None:
    async with pair(Behaviour(id_form=form, id_first=0xABCDEF), wait_s=0.1) as (_carrier, esme):
        await esme.bind_all()
        (sent,) = await esme.submit("x", "8613700000001")
        await trio.sleep(0.1)
        in_receipt = next(iter(esme.books.parked), sent.message_id)
    decimal = str(0xABCDEF)
    expected = {
        "decimal": (decimal, decimal),
        "hex": ("abcdef", "abcdef"),
        "hex-upper": ("ABCDEF", "ABCDEF"),
        "hex-decimal": ("abcdef", decimal.zfill(10)),
        "decimal-hex": (decimal, "abcdef"),
        "upper-lower": ("ABCDEF", "abcdef"),
        "zeros": (decimal, decimal.zfill(10)),
        "uuid": (sent.message_id, sent.message_id),
        "empty": ("", decimal),
    }
    assert (sent.message_id, in_receipt) == expected[form]
    assert form != "uuid" or len(sent.message_id) == 36


async def test_fate_of_a_message_depends_on_seed_and_message_not_on_its_neighbours(
    autojump_clock: object,
) -> None:
    behaviour = Behaviour(throttled=0.5)

    async def statuses(seed: int, messages: int) -> dict[str, int]:
        carrier, _report = await talk(behaviour, carrier_seed=seed, messages=messages)
        return {part.message.destination_addr: part.status for part in carrier.log.parts}

    long, again, short = await statuses(3, 40), await statuses(3, 40), await statuses(3, 10)
    assert long == again
    assert short == {destination: long[destination] for destination in short}
    assert long != await statuses(4, 40)


async def test_copies_of_one_message_are_counted_as_duplicates(autojump_clock: object) -> None:
    async with pair() as (carrier, esme):
        await esme.bind_all()
        for text in ("same", "same", "other"):
            await esme.submit(text, "8613700000001")
        assert list(carrier.log.duplicates().values()) == [2]
        assert [part.copy for part in carrier.log.parts] == [1, 2, 1]


async def test_malformed_and_unknown_pdus_do_not_end_the_bind(autojump_clock: object) -> None:
    async with pair() as (carrier, _esme):
        stream = await carrier.connect()
        await bind_by_hand(stream, 9, b"carrier", b"password")
        await stream.send_all(pdu(SUBMIT_SM, 2, b"\0\1") + header_only(0x77, 3) + header_only(0x15, 4))
        answers = []
        rest = b""
        for _ in range(3):
            command_id, status, sequence_number, _body, rest = await read_frame(stream, rest)
            answers.append((command_id, status, sequence_number))
        assert answers == [(0x80000004, 8, 2), (0x80000000, 3, 3), (0x80000015, 0, 4)]


async def test_submitting_before_or_as_the_wrong_kind_of_bind_is_refused(autojump_clock: object) -> None:
    async with pair() as (carrier, _esme):
        stream = await carrier.connect()
        await stream.send_all(pdu(SUBMIT_SM, 1, b""))
        assert (await read_frame(stream))[:2] == (0x80000004, 4)
        status, _rest = await bind_by_hand(stream, 1, *(LOGIN[key].encode() for key in LOGIN))
        assert status == 0
        await stream.send_all(pdu(SUBMIT_SM, 2, b""))
        assert (await read_frame(stream))[:2] == (0x80000004, 4)
        await stream.send_all(pdu(9, 3, bind_body(b"carrier", b"password")))
        assert (await read_frame(stream))[:2] == (0x80000009, 4)
