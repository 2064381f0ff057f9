"""Our requests: their numbers, their answers in any order and form, their expiry, and what comes too late."""

import pytest

from gateway.smpp.constants import SEQUENCE_NUMBER_MAX, CommandId, Status
from gateway.smpp.encode import encode
from gateway.smpp.pdu import (
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    GenericNack,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    UnsuccessSme,
)
from gateway.smpp.session import Session, SessionLimits, SessionMisuse
from tests.smpp.octets import frame, message
from tests.smpp.session_pair import QUIET, SUBMIT_BODY, SessionPair, feed, submits


def bound_esme(limits: SessionLimits = QUIET) -> Session:
    return SessionPair(esme_limits=limits).bind().esme


def timed(response_s: float = 60, **limits: float) -> SessionLimits:
    return SessionLimits(response_s=response_s, enquire_link_s=0, **limits)  # type: ignore[arg-type]


def submit_resp(number: int, message_id: bytes = b"1", status: int = 0) -> bytes:
    return frame(CommandId.SUBMIT_SM_RESP, message_id + b"\0", status=status, sequence_number=number)


# Sending


def test_requests_go_out_in_order_with_their_numbers_and_bodies(octets_per_read: int) -> None:
    pair = SessionPair(octets_per_read=octets_per_read).bind()
    bodies = [message(short_message=bytes((size,)) + b"x" * size) for size in (0, 1, 254)]
    pair.esme.send_requests(CommandId.SUBMIT_SM, bodies, ["a", "b", "c"], 0.0)
    assert pair.esme.send_request(SubmitSm(99, short_message=b"y"), "d", 0.0) == 5
    pair.flow()
    texts = [(pdu.sequence_number, pdu.short_message) for pdu in pair.mc_saw.requests]  # type: ignore[attr-defined]
    assert texts == [(2, b""), (3, b"x"), (4, b"x" * 254), (5, b"y")]


def test_a_batch_is_the_same_octets_as_single_requests() -> None:
    batch, single = bound_esme(), bound_esme()
    submits(batch, [1, 2, 3])
    for token in (1, 2, 3):
        single.send_request(SubmitSm(destination_addr=b"1234", short_message=b"hello"), token, 0.0)
    assert batch.take_output() == single.take_output() != b""
    assert batch.statistics() == single.statistics()


def test_an_empty_batch_sends_nothing() -> None:
    session = bound_esme()
    submits(session, [])
    assert session.take_output() == b""


def test_the_window_is_never_exceeded() -> None:
    session = bound_esme(SessionLimits(window_out_max=10))
    submits(session, list(range(10)))
    assert session.window_free == 0
    with pytest.raises(SessionMisuse, match="window_free"):
        submits(session, [10])
    with pytest.raises(SessionMisuse, match="window is full"):
        session.send_request(SubmitSm(), 10, 0.0)
    session.receive(submit_resp(2), 0.0)
    assert session.window_free == 1
    with pytest.raises(SessionMisuse, match="2 requests into 1 free slots"):
        submits(session, [10, 11])
    submits(session, [10])
    assert session.close() == list(range(1, 11))


def test_the_window_follows_what_its_owner_sets() -> None:
    session = bound_esme(SessionLimits(window_out_max=10))
    submits(session, list(range(10)))
    session.window_max = 4
    assert (session.window_free, session.window_used, session.window_max) == (0, 10, 4)
    session.window_max = 12
    assert session.window_free == 2


def test_tokens_and_bodies_must_pair() -> None:
    session = bound_esme()
    with pytest.raises(SessionMisuse, match="one token a body"):
        session.send_requests(CommandId.SUBMIT_SM, [SUBMIT_BODY], [], 0.0)
    assert session.window_used == 0


def test_a_request_that_does_not_fit_takes_no_slot() -> None:
    session = bound_esme()
    with pytest.raises(ValueError, match="service_type"):
        session.send_request(SubmitSm(service_type=b"too long"), "token", 0.0)
    assert session.close() == []


def test_numbers_wrap_and_skip_what_is_pending() -> None:
    session = bound_esme(SessionLimits(window_out_max=10, enquire_link_s=0))
    submits(session, ["old"])  # 2
    session._window._next = SEQUENCE_NUMBER_MAX
    session.take_output()
    submits(session, ["a", "b", "c"])
    octets = session.take_output()
    size = 16 + len(SUBMIT_BODY)
    numbers = [int.from_bytes(octets[at + 12 : at + 16], "big") for at in (0, size, 2 * size)]
    assert numbers == [0x7FFFFFFF, 1, 3]
    answers = session.receive(submit_resp(3) + submit_resp(2) + submit_resp(0x7FFFFFFF), 0.0).answers
    assert [token for token, _ in answers] == ["c", "old", "a"]
    assert session.close() == ["b"]


# Answers


def test_responses_in_any_order_each_settle_their_own(octets_per_read: int) -> None:
    session = bound_esme(SessionLimits(window_out_max=100, enquire_link_s=0))
    submits(session, list(range(100)))
    octets = b"".join(submit_resp(number, b"%d" % number) for number in range(101, 1, -1))
    answers = feed(session, octets, octets_per_read=octets_per_read).answers
    assert answers == [
        (token, SubmitSmResp(token + 2, 0, b"%d" % (token + 2))) for token in range(99, -1, -1)
    ]
    assert session.window_used == 0


def test_the_same_number_in_both_directions_is_no_clash(octets_per_read: int) -> None:
    session = bound_esme()
    submits(session, ["token"])  # 2
    octets = encode(DeliverSm(2)) + submit_resp(2)
    saw = feed(session, octets, octets_per_read=octets_per_read)
    assert saw.requests == [DeliverSm(2)]
    assert saw.answers == [("token", SubmitSmResp(2, 0, b"1"))]


@pytest.mark.parametrize(
    "octets",
    [
        submit_resp(77),
        submit_resp(2),
        frame(CommandId.GENERIC_NACK, status=8, sequence_number=77),
        frame(CommandId.ENQUIRE_LINK_RESP, sequence_number=77),
        frame(CommandId.UNBIND_RESP, sequence_number=77),
        frame(CommandId.BIND_TRANSCEIVER_RESP, b"\0", sequence_number=77),
    ],
)
def test_a_response_to_nothing_or_the_second_to_one_is_dropped_and_counted(octets: bytes) -> None:
    session = bound_esme()
    submits(session, ["token", "other"])
    session.receive(submit_resp(2), 0.0)
    session.take_output()
    received = session.receive(octets, 0.0)
    assert (received.answers, received.late, received.closing) == ([], [], None)
    assert session.statistics().responses_dropped == 1
    assert session.take_output() == b""
    assert session.close() == ["other"]


@pytest.mark.parametrize(
    "octets",
    [
        frame(CommandId.DELIVER_SM_RESP, b"\0", sequence_number=2),
        frame(CommandId.SUBMIT_MULTI_RESP, b"1\0\0", sequence_number=2),
        frame(0x80000110, b"\1", sequence_number=2),
    ],
)
def test_a_response_of_another_command_fails_the_request(octets: bytes, octets_per_read: int) -> None:
    session = bound_esme()
    submits(session, ["token", "other"])
    answers = feed(session, octets, octets_per_read=octets_per_read).answers
    assert answers == [("token", GenericNack(2, Status.ESME_RINVCMDID))]
    assert session.close() == ["other"]


@pytest.mark.parametrize("status", [0x03, 0x58, 0x08, 0xDEADBEEF])
def test_a_nack_with_a_pending_number_fails_that_request_with_its_status(status: int) -> None:
    session = bound_esme()
    submits(session, ["a", "b"])
    nack = frame(CommandId.GENERIC_NACK, status=status, sequence_number=2)
    assert session.receive(nack, 0.0).answers == [("a", GenericNack(2, status))]
    assert session.statistics().nacks_in == 1


def test_a_nack_with_number_zero_is_counted_and_blames_nobody() -> None:
    session = bound_esme()
    submits(session, ["a"])
    assert session.receive(bytes.fromhex("00000010 80000000 00000008 00000000"), 0.0).answers == []
    figures = session.statistics()
    assert (figures.nacks_in, figures.responses_dropped, figures.window_used) == (1, 0, 1)
    assert session.take_output().startswith(b"\0\0\0")  # the submit alone
    assert session.closing is None


@pytest.mark.parametrize(
    ("octets", "response"),
    [
        ("00000019 80000004 0000000A 00000002 303030303030303000", SubmitSmResp(2, 0x0A, b"00000000")),
        ("00000010 80000004 00000000 00000002", SubmitSmResp(2, 0)),
        ("00000011 80000004 00000000 00000002 00", SubmitSmResp(2, 0)),
        ("00000011 80000004 00000000 00000002 39", SubmitSmResp(2, 0, b"9")),
        ("00000010 80000004 00000022 00000002", SubmitSmResp(2, 0x22)),
        ("00000010 80000004 000004A1 00000002", SubmitSmResp(2, 0x4A1)),
        ("00000010 80000004 DEADBEEF 00000002", SubmitSmResp(2, 0xDEADBEEF)),
        ("00000010 80000004 00000058 00000002", SubmitSmResp(2, 0x58)),
        ("00000010 80000004 00000014 00000002", SubmitSmResp(2, 0x14)),
    ],
)
def test_a_response_settles_its_request_whatever_its_body_and_status(
    octets: str, response: SubmitSmResp, octets_per_read: int
) -> None:
    session = bound_esme()
    submits(session, ["token"])
    saw = feed(session, bytes.fromhex(octets), octets_per_read=octets_per_read)
    assert saw.answers == [("token", response)]
    assert session.window_used == 0


def test_throttled_answers_keep_the_order_of_the_requests() -> None:
    session = bound_esme()
    submits(session, list(range(10)))
    octets = b"".join(
        frame(CommandId.SUBMIT_SM_RESP, status=Status.ESME_RTHROTTLED, sequence_number=number)
        for number in range(2, 12)
    )
    received = session.receive(octets, 0.0)
    assert [token for token, _ in received.answers] == list(range(10))
    assert {answer.command_status for _, answer in received.answers} == {Status.ESME_RTHROTTLED}
    assert received.closing is None
    assert session.window_free == 10


def test_each_command_has_its_own_response() -> None:
    session = bound_esme()
    session.send_request(DataSm(), "data", 0.0)
    session.send_request(SubmitMulti(destinations=(SmeAddress(1, 1, b"12"),)), "multi", 0.0)
    octets = frame(CommandId.DATA_SM_RESP, b"1\0", sequence_number=2) + bytes.fromhex(
        "00000030 80000021 00000000 00000003 666F6F7462616C6C 00 02 26 21 426F6231 00 00000013"
        "00 00 426F6232 00 00000014"
    )
    assert session.receive(octets, 0.0).answers == [
        ("data", DataSmResp(2, 0, b"1")),
        (
            "multi",
            SubmitMultiResp(
                3,
                0,
                b"football",
                (UnsuccessSme(0x26, 0x21, b"Bob1", 0x13), UnsuccessSme(0, 0, b"Bob2", 0x14)),
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("octets", "response"),
    [
        (
            "0000001C 80000005 00000000 00000001 3934323538303632363930 00",
            DeliverSmResp(1, 0, b"94258062690"),
        ),
        ("00000010 80000005 00000000 00000001", DeliverSmResp(1)),
    ],
)
def test_a_customers_deliver_sm_resp_may_have_a_message_id(octets: str, response: DeliverSmResp) -> None:
    pair = SessionPair().bind()
    pair.mc.send_requests(CommandId.DELIVER_SM, [message()], ["receipt"], 0.0)
    assert pair.mc.receive(bytes.fromhex(octets), 0.0).answers == [("receipt", response)]


# Expiry


def test_a_silent_peer_frees_the_window_after_the_response_timer() -> None:
    session = bound_esme(timed(60, window_out_max=10))
    submits(session, list(range(5)), 0.0)
    submits(session, list(range(5, 10)), 20.0)
    assert session.window_free == 0
    assert session.next_tick_at() == 60.0
    assert session.tick(59.9).expired == []
    assert session.tick(60.0).expired == [0, 1, 2, 3, 4]
    assert session.window_free == 5
    assert session.next_tick_at() == 80.0
    tick = session.tick(80.0)
    assert (tick.expired, tick.closing) == ([5, 6, 7, 8, 9], None)
    assert session.close() == []
    assert session.statistics().requests_expired == 10


def test_a_late_response_is_matched_and_reported_once(octets_per_read: int) -> None:
    session = bound_esme(timed(60))
    submits(session, ["a", "b"])
    session.tick(60.0)
    octets = submit_resp(2, b"id") * 2
    saw = feed(session, octets, 61.0, octets_per_read=octets_per_read)
    assert saw.late == [("a", SubmitSmResp(2, 0, b"id"))]
    assert saw.answers == []
    figures = session.statistics()
    assert (figures.responses_late, figures.responses_dropped) == (1, 1)


@pytest.mark.parametrize(
    ("octets", "late"),
    [
        (frame(CommandId.GENERIC_NACK, status=8, sequence_number=2), [("a", GenericNack(2, 8))]),
        (frame(CommandId.DELIVER_SM_RESP, b"\0", sequence_number=2), []),
        (frame(0x80000110, sequence_number=2), [("a", GenericNack(2, Status.ESME_RINVCMDID))]),
    ],
)
def test_a_late_nack_is_reported_and_a_late_response_of_another_command_is_not(
    octets: bytes, late: list[object]
) -> None:
    session = bound_esme(timed(60))
    submits(session, ["a"])
    session.tick(60.0)
    assert session.receive(octets, 61.0).late == late


def test_what_expired_too_long_ago_is_forgotten() -> None:
    session = bound_esme(timed(60, late_s=600))
    submits(session, ["a"])
    session.tick(60.0)
    assert session.receive(submit_resp(2), 660.0).late == []
    assert session.statistics().responses_dropped == 1


def test_a_response_that_came_before_the_tick_is_in_time() -> None:
    session = bound_esme(timed(60))
    submits(session, ["a"])
    assert [token for token, _ in session.receive(submit_resp(2), 61.0).answers] == ["a"]
    assert session.tick(61.0).expired == []


def test_close_gives_back_what_is_unanswered_once_and_in_order() -> None:
    session = bound_esme(timed(60))
    submits(session, ["a", "b", "c"], 0.0)
    session.send_request(DataSm(), "d", 0.0)
    submits(session, ["e"], 30.0)
    session.receive(submit_resp(3), 31.0)
    session.tick(60.0)
    submits(session, ["f"], 61.0)
    assert session.close() == ["e", "f"]
    assert session.close() == []
    assert session.tick(1000.0).expired == []
    assert session.next_tick_at() == float("inf")
