"""What a session answers by itself: garbage, unknown and malformed PDUs, enquire_link, a full window."""

import pytest

from gateway.smpp.constants import CommandId, Status
from gateway.smpp.encode import encode
from gateway.smpp.pdu import (
    DeliverSm,
    DeliverSmResp,
    GenericNack,
    QuerySm,
    QuerySmResp,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    UnsuccessSme,
)
from gateway.smpp.session import Role, SessionLimits, SessionMisuse
from tests.smpp.octets import frame, message, tlv
from tests.smpp.session_pair import SessionPair, bound_mc, feed, open_session, submits

NACK_LENGTH = bytes.fromhex("00000010 80000000 00000002 00000000")
ENQUIRE = bytes.fromhex("00000010 00000015 00000000 0A342EE7")
ENQUIRE_RESP = bytes.fromhex("00000010 80000015 00000000 0A342EE7")


# Framing


@pytest.mark.parametrize(
    "octets",
    [
        *(length.to_bytes(4, "big") + bytes(12) for length in (0, 1, 4, 8, 12, 15)),
        bytes.fromhex("FFFFFFFF 00000015 00000000 00000001"),
        bytes.fromhex("7FFFFFFF 00000015 00000000 00000001"),
        bytes.fromhex("F0000011 00000110 00000000 0A342EE7"),
        bytes.fromhex("3800000F 80000006 00000000 00000001"),
    ],
)
@pytest.mark.parametrize("bound", [False, True])
def test_a_length_that_is_no_pdus_is_nacked_once_and_ends_the_session(
    octets: bytes, bound: bool, octets_per_read: int
) -> None:
    session = bound_mc() if bound else open_session(Role.MC)
    saw = feed(session, ENQUIRE + octets + ENQUIRE, octets_per_read=octets_per_read)
    assert session.take_output() == ENQUIRE_RESP + NACK_LENGTH
    assert saw.closing
    assert saw.closing.startswith("not SMPP")
    assert session.window_free == 0


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(150), "TLS"),
        (bytes.fromhex("0300002F2AE00000000000436F6F6B69653A206D73"), "RDP"),
        (b"AMQP\x00\x00\x09\x01", "AMQP"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 2775\r\n", "PROXY"),
    ],
)
def test_another_protocol_is_named_in_the_reason(octets: bytes, name: str, octets_per_read: int) -> None:
    session = open_session(Role.MC)
    saw = feed(session, octets, octets_per_read=octets_per_read)
    assert saw.closing
    assert saw.closing.endswith(f"looks like {name}")
    assert session.take_output() == NACK_LENGTH


@pytest.mark.parametrize(("octets", "ends"), [(100, False), (101, True)])
def test_a_pdu_of_exactly_the_limit_is_taken_and_one_more_octet_is_not(octets: int, ends: bool) -> None:
    limits = SessionLimits(octets_max=100, octets_max_unbound=100, enquire_link_s=0)
    for session in (bound_mc(limits=limits), open_session(Role.MC, limits)):
        received = session.receive(frame(CommandId.ENQUIRE_LINK, bytes(octets - 16)), 0.0)
        assert bool(received.closing) is ends
        assert session.take_output() == (NACK_LENGTH if ends else frame(CommandId.ENQUIRE_LINK_RESP))


def test_a_stranger_may_send_less_than_a_customer() -> None:
    octets = frame(CommandId.ENQUIRE_LINK, bytes(2000))
    assert open_session(Role.MC).receive(octets, 0.0).closing
    assert bound_mc().receive(octets, 0.0).closing is None


def test_an_enquire_link_in_two_pieces_is_answered_once() -> None:
    session = bound_mc()
    session.receive(ENQUIRE[:15], 0.0)
    assert session.take_output() == b""
    session.receive(ENQUIRE[15:], 1.0)
    assert session.take_output() == ENQUIRE_RESP
    assert session.next_tick_at() == float("inf"), "the timer of the partial PDU has stopped"


def test_one_octet_at_a_time_does_not_hold_a_session() -> None:
    session = bound_mc(limits=SessionLimits(partial_pdu_s=30, enquire_link_s=0))
    octets = frame(CommandId.DATA_SM, bytes(60_000))
    closing = None
    now = 100.0
    sent = 0
    while closing is None:
        session.receive(octets[sent : sent + 1], now)
        sent += 1
        now += 5.0
        closing = session.tick(now).closing
    assert (closing, now) == ("a PDU was not complete within 30 s", 130.0)


def test_each_pdu_has_its_own_time_to_arrive() -> None:
    session = bound_mc(limits=SessionLimits(partial_pdu_s=30, enquire_link_s=0))
    session.receive(ENQUIRE + ENQUIRE[:4], 0.0)
    session.receive(ENQUIRE[4:] + ENQUIRE[:4], 20.0)
    assert session.tick(45.0).closing is None
    session.receive(ENQUIRE[4:8], 49.0)
    assert session.tick(50.0).closing == "a PDU was not complete within 30 s"


def test_pieces_of_pdus_are_kept_and_whole_ones_answered_in_order() -> None:
    session = bound_mc()
    octets = b"".join(frame(CommandId.SUBMIT_SM, message(), sequence_number=n) for n in range(1, 11))
    cut = len(octets) - 30
    first = session.receive(octets[:cut], 0.0)
    rest = session.receive(octets[cut:], 0.0)
    assert [pdu.sequence_number for pdu in first.requests] == list(range(1, 10))
    assert [pdu.sequence_number for pdu in rest.requests] == [10]


# Unknown and malformed


@pytest.mark.parametrize("command_id", [0x110, 0x00010200, 0x01000001, CommandId.BROADCAST_SM, 0])
@pytest.mark.parametrize("body", [b"", b"\x0f"])
def test_an_unknown_request_is_nacked_with_its_own_number(
    command_id: int, body: bytes, octets_per_read: int
) -> None:
    session = bound_mc()
    octets = frame(command_id, body, sequence_number=0x0A342EE8) + ENQUIRE
    assert feed(session, octets, octets_per_read=octets_per_read).closing is None
    nack = frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDID, sequence_number=0x0A342EE8)
    assert sorted(pdus(session.take_output())) == sorted([nack, ENQUIRE_RESP])


@pytest.mark.parametrize("command_id", [0x80000110, 0x80003302, 0x80000102, CommandId.BROADCAST_SM_RESP])
def test_an_unknown_response_is_dropped_and_never_nacked(command_id: int) -> None:
    session = bound_mc()
    session.receive(frame(command_id, b"\1\2\3"), 0.0)
    assert session.take_output() == b""
    assert session.closing is None
    assert session.statistics().responses_dropped == 1


@pytest.mark.parametrize("number", [0, 0x80000000, 0xA2859F22, 0x806A179B, 0xFFFFFFFF])
def test_any_number_of_a_request_is_echoed(number: int) -> None:
    session = SessionPair().bind().esme
    (request,) = session.receive(frame(CommandId.DELIVER_SM, message(), sequence_number=number), 0.0).requests
    session.respond_deliveries([request.sequence_number])
    session.receive(frame(CommandId.SUBMIT_SM, sequence_number=number), 0.0)
    session.receive(frame(CommandId.ENQUIRE_LINK, sequence_number=number), 0.0)
    assert session.take_output() == (
        frame(CommandId.ENQUIRE_LINK_RESP, sequence_number=number)
        + frame(CommandId.DELIVER_SM_RESP, b"\0", sequence_number=number)
        + frame(CommandId.SUBMIT_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=number)
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (message(short_message=b"\xc8Hello"), Status.ESME_RINVMSGLEN),
        (message(service_type=b"toolong\0"), Status.ESME_RINVSERTYP),
        (message(source_addr=b"9" * 21 + b"\0"), Status.ESME_RINVSRCADR),
        (message(schedule_delivery_time=b"17061023342900400000\0"), Status.ESME_RINVSCHED),
        (message(source_addr=b"9" * 60_000), Status.ESME_RINVSRCADR),
        (message() + b"\x04\x24\xff\xffhello", Status.ESME_RINVTLVSTREAM),
        (message()[:9], Status.ESME_RINVCMDLEN),
    ],
)
def test_a_malformed_request_gets_its_status_and_the_next_is_served(
    body: bytes, status: Status, octets_per_read: int
) -> None:
    if octets_per_read and len(body) > 1000:
        octets_per_read = 997
    session = bound_mc()
    octets = frame(CommandId.SUBMIT_SM, body, sequence_number=5) + encode(SubmitSm(6))
    saw = feed(session, octets, octets_per_read=octets_per_read)
    answer = session.take_output()
    assert [pdu.sequence_number for pdu in saw.requests] == [6]
    assert answer[:8] + answer[12:] == frame(CommandId.SUBMIT_SM_RESP, sequence_number=5)[:8] + b"\0\0\0\5"
    assert int.from_bytes(answer[8:12], "big") in (status, Status.ESME_RINVCMDLEN)
    assert session.statistics().bad_pdus == 1


def test_a_malformed_request_that_is_illegal_too_is_called_illegal() -> None:
    session = bound_mc()
    session.receive(frame(CommandId.DELIVER_SM, b"\0"), 0.0)
    assert session.take_output() == frame(CommandId.DELIVER_SM_RESP, status=Status.ESME_RINVBNDSTS)


def test_a_status_of_5_0_is_not_sent_to_a_3_4_peer() -> None:
    session = bound_mc()
    (request,) = session.receive(encode(SubmitSm(5)), 0.0).requests
    session.respond_error(request, Status.ESME_RSERTYPUNAVAIL)
    assert session.take_output() == frame(
        CommandId.SUBMIT_SM_RESP, status=Status.ESME_RSYSERR, sequence_number=5
    )


def test_a_status_in_a_request_is_ignored() -> None:
    octets = bytearray(encode(SubmitSm(5, short_message=b"x")))
    octets[11] = 0x45
    assert len(bound_mc().receive(bytes(octets), 0.0).requests) == 1


def test_a_receipt_whose_last_tlv_overruns_is_not_lost() -> None:
    session = SessionPair().bind().esme
    octets = frame(CommandId.DELIVER_SM, message() + tlv(0x0427, b"\2") + tlv(0x001E, b"3305", 65))
    (request,) = session.receive(octets, 0.0).requests
    assert isinstance(request, DeliverSm)
    assert request.tlvs == ((0x0427, b"\2"),)


@pytest.mark.parametrize("command_id", [0x110, CommandId.SUBMIT_SM, 0x80000110])
def test_malformed_pdus_in_a_row_end_the_session_and_a_good_one_breaks_the_row(
    command_id: int, octets_per_read: int
) -> None:
    session = bound_mc(limits=SessionLimits(bad_pdus_max=5, enquire_link_s=0))
    bad = frame(command_id, b"\1")
    saw = feed(session, (bad * 5 + ENQUIRE) * 3, octets_per_read=octets_per_read)
    assert saw.closing is None
    saw = feed(session, bad * 5, octets_per_read=octets_per_read)
    assert saw.closing is None
    session.take_output()
    saw = feed(session, bad + ENQUIRE, octets_per_read=octets_per_read)
    assert saw.closing == "6 malformed PDUs in a row"
    assert ENQUIRE_RESP not in session.take_output()


def test_a_session_that_has_ended_answers_nothing_more(octets_per_read: int) -> None:
    session = bound_mc(limits=SessionLimits(bad_pdus_max=0, enquire_link_s=0))
    octets = frame(0x110) + ENQUIRE + bytes(16)
    feed(session, octets, octets_per_read=octets_per_read)
    assert session.take_output() == frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDID)


def test_a_malformed_response_settles_its_request_and_counts_as_malformed(octets_per_read: int) -> None:
    session = SessionPair(esme_limits=SessionLimits(bad_pdus_max=2, enquire_link_s=0)).bind().esme
    numbers = [session.send_request(QuerySm(message_id=b"1"), token, 0.0) for token in "abc"]
    cut = [frame(CommandId.QUERY_SM_RESP, b"1\0", sequence_number=number) for number in numbers]
    saw = feed(session, b"".join(cut[:2]), octets_per_read=octets_per_read)
    assert saw.answers == [("a", QuerySmResp(2, 0, b"1")), ("b", QuerySmResp(3, 0, b"1"))]
    assert saw.closing is None
    saw = feed(session, cut[2], octets_per_read=octets_per_read)
    assert saw.answers == [("c", QuerySmResp(4, 0, b"1"))]
    assert saw.closing == "3 malformed PDUs in a row"


# enquire_link


def test_an_enquire_link_is_answered_in_front_of_all_other_output(octets_per_read: int) -> None:
    session = bound_mc()
    octets = b"".join(frame(CommandId.SUBMIT_SM, message(), sequence_number=n) for n in (1, 2))
    saw = feed(session, octets, octets_per_read=octets_per_read)
    session.respond_submits([pdu.sequence_number for pdu in saw.requests], [b"1", b"2"])
    first = frame(CommandId.ENQUIRE_LINK, sequence_number=8)
    feed(session, first + ENQUIRE, octets_per_read=octets_per_read)
    feed(session, first, octets_per_read=octets_per_read)
    answer = frame(CommandId.ENQUIRE_LINK_RESP, sequence_number=8)
    assert pdus(session.take_output())[:3] == [answer, ENQUIRE_RESP, answer]
    session.receive(encode(SubmitSm(3)), 0.0)
    session.respond_submits([3], [b"3"])
    session.receive(ENQUIRE, 0.0)
    assert session.take_output().startswith(ENQUIRE_RESP)


def test_an_enquire_link_is_answered_with_both_windows_full_and_counts_in_none() -> None:
    limits = SessionLimits(window_in_max=2, window_out_max=2, enquire_link_s=0)
    session = bound_mc(limits=limits)
    session.receive(encode(SubmitSm(1)) + encode(SubmitSm(2)), 0.0)
    session.send_requests(CommandId.DELIVER_SM, [message()] * 2, [1, 2], 0.0)
    session.take_output()
    session.receive(ENQUIRE, 0.0)
    assert session.take_output() == ENQUIRE_RESP
    assert (session.requests_in_hand, session.window_used) == (2, 2)


def test_an_enquire_link_with_a_body_is_one() -> None:
    session = bound_mc()
    session.receive(bytes.fromhex("00000011 00000015 00000000 0A342EE7 FF"), 0.0)
    assert session.take_output() == ENQUIRE_RESP


# The peer's window


def test_requests_over_the_peers_window_are_throttled_and_the_first_are_kept() -> None:
    limits = SessionLimits(window_in_max=10, enquire_link_s=0)
    session = bound_mc(limits=limits)
    octets = b"".join(frame(CommandId.SUBMIT_SM, message(), sequence_number=n) for n in range(1, 1001))
    received = session.receive(octets + ENQUIRE, 0.0)
    assert [pdu.sequence_number for pdu in received.requests] == list(range(1, 11))
    answers = pdus(session.take_output())
    assert answers[0] == ENQUIRE_RESP
    assert answers[1:] == [
        frame(CommandId.SUBMIT_SM_RESP, status=Status.ESME_RTHROTTLED, sequence_number=n)
        for n in range(11, 1001)
    ]
    assert received.closing is None
    assert session.statistics().requests_throttled == 990
    session.respond_submits([1, 2], [b"1", b"2"])
    assert len(session.receive(octets, 0.0).requests) == 2, "as many as were answered"


def test_without_a_bound_nothing_is_throttled() -> None:
    session = bound_mc(limits=SessionLimits(window_in_max=0, enquire_link_s=0))
    assert len(session.receive(encode(SubmitSm(1)) * 5000, 0.0).requests) == 5000


def test_throttling_spares_what_has_no_response_and_what_is_no_transaction() -> None:
    pair = SessionPair(esme_limits=SessionLimits(window_in_max=1, enquire_link_s=0)).bind()
    alert = frame(CommandId.ALERT_NOTIFICATION, bytes(6))
    octets = encode(DeliverSm(1)) + alert + encode(DeliverSm(2)) + alert
    names = [type(pdu).__name__ for pdu in pair.esme.receive(octets, 0.0).requests]
    assert names == ["DeliverSm", "AlertNotification", "AlertNotification"]


# The owner's answers


def test_two_requests_with_one_number_get_two_answers(octets_per_read: int) -> None:
    session = bound_mc()
    saw = feed(session, encode(SubmitSm(5)) * 2, octets_per_read=octets_per_read)
    for request, message_id in zip(saw.requests, (b"1", b"2"), strict=True):
        session.respond(request, SubmitSmResp(message_id=message_id))
    assert session.take_output() == b"".join(
        frame(CommandId.SUBMIT_SM_RESP, body, sequence_number=5) for body in (b"1\0", b"2\0")
    )


def test_an_answer_takes_the_number_of_its_request_and_its_own_class() -> None:
    session = bound_mc()
    query = QuerySm(5, message_id=b"1")
    multi = SubmitMulti(6, destinations=(SmeAddress(1, 1, b"12"),))
    assert session.receive(encode(query) + encode(multi), 0.0).requests == [query, multi]
    with pytest.raises(SessionMisuse, match="does not answer query_sm"):
        session.respond(query, SubmitSmResp())
    session.respond(query, GenericNack(0, Status.ESME_RINVCMDID))
    response = SubmitMultiResp(message_id=b"1", unsuccess=(UnsuccessSme(1, 1, b"12", 0x0B),))
    session.respond(multi, response)
    assert response.sequence_number == 6
    assert session.take_output() == frame(
        CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDID, sequence_number=5
    ) + encode(response)


def test_batches_of_answers_are_the_same_octets_as_single_ones() -> None:
    batch, single = bound_mc(peer_is_mc=True), bound_mc(peer_is_mc=True)
    octets = b"".join(encode(SubmitSm(n)) for n in (1, 2, 3)) + encode(DeliverSm(4)) + encode(DeliverSm(5))
    batch.receive(octets, 0.0)
    batch.respond_submits([1, 2, 3], [b"a", b"bb", b""])
    batch.respond_deliveries([4, 5])
    requests = single.receive(octets, 0.0).requests
    for request, message_id in zip(requests[:3], (b"a", b"bb", b""), strict=True):
        single.respond(request, SubmitSmResp(message_id=message_id))
    for request in requests[3:]:
        single.respond(request, DeliverSmResp())
    assert batch.take_output() == single.take_output() != b""
    assert batch.statistics() == single.statistics()


def test_no_request_is_answered_twice() -> None:
    session = bound_mc()
    (request,) = session.receive(encode(SubmitSm(5)), 0.0).requests
    session.respond_error(request, Status.ESME_RSYSERR)
    for answer in (
        lambda: session.respond_error(request, Status.ESME_RSYSERR),
        lambda: session.respond(request, SubmitSmResp()),
        lambda: session.respond_submits([5], [b"1"]),
        lambda: session.respond_deliveries([5]),
    ):
        with pytest.raises(SessionMisuse, match="answer each request once"):
            answer()


def test_an_answer_that_does_not_fit_leaves_its_request_in_hand() -> None:
    session = bound_mc()
    (request,) = session.receive(encode(SubmitSm(5)), 0.0).requests
    with pytest.raises(ValueError, match="message_id"):
        session.respond(request, SubmitSmResp(message_id=b"x" * 100))
    with pytest.raises(SessionMisuse, match="one each"):
        session.respond_submits([5], [])
    assert session.requests_in_hand == 1
    session.respond_error(request, Status.ESME_RSYSERR)
    assert session.requests_in_hand == 0


def test_answers_to_a_session_that_is_gone_are_dropped_quietly() -> None:
    session = bound_mc()
    requests = session.receive(encode(SubmitSm(5)) + encode(SubmitSm(6)), 0.0).requests
    session.close()
    session.respond_submits([5], [b"1"])
    session.respond_deliveries([5])
    session.respond_error(requests[1], Status.ESME_RSYSERR)
    session.respond(requests[1], SubmitSmResp())
    assert session.take_output() == b""


def test_the_figures_say_what_happened() -> None:
    pair = SessionPair().bind()
    submits(pair.esme, ["a", "b"], 1.0)
    pair.flow()
    pair.mc.respond_submits([2, 3], [b"1", b"2"])
    pair.flow()
    pair.mc.receive(frame(0x110), 0.0)
    figures = pair.mc.statistics()
    assert figures.pdus_in == {"bind_transceiver": 1, "submit_sm": 2, "malformed": 1}
    assert figures.pdus_out == {"bind_transceiver_resp": 1, "submit_sm_resp": 2, "generic_nack": 1}
    assert (figures.nacks_out, figures.bad_pdus, figures.requests_refused) == (1, 1, 1)
    assert figures.octets_out == pair.esme.statistics().octets_in
    assert figures.octets_in == pair.esme.statistics().octets_out + 16
    assert pair.esme.statistics().window_used_max == 2
    with pytest.raises(AttributeError):
        figures.window_used = 3  # type: ignore[misc]


def pdus(octets: bytes) -> list[bytes]:
    """Cut a stream of PDUs at their lengths."""
    found = []
    while octets:
        length = int.from_bytes(octets[:4], "big")
        found.append(octets[:length])
        octets = octets[length:]
    return found
