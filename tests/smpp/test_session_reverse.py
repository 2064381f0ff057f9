"""Carriers that connect in: outbind, and binds of a peer that is the message centre all the same."""

import pytest

from gateway.smpp.constants import CommandId, Status
from gateway.smpp.encode import encode
from gateway.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    Outbind,
    Pdu,
    QuerySm,
    SubmitSm,
    SubmitSmResp,
)
from gateway.smpp.session import BindState, Role, SessionLimits, SessionMisuse
from gateway.smpp.session_core import Bind
from tests.smpp.octets import frame, message
from tests.smpp.session_pair import QUIET, SUBMIT_BODY, SessionPair, bound_mc, feed, open_session, submits

OUTBIND = bytes.fromhex("0000001D 0000000B 00000000 00000001 736D736331 00 736563726574 00")
INIT = SessionLimits(session_init_s=10)


# Outbind


def test_an_outbind_is_handed_over_and_answered_by_a_bind_on_that_connection(octets_per_read: int) -> None:
    session = open_session(Role.ESME)
    (request,) = feed(session, OUTBIND, octets_per_read=octets_per_read).requests
    assert request == Outbind(1, 0, b"smsc1", b"secret")
    assert session.state is BindState.OUTBOUND
    assert session.take_output() == b"", "there is no outbind_resp"
    assert session.requests_in_hand == 0
    session.bind(BindReceiver(system_id=b"acme"), "token", 0.0)
    session.receive(frame(CommandId.BIND_RECEIVER_RESP, b"\0"), 0.0)
    assert session.state is BindState.BOUND_RX


def test_an_outbind_may_carry_a_long_password() -> None:
    octets = frame(CommandId.OUTBIND, b"inventory\0ipassword\0")
    (request,) = open_session(Role.ESME).receive(octets, 0.0).requests
    assert isinstance(request, Outbind)
    assert request.password == b"ipassword"
    assert "ipassword" not in repr(request)


@pytest.mark.parametrize("kind", [BindReceiver, BindTransmitter, BindTransceiver])
def test_a_message_centre_that_connects_outbinds_and_is_bound_to(
    kind: type[Bind], octets_per_read: int
) -> None:
    pair = SessionPair(octets_per_read=octets_per_read)
    pair.mc.outbind(b"smsc1", b"secret", 0.0)
    assert bytes(pair.mc.out) == OUTBIND
    pair.flow()
    assert pair.mc.state is pair.esme.state is BindState.OUTBOUND
    pair.bind(kind())
    assert pair.mc.state is pair.esme.state


def test_deliveries_before_the_bind_that_answers_an_outbind_are_refused() -> None:
    session = open_session(Role.ESME)
    session.receive(OUTBIND, 0.0)
    assert session.receive(encode(DeliverSm(5)), 0.0).requests == []
    assert session.take_output() == frame(
        CommandId.DELIVER_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=5
    )
    session.bind(BindReceiver(), "token", 0.0)
    session.take_output()
    session.receive(encode(DeliverSm(6)), 0.0)
    assert session.take_output() == frame(
        CommandId.DELIVER_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=6
    )


@pytest.mark.parametrize("role", Role)
def test_an_outbind_that_leads_to_no_bind_ends_by_the_session_init_timer(role: Role) -> None:
    session = open_session(role, INIT)
    if role is Role.MC:
        session.outbind(b"smsc1", b"secret", 5.0)
    else:
        session.receive(OUTBIND, 5.0)
    assert session.next_tick_at() == 15.0
    assert session.tick(15.0).closing == "not bound within 10 s"
    assert session.close() == []


def test_a_listener_that_gets_no_outbind_closes_without_a_word() -> None:
    session = open_session(Role.ESME, INIT)
    assert session.tick(10.0).closing == "not bound within 10 s"
    assert session.take_output() == b""


def test_an_owner_that_refuses_an_outbind_closes_without_a_word() -> None:
    session = open_session(Role.ESME)
    session.receive(OUTBIND, 0.0)
    assert session.close() == []
    assert session.take_output() == b""


@pytest.mark.parametrize("password", [b"secret\0", b"secret"])
def test_an_outbind_to_the_customers_port_is_nacked_and_harms_nobody(password: bytes) -> None:
    session = open_session(Role.MC)
    assert session.receive(frame(CommandId.OUTBIND, b"smsc1\0" + password), 0.0).requests == []
    assert session.take_output() == frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVBNDSTS)
    assert session.closing is None


def test_a_second_outbind_is_nacked() -> None:
    session = open_session(Role.ESME)
    assert session.receive(OUTBIND + OUTBIND, 0.0).requests == [Outbind(1, 0, b"smsc1", b"secret")]
    assert session.take_output() == frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVBNDSTS)


def test_a_malformed_outbind_is_nacked_for_it_has_no_response() -> None:
    session = open_session(Role.ESME)
    session.receive(frame(CommandId.OUTBIND, b"no nul"), 0.0)
    assert session.take_output() == frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDLEN)


def test_outbind_is_the_message_centres_first_word() -> None:
    with pytest.raises(SessionMisuse, match="does not send outbind"):
        open_session(Role.ESME).outbind(b"a", b"b", 0.0)
    with pytest.raises(SessionMisuse, match="bound_trx"):
        bound_mc().outbind(b"a", b"b", 0.0)


# Reverse binds


def carrier(kind: type[Bind] = BindTransceiver) -> SessionPair:
    """The carrier has the ESME's end; we are bound to, and know that it is a message centre."""
    return SessionPair(peer_is_mc=True).bind(kind())


@pytest.mark.parametrize(
    "pushed",
    [
        DeliverSm(5, esm_class=4, short_message=b"id:1 stat:DELIVRD"),
        SubmitSm(5, esm_class=4, short_message=b"id:1 stat:DELIVRD"),
        DataSm(5, tlvs=((0x001E, b"1\0"), (0x0427, b"\2"))),
        AlertNotification(5),
    ],
)
@pytest.mark.parametrize("kind", [BindTransmitter, BindTransceiver])
def test_a_carrier_that_binds_to_us_may_push_in_either_dialect(
    kind: type[Bind], pushed: Pdu, octets_per_read: int
) -> None:
    session = bound_mc(kind(1), peer_is_mc=True)
    assert session.peer_is_mc
    assert feed(session, encode(pushed), octets_per_read=octets_per_read).requests == [pushed]
    assert session.take_output() == b""


def test_we_submit_over_the_session_that_the_carrier_bound() -> None:
    pair = carrier()
    pair.mc.send_requests(CommandId.SUBMIT_SM, [SUBMIT_BODY], ["token"], 0.0)
    pair.mc.send_request(QuerySm(message_id=b"1"), "query", 0.0)
    octets = pair.mc.take_output()
    assert octets[:16] == frame(CommandId.SUBMIT_SM, SUBMIT_BODY)[:16]
    answer = frame(CommandId.SUBMIT_SM_RESP, b"1\0")
    assert pair.mc.receive(answer, 0.0).answers == [("token", SubmitSmResp(1, 0, b"1"))]


def test_a_carriers_push_is_answered_in_the_dialect_it_came_in() -> None:
    session = carrier().mc
    requests = session.receive(encode(DeliverSm(5)) + encode(SubmitSm(6)), 0.0).requests
    session.respond(requests[0], DeliverSmResp())
    session.respond(requests[1], SubmitSmResp(message_id=b"1"))
    assert session.take_output() == frame(CommandId.DELIVER_SM_RESP, b"\0", sequence_number=5) + frame(
        CommandId.SUBMIT_SM_RESP, b"1\0", sequence_number=6
    )


def test_a_carrier_that_bound_as_transmitter_takes_nothing_and_as_receiver_pushes_nothing() -> None:
    transmitter, receiver = carrier(BindTransmitter).mc, carrier(BindReceiver).mc
    with pytest.raises(SessionMisuse, match="bound_tx"):
        submits(transmitter, ["token"])
    submits(receiver, ["token"])
    assert receiver.receive(encode(DeliverSm(5)), 0.0).requests == []
    assert receiver.take_output().endswith(
        frame(CommandId.DELIVER_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=5)
    )


def test_we_deliver_nothing_to_a_carrier_and_it_may_not_query_us() -> None:
    session = carrier().mc
    with pytest.raises(SessionMisuse, match="deliver_sm may not be sent"):
        session.send_requests(CommandId.DELIVER_SM, [message()], ["token"], 0.0)
    session.receive(encode(QuerySm(5, message_id=b"1")), 0.0)
    assert session.take_output() == frame(
        CommandId.QUERY_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=5
    )


def test_the_role_comes_with_the_account_and_not_with_the_bind() -> None:
    for peer_is_mc, requests in ((False, 0), (True, 1)):
        session = bound_mc(BindTransceiver(1), QUIET, peer_is_mc=peer_is_mc)
        assert len(session.receive(encode(DeliverSm(5)), 0.0).requests) == requests


def test_what_a_carrier_pipelined_behind_its_bind_is_judged_by_its_account() -> None:
    session = open_session(Role.MC)
    (request,) = session.receive(encode(BindTransmitter(1)) + encode(DeliverSm(5)), 0.0).requests
    assert session.accept_bind(request, b"gw", 0.0, peer_is_mc=True).requests == [DeliverSm(5)]
