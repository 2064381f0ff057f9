"""How a session stays alive and how it ends: enquire_link, inactivity, unbind from either side, closing."""

from math import inf

import pytest

from gateway.smpp.constants import CommandId, Status
from gateway.smpp.encode import encode
from gateway.smpp.pdu import DeliverSm, SubmitSm, SubmitSmResp
from gateway.smpp.session import BindState, Role, Session, SessionLimits, SessionMisuse
from tests.smpp.octets import frame, message
from tests.smpp.session_pair import SessionPair, bound_mc, feed, open_session, submits

UNBIND = frame(CommandId.UNBIND, sequence_number=7)
UNBIND_RESP = frame(CommandId.UNBIND_RESP, sequence_number=7)
ENQUIRE = frame(CommandId.ENQUIRE_LINK, sequence_number=9)
ENQUIRE_RESP = frame(CommandId.ENQUIRE_LINK_RESP, sequence_number=9)
TIMED = SessionLimits(enquire_link_s=30, enquire_answer_s=10, unbind_s=5, response_s=60)


def enquire(number: int) -> bytes:
    return frame(CommandId.ENQUIRE_LINK, sequence_number=number)


def enquire_resp(number: int) -> bytes:
    return frame(CommandId.ENQUIRE_LINK_RESP, sequence_number=number)


def bound_esme(limits: SessionLimits = TIMED) -> Session:
    return SessionPair(esme_limits=limits).bind().esme


# enquire_link


def test_an_idle_session_enquires_and_an_answer_keeps_it() -> None:
    session = bound_mc(limits=TIMED)
    assert session.next_tick_at() == 30.0
    session.tick(29.9)
    assert session.take_output() == b""
    session.tick(30.0)
    assert session.take_output() == enquire(1)
    session.receive(enquire_resp(1), 30.5)
    assert session.statistics().enquire_link_round_trip_s == 0.5
    assert session.next_tick_at() == 60.5


def test_a_dead_peer_is_suspect_after_one_unanswered_enquire_link_and_gone_after_two() -> None:
    session = bound_mc(limits=TIMED)
    session.tick(30.0)
    assert session.tick(40.0).closing is None
    assert session.suspect
    assert session.take_output() == enquire(1) + enquire(2)
    tick = session.tick(50.0)
    assert tick.closing == "two enquire_link without an answer, 10 s each"
    assert session.take_output() == b"", "no unbind to the dead"
    assert session.receive(encode(SubmitSm(1)), 51.0).requests == []


@pytest.mark.parametrize(
    "octets",
    [
        enquire_resp(1),
        enquire_resp(77),
        ENQUIRE,
        encode(SubmitSm(5)),
        frame(CommandId.SUBMIT_SM, b"\0"),
        frame(CommandId.DELIVER_SM_RESP, b"\0", sequence_number=99),
        frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDID, sequence_number=1),
        frame(CommandId.GENERIC_NACK),
        frame(0x110),
    ],
)
def test_any_pdu_proves_life(octets: bytes) -> None:
    session = bound_mc(limits=TIMED)
    session.tick(30.0)
    session.tick(40.0)
    session.receive(octets, 49.0)
    assert not session.suspect
    assert session.tick(50.0).closing is None
    assert session.next_tick_at() == 79.0


def test_half_a_pdu_proves_nothing() -> None:
    session = bound_mc(limits=TIMED)
    session.tick(30.0)
    session.tick(40.0)
    session.receive(ENQUIRE[:8], 49.0)
    assert session.tick(50.0).closing


def test_an_enquire_link_takes_no_slot_and_none_of_our_tokens() -> None:
    session = bound_mc(limits=SessionLimits(window_out_max=1, enquire_link_s=30, response_s=0))
    session.send_requests(CommandId.DELIVER_SM, [message()], ["token"], 0.0)
    session.take_output()
    session.tick(30.0)
    assert session.take_output() == enquire(2)
    assert session.receive(enquire_resp(2), 31.0).answers == []
    assert session.close() == ["token"]


def test_a_nack_of_an_enquire_link_is_an_answer() -> None:
    session = bound_mc(limits=TIMED)
    session.tick(30.0)
    session.receive(frame(CommandId.GENERIC_NACK, status=3), 30.25)
    assert session.statistics().enquire_link_round_trip_s == 0.25


def test_the_first_enquire_link_is_jittered() -> None:
    session = Session(role=Role.MC, limits=TIMED, now=0.0, jitter=1.0)
    (request,) = session.receive(frame(CommandId.BIND_RECEIVER, b"\0\0\0\x34\0\0\0"), 0.0).requests
    session.accept_bind(request, b"gw", 0.0)
    assert session.next_tick_at() == 15.0


def test_two_idle_sessions_keep_each_other_alive(octets_per_read: int) -> None:
    pair = SessionPair(esme_limits=TIMED, mc_limits=TIMED, octets_per_read=octets_per_read).bind()
    pair.advance(3600)
    assert pair.esme.closing is pair.mc.closing is None
    assert pair.esme.statistics().enquire_link_round_trip_s == 0.0


def test_a_killed_client_is_noticed_within_the_promised_time() -> None:
    session = bound_mc(limits=TIMED)
    session.receive(ENQUIRE, 100.0)
    now = 100.0
    while (tick := session.tick(now)).closing is None:
        now = session.next_tick_at()
    assert (tick.closing[:16], now) == ("two enquire_link", 100.0 + 30 + 10 + 10)


# Inactivity


def test_an_idle_session_is_unbound_though_enquire_links_go_on(octets_per_read: int) -> None:
    limits = SessionLimits(inactivity_s=100, enquire_link_s=30)
    pair = SessionPair(mc_limits=limits, octets_per_read=octets_per_read).bind()
    pair.advance(50.0)
    submits(pair.esme, ["token"], pair.now)
    pair.flow()
    pair.advance(99.9)
    assert pair.mc.closing is None
    pair.mc.respond_submits([2], [b"1"])
    pair.flow()
    pair.advance(0.2)
    assert (pair.mc.closing, pair.esme.closing) == ("no transaction for 100 s", "the peer unbound")


def test_a_request_of_ours_is_a_transaction() -> None:
    limits = SessionLimits(inactivity_s=100, enquire_link_s=0, response_s=0)
    batch, single = bound_mc(limits=limits), bound_mc(limits=limits)
    batch.send_requests(CommandId.DELIVER_SM, [message()], ["token"], 90.0)
    single.send_request(DeliverSm(), "token", 90.0)
    assert batch.next_tick_at() == single.next_tick_at() == 190.0


def test_a_response_is_a_transaction_too() -> None:
    session = bound_mc(limits=SessionLimits(inactivity_s=100, enquire_link_s=0, response_s=0))
    session.send_requests(CommandId.DELIVER_SM, [message()], ["token"], 90.0)
    session.receive(frame(CommandId.DELIVER_SM_RESP, b"\0"), 180.0)
    assert session.next_tick_at() == 280.0


# Unbind by the peer


def test_an_unbind_is_answered_and_ends_the_session(octets_per_read: int) -> None:
    session = bound_mc()
    saw = feed(session, UNBIND, octets_per_read=octets_per_read)
    assert saw.closing == "the peer unbound"
    assert session.take_output() == UNBIND_RESP
    assert session.state is BindState.UNBOUND


def test_an_unbind_with_a_body_is_one() -> None:
    session = bound_mc()
    assert session.receive(bytes.fromhex("00000011 00000006 00000000 00000007 FF"), 0.0).closing
    assert session.take_output() == UNBIND_RESP


def test_what_came_before_an_unbind_is_answered_before_it(octets_per_read: int) -> None:
    session = bound_mc()
    octets = encode(SubmitSm(1)) + encode(SubmitSm(2)) + UNBIND + encode(SubmitSm(3)) + ENQUIRE
    saw = feed(session, octets, octets_per_read=octets_per_read)
    assert [pdu.sequence_number for pdu in saw.requests] == [1, 2]
    assert saw.closing == "the peer unbound"
    assert session.state is BindState.BOUND_TRX
    assert session.tick(0.1).closing is None, "there are answers to give"
    refused = frame(CommandId.SUBMIT_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=3)
    assert session.take_output() == ENQUIRE_RESP + refused
    session.respond(saw.requests[0], SubmitSmResp(message_id=b"1"))
    assert UNBIND_RESP not in session.out
    session.respond_error(saw.requests[1], Status.ESME_RSYSERR)
    assert session.take_output().endswith(UNBIND_RESP)
    assert session.state is BindState.UNBOUND
    assert session.tick(0.2).closing == "the peer unbound"


def test_a_carrier_that_unbinds_twice_may_still_answer() -> None:
    session = bound_esme()
    submits(session, ["token"], 100.0)
    session.take_output()
    assert session.receive(UNBIND + UNBIND, 100.0).closing is None
    assert session.take_output() == frame(
        CommandId.UNBIND_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=7
    )
    answer = frame(CommandId.SUBMIT_SM_RESP, b"1\0", sequence_number=2)
    assert [token for token, _ in session.receive(answer, 100.0).answers] == ["token"]
    assert session.take_output() == UNBIND_RESP


def test_a_bind_behind_an_unbind_is_not_told_that_it_is_bound(octets_per_read: int) -> None:
    session = bound_mc()
    octets = encode(SubmitSm(1)) + UNBIND + frame(CommandId.BIND_RECEIVER, b"\0\0\0\x34\0\0\0")
    feed(session, octets, octets_per_read=octets_per_read)
    assert session.take_output() == frame(CommandId.BIND_RECEIVER_RESP, status=Status.ESME_RINVBNDSTS)


def test_an_unbind_is_the_reason_though_garbage_follows_it(octets_per_read: int) -> None:
    session = bound_mc()
    saw = feed(session, encode(SubmitSm(1)) + UNBIND + bytes(16), octets_per_read=octets_per_read)
    assert saw.closing == "the peer unbound"
    session.respond_submits([1], [b"1"])
    assert session.take_output().endswith(UNBIND_RESP)


def test_an_owner_that_does_not_answer_delays_the_unbind_by_its_timer_only() -> None:
    session = bound_mc(limits=TIMED)
    session.receive(encode(SubmitSm(1)) + UNBIND, 100.0)
    assert session.next_tick_at() == 105.0
    assert session.tick(105.0).closing == "the peer unbound"
    assert session.take_output() == UNBIND_RESP


def test_after_an_unbind_only_enquire_link_is_answered_kindly() -> None:
    session = bound_mc()
    session.receive(UNBIND, 0.0)
    session.take_output()
    session.receive(ENQUIRE + encode(SubmitSm(1)) + UNBIND, 0.0)
    assert session.take_output() == (
        ENQUIRE_RESP
        + frame(CommandId.SUBMIT_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=1)
        + frame(CommandId.UNBIND_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=7)
    )


def test_a_customer_that_unbinds_gets_its_answer_though_it_owes_us_some() -> None:
    session = bound_mc()
    session.send_requests(CommandId.DELIVER_SM, [message()] * 5, list(range(5)), 0.0)
    session.take_output()
    octets = frame(CommandId.DELIVER_SM_RESP, b"\0", sequence_number=2) + UNBIND
    octets += frame(CommandId.DELIVER_SM_RESP, b"\0", sequence_number=4)
    received = session.receive(octets, 0.0)
    assert [token for token, _ in received.answers] == [1, 3], "also what follows its unbind"
    assert received.closing == "the peer unbound"
    assert session.take_output() == UNBIND_RESP
    assert session.window_free == 0
    with pytest.raises(SessionMisuse, match="ending"):
        session.send_requests(CommandId.DELIVER_SM, [message()], [5], 0.0)
    assert session.close() == [0, 2, 4]


def test_a_carrier_that_unbinds_may_first_answer_our_submissions(octets_per_read: int) -> None:
    session = bound_esme()
    submits(session, list(range(10)), 100.0)
    session.take_output()
    saw = feed(session, UNBIND, 100.0, octets_per_read=octets_per_read)
    assert (saw.closing, session.take_output(), session.window_free) == (None, b"", 0)
    octets = b"".join(frame(CommandId.SUBMIT_SM_RESP, b"1\0", sequence_number=n) for n in range(2, 12))
    saw = feed(session, octets, 101.0, octets_per_read=octets_per_read)
    assert [token for token, _ in saw.answers] == list(range(10))
    assert saw.closing == "the peer unbound"
    assert session.take_output() == UNBIND_RESP


def test_a_carrier_that_unbinds_and_answers_nothing_is_left_after_the_unbind_timer() -> None:
    session = bound_esme()
    submits(session, ["a", "b"], 100.0)
    session.take_output()
    session.receive(UNBIND, 100.0)
    assert session.tick(104.9).closing is None
    tick = session.tick(105.0)
    assert (tick.expired, tick.closing) == ([], "unbind was not completed within 5 s")
    assert session.take_output() == UNBIND_RESP
    assert session.close() == ["a", "b"]


# Unbind by us


def test_our_unbind_ends_with_its_response(octets_per_read: int) -> None:
    pair = SessionPair(octets_per_read=octets_per_read).bind()
    pair.esme.unbind(0.0)
    pair.esme.unbind(0.0)
    assert pair.esme.window_free == 0
    with pytest.raises(SessionMisuse, match="unbinding"):
        submits(pair.esme, ["token"])
    pair.flow()
    assert pair.mc_saw.closing == "the peer unbound"
    assert pair.esme_saw.closing == "we unbound"
    assert pair.esme.state is pair.mc.state is BindState.UNBOUND
    assert pair.mc.statistics().pdus_in["unbind"] == 1


def test_requests_that_cross_our_unbind_are_still_handed_over_and_answered() -> None:
    session = bound_mc(limits=TIMED)
    session.unbind(100.0)
    assert session.take_output() == frame(CommandId.UNBIND)
    received = session.receive(encode(SubmitSm(1)), 100.1)
    assert (len(received.requests), received.closing) == (1, None)
    session.respond_submits([1], [b"1"])
    assert session.take_output() == frame(CommandId.SUBMIT_SM_RESP, b"1\0")
    assert session.receive(frame(CommandId.UNBIND_RESP), 100.2).closing == "we unbound"


def test_an_unbind_that_is_not_answered_ends_by_its_timer() -> None:
    session = bound_mc(limits=TIMED)
    session.unbind(100.0)
    assert session.next_tick_at() == 105.0
    assert session.tick(105.0).closing == "unbind was not completed within 5 s"


@pytest.mark.parametrize(
    "octets",
    [
        frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDID),
        frame(CommandId.UNBIND_RESP, b"\0", status=8),
    ],
)
def test_any_answer_to_our_unbind_ends_the_session(octets: bytes) -> None:
    session = bound_mc(limits=TIMED)
    session.unbind(100.0)
    assert session.receive(octets, 100.1).closing == "we unbound"


def test_unbinds_that_cross_are_both_answered(octets_per_read: int) -> None:
    pair = SessionPair(octets_per_read=octets_per_read).bind()
    pair.esme.unbind(0.0)
    pair.mc.unbind(0.0)
    pair.flow()
    for session, saw in ((pair.esme, pair.esme_saw), (pair.mc, pair.mc_saw)):
        assert saw.closing == "we unbound"
        assert session.state is BindState.UNBOUND
        assert session.statistics().pdus_out["unbind_resp"] == 1


def test_an_unbind_that_crosses_ours_does_not_end_the_wait_for_our_answer() -> None:
    session = bound_mc(limits=TIMED)
    session.unbind(100.0)
    session.take_output()
    assert session.receive(UNBIND, 100.0).closing is None
    assert session.take_output() == UNBIND_RESP
    assert session.tick(105.0).closing == "unbind was not completed within 5 s"


def test_unbinding_what_is_not_bound_only_ends_it() -> None:
    session = open_session(Role.MC)
    session.unbind(0.0)
    assert session.take_output() == b""
    assert session.tick(0.0).closing == "we unbound"


def test_an_unbind_after_the_peers_changes_nothing() -> None:
    session = bound_mc()
    session.receive(encode(SubmitSm(1)) + UNBIND, 0.0)
    session.unbind(0.0)
    session.respond_submits([1], [b"1"])
    assert session.take_output() == frame(CommandId.SUBMIT_SM_RESP, b"1\0") + UNBIND_RESP
    session.unbind(0.0)
    assert session.take_output() == b""


# Closing


def test_a_closed_session_hears_and_says_nothing() -> None:
    session = bound_mc(limits=TIMED)
    session.receive(ENQUIRE[:5], 0.0)
    session.close()
    received = session.receive(ENQUIRE[5:] + encode(SubmitSm(1)), 0.0)
    assert (received.requests, received.closing) == ([], "closed")
    assert session.tick(1000.0).closing == "closed"
    assert session.next_tick_at() == inf
    assert session.take_output() == b""
    assert session.state is BindState.CLOSED
    with pytest.raises(SessionMisuse, match="ending"):
        session.send_requests(CommandId.DELIVER_SM, [message()], ["token"], 0.0)


def test_the_first_reason_is_the_one_that_stays() -> None:
    session = bound_mc()
    session.receive(bytes(16), 0.0)
    reason = session.closing
    session.close()
    assert session.closing == reason
    assert reason
    assert reason.startswith("not SMPP")


def test_answers_in_the_output_survive_a_half_close() -> None:
    session = bound_mc()
    requests = session.receive(b"".join(encode(SubmitSm(n)) for n in range(1, 11)), 0.0).requests
    session.respond_submits([pdu.sequence_number for pdu in requests], [b"1"] * 10)
    assert session.close() == []
    assert session.take_output().count(b"\x80\0\0\x04") == 10


def test_a_bound_session_of_either_side_hands_back_what_was_in_flight() -> None:
    pair = SessionPair().bind()
    submits(pair.esme, ["a", "b"])
    pair.mc.send_requests(CommandId.DELIVER_SM, [message()], ["c"], 0.0)
    assert (pair.esme.close(), pair.mc.close()) == (["a", "b"], ["c"])


def test_receiving_nothing_is_no_event() -> None:
    session = bound_mc(limits=TIMED)
    session.receive(b"", 29.0)
    assert session.next_tick_at() == 30.0
    assert session.receive(encode(DeliverSm(1))[:2], 29.0).requests == []
