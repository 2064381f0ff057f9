"""How a session becomes bound, what may happen before, and who may say what afterwards."""

import pytest

from gateway.smpp.constants import CommandId, Status
from gateway.smpp.encode import encode
from gateway.smpp.fields import COMMAND_OF, RESPONSE_OF
from gateway.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DataSm,
    DeliverSm,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    ReplaceSm,
    SubmitSm,
    SubmitSmResp,
    Unbind,
)
from gateway.smpp.session import BindState, Role, Session, SessionLimits, SessionMisuse
from gateway.smpp.session_core import Bind
from tests.smpp.octets import bind, frame
from tests.smpp.session_pair import SessionPair, bound_mc, feed, open_session, submits

ROK_0210 = bytes.fromhex("0210 0001 34")
SUBMIT = frame(CommandId.SUBMIT_SM, bytes(17), sequence_number=7)
ENQUIRE = frame(CommandId.ENQUIRE_LINK, sequence_number=9)
ENQUIRE_RESP = frame(CommandId.ENQUIRE_LINK_RESP, sequence_number=9)
ALERT = frame(CommandId.ALERT_NOTIFICATION, bytes(6))


def bind_octets(kind: type[Pdu] = BindTransceiver, version: int = 0x34) -> bytes:
    return frame(COMMAND_OF[kind], bind(interface_version=bytes((version,))))


def accept(session: Session, octets: bytes) -> bytes:
    """Feed a bind, accept it, and give what was answered."""
    (request,) = session.receive(octets, 0.0).requests
    session.accept_bind(request, b"gw", 0.0)
    return session.take_output()


# Binding


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (BindTransmitter, BindState.BOUND_TX),
        (BindReceiver, BindState.BOUND_RX),
        (BindTransceiver, BindState.BOUND_TRX),
    ],
)
def test_each_bind_leads_to_its_state_on_both_sides(
    kind: type[Bind], state: BindState, octets_per_read: int
) -> None:
    pair = SessionPair(octets_per_read=octets_per_read)
    pair.esme.bind(kind(system_id=b"acme", password=b"secret"), "token", 0.0)
    pair.flow()
    assert pair.esme.state is pair.mc.state is state
    ((token, answer),) = pair.esme_saw.answers
    assert token == "token"
    assert answer == RESPONSE_OF[kind](1, 0, b"gateway", ((0x0210, b"\x34"),))  # type: ignore[call-arg]


def test_a_bind_is_handed_over_whole_with_its_password() -> None:
    session = open_session(Role.MC)
    octets = bytes.fromhex(
        "0000002F 00000002 00000000 00000001 534D50503354455354 00 7365637265743038 00 5355424D495431 00"
        "00 01 01 00"
    )
    (request,) = session.receive(octets, 0.0).requests
    assert request == BindTransmitter(1, 0, b"SMPP3TEST", b"secret08", b"SUBMIT1", 0, 1, 1, b"")
    assert session.state is BindState.OPEN


@pytest.mark.parametrize(
    ("offered", "version", "tlvs"),
    [
        (0x34, 0x34, ROK_0210),
        (0x50, 0x50, ROK_0210),
        (0x33, 0x33, b""),
        (0x00, 0x33, b""),
        (0x2C, 0x33, b""),
        (0x35, 0x34, ROK_0210),
        (0x7B, 0x34, ROK_0210),
    ],
)
def test_our_version_is_told_only_to_who_can_read_it(offered: int, version: int, tlvs: bytes) -> None:
    session = open_session(Role.MC)
    answer = accept(session, bind_octets(version=offered))
    assert answer == frame(CommandId.BIND_TRANSCEIVER_RESP, b"gw\0" + tlvs)
    assert session.peer_version == version
    assert session.tlvs_allowed is (version > 0x33)


@pytest.mark.parametrize(
    ("ours", "body", "by_default", "version"),
    [
        (0x34, b"smsc\0" + ROK_0210, True, 0x34),
        (0x34, b"smsc\0\x02\x10\0\1\x33", True, 0x33),
        (0x34, b"smsc\0\x02\x10\0\1\x50", True, 0x50),
        (0x34, b"smsc\0", True, 0x34),
        (0x34, b"smsc\0", False, 0x33),
        (0x34, b"smsc\0\x02\x10\0\0", False, 0x33),
        (0x33, b"smsc\0" + ROK_0210, True, 0x33),
    ],
)
def test_a_client_learns_the_version_from_the_response(
    ours: int, body: bytes, by_default: bool, version: int
) -> None:
    session = open_session(Role.ESME, SessionLimits(tlvs_without_version=by_default))
    session.bind(BindTransceiver(interface_version=ours), None, 0.0)
    session.receive(frame(CommandId.BIND_TRANSCEIVER_RESP, body), 0.0)
    assert session.state is BindState.BOUND_TRX
    assert session.peer_version == version
    assert session.tlvs_allowed is (version > 0x33)


def test_a_peer_of_3_3_gets_no_tlvs_in_requests_and_responses() -> None:
    session = bound_mc(BindTransceiver(1, interface_version=0x33))
    session.send_request(DeliverSm(short_message=b"hi", tlvs=((0x1400, b"x"),)), None, 0.0)
    assert session.take_output().endswith(b"\x02hi")
    with pytest.raises(SessionMisuse, match="short_message"):
        session.send_request(DeliverSm(tlvs=((0x0424, b"hi"),)), None, 0.0)
    assert session.window_used == 1
    (request,) = session.receive(SUBMIT, 0.0).requests
    session.respond(request, SubmitSmResp(message_id=b"1", tlvs=((0x1400, b"x"),)))
    assert session.take_output() == frame(CommandId.SUBMIT_SM_RESP, b"1\0", sequence_number=7)


@pytest.mark.parametrize("body", [b"\0", b"", ROK_0210[:1], b"Yenta1\0\x10\x02\0\x01\x34"])
def test_a_bind_response_with_an_odd_body_binds_all_the_same(body: bytes, octets_per_read: int) -> None:
    session = open_session(Role.ESME)
    session.bind(BindTransmitter(), "token", 0.0)
    saw = feed(session, frame(CommandId.BIND_TRANSMITTER_RESP, body), octets_per_read=octets_per_read)
    assert session.state is BindState.BOUND_TX
    assert [token for token, _ in saw.answers] == ["token"]


@pytest.mark.parametrize(
    ("kind", "octets", "status"),
    [
        (BindTransceiver, "00000015 80000009 0000000E 00000001 534D5343 00", 0x0E),
        (BindTransmitter, "00000011 80000002 0000000D 00000001 00", 0x0D),
        (BindTransceiver, "00000011 80000009 00000053 00000001 00", 0x53),
        (BindTransceiver, "00000010 80000009 00000005 00000001", 0x05),
    ],
)
def test_a_refused_bind_gives_its_status_whatever_its_body(
    kind: type[Bind], octets: str, status: int
) -> None:
    session = open_session(Role.ESME)
    session.bind(kind(), "token", 0.0)
    ((token, answer),) = session.receive(bytes.fromhex(octets), 0.0).answers
    assert (token, answer.command_status) == ("token", status)
    assert session.state is BindState.OPEN
    session.bind(BindReceiver(), "again", 1.0)
    assert session.window_used == 1


def test_a_nack_to_our_bind_says_that_it_is_not_known_there() -> None:
    session = open_session(Role.ESME)
    session.bind(BindTransceiver(), "token", 0.0)
    nack = frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDID)
    assert session.receive(nack, 0.0).answers == [("token", GenericNack(1, Status.ESME_RINVCMDID))]
    session.bind(BindTransmitter(), "fallback", 0.0)
    session.receive(frame(CommandId.BIND_TRANSMITTER_RESP, b"\0", sequence_number=2), 0.0)
    assert session.state is BindState.BOUND_TX


@pytest.mark.parametrize(
    "octets",
    [
        frame(CommandId.BIND_TRANSCEIVER_RESP, b"\0", sequence_number=2),
        frame(CommandId.SUBMIT_SM_RESP, b"1\0", sequence_number=5),
    ],
)
def test_a_response_with_another_number_does_not_bind_and_the_timer_runs(octets: bytes) -> None:
    session = open_session(Role.ESME, SessionLimits(session_init_s=10))
    session.bind(BindTransceiver(), "token", 0.0)
    assert session.receive(octets, 1.0).answers == []
    assert session.state is BindState.OPEN
    assert session.statistics().responses_dropped == 1
    assert session.next_tick_at() == 10.0
    assert session.tick(10.0).closing == "not bound within 10 s"
    assert session.close() == ["token"]


def test_the_time_for_a_bind_runs_from_the_bind() -> None:
    session = open_session(Role.ESME, SessionLimits(session_init_s=10))
    session.bind(BindTransceiver(), "token", 5.0)
    assert session.next_tick_at() == 15.0


def test_the_response_of_another_bind_fails_ours() -> None:
    session = open_session(Role.ESME)
    session.bind(BindTransceiver(), "token", 0.0)
    answers = session.receive(frame(CommandId.BIND_RECEIVER_RESP, b"\0"), 0.0).answers
    assert answers == [("token", GenericNack(1, Status.ESME_RINVCMDID))]
    assert session.state is BindState.OPEN


@pytest.mark.parametrize("status", [Status.ESME_RINVPASWD, Status.ESME_RINVSYSID, Status.ESME_RBINDFAIL])
def test_a_refusal_is_a_header_alone_and_ends_the_session(status: Status) -> None:
    session = open_session(Role.MC)
    (request,) = session.receive(bind_octets(), 0.0).requests
    session.refuse_bind(request, status)
    assert session.take_output() == frame(CommandId.BIND_TRANSCEIVER_RESP, status=status)
    assert session.closing == "the bind was refused"
    assert session.receive(SUBMIT + ENQUIRE, 0.0).closing
    assert session.take_output() == b""


@pytest.mark.parametrize("kind", [BindReceiver, BindTransmitter, BindTransceiver])
def test_a_second_bind_is_told_so_and_the_first_goes_on(kind: type[Pdu]) -> None:
    session = bound_mc()
    assert session.receive(bind_octets(kind), 0.0).requests == []
    response = COMMAND_OF[RESPONSE_OF[kind]]
    assert session.take_output() == frame(response, status=Status.ESME_RALYBND)
    assert session.state is BindState.BOUND_TRX
    assert len(session.receive(SUBMIT, 0.0).requests) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no nul at all", Status.ESME_RINVCMDLEN),
        (b"", Status.ESME_RINVCMDLEN),
        (bind(system_id=b"x" * 66 + b"\0"), Status.ESME_RINVSYSID),
    ],
)
def test_a_bind_that_cannot_be_read_is_answered_and_ends_the_session(
    body: bytes, status: Status, octets_per_read: int
) -> None:
    session = open_session(Role.MC)
    saw = feed(session, frame(CommandId.BIND_TRANSCEIVER, body) + SUBMIT, octets_per_read=octets_per_read)
    assert session.take_output() == frame(CommandId.BIND_TRANSCEIVER_RESP, status=status)
    assert saw.closing
    assert saw.closing.startswith("a bind that cannot be read")


@pytest.mark.parametrize("octets", [16, 64])
def test_long_credentials_pass_in_both_directions(octets: int) -> None:
    pair = SessionPair()
    pair.bind(BindTransceiver(system_id=b"i" * octets, password=b"p" * octets))
    assert pair.mc.state is BindState.BOUND_TRX


# Before the bind


def test_an_enquire_link_is_answered_before_the_bind_and_before_its_answer(octets_per_read: int) -> None:
    session = open_session(Role.MC)
    feed(session, ENQUIRE, octets_per_read=octets_per_read)
    assert session.take_output() == ENQUIRE_RESP
    saw = feed(session, bind_octets() + SUBMIT + ENQUIRE, octets_per_read=octets_per_read)
    assert session.take_output() == ENQUIRE_RESP, "also past a request that waits for the bind"
    assert [type(request) for request in saw.requests] == [BindTransceiver]


@pytest.mark.parametrize("role", Role)
def test_requests_before_the_bind_are_refused_and_a_bind_may_follow(role: Role, octets_per_read: int) -> None:
    session = open_session(role)
    octets = SUBMIT + frame(CommandId.DELIVER_SM, bytes(17), sequence_number=8) + ALERT
    assert feed(session, octets, octets_per_read=octets_per_read).requests == []
    assert session.take_output() == frame(
        CommandId.SUBMIT_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=7
    ) + frame(CommandId.DELIVER_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=8)
    assert session.closing is None
    assert session.statistics().requests_refused == 3
    if role is Role.MC:
        assert accept(session, bind_octets()).startswith(b"\0\0\0\x18\x80\0\0\x09\0\0\0\0")


def test_an_unbind_of_a_session_that_never_bound_is_refused_and_ends_it() -> None:
    session = open_session(Role.MC)
    received = session.receive(frame(CommandId.UNBIND, sequence_number=3), 0.0)
    assert session.take_output() == frame(
        CommandId.UNBIND_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=3
    )
    assert received.closing == "the peer unbound"


def test_an_esme_is_not_bound_to() -> None:
    session = open_session(Role.ESME)
    assert session.receive(bind_octets(), 0.0).requests == []
    assert session.take_output() == frame(CommandId.BIND_TRANSCEIVER_RESP, status=Status.ESME_RINVBNDSTS)


def test_without_a_bind_in_time_the_session_ends() -> None:
    session = open_session(Role.MC, SessionLimits(session_init_s=10))
    session.receive(ENQUIRE, 9.0)
    assert session.next_tick_at() == 10.0
    assert session.tick(9.9).closing is None
    assert session.tick(10.0).closing == "not bound within 10 s"
    assert session.next_tick_at() < 10.0, "who missed it is woken again"


def test_three_octets_and_silence_end_by_the_session_init_timer_or_by_that_of_the_pdu() -> None:
    limits = SessionLimits(session_init_s=10, partial_pdu_s=5, enquire_link_s=0)
    unbound = open_session(Role.MC, SessionLimits(session_init_s=10, partial_pdu_s=0))
    unbound.receive(b"\0\0\0", 0.0)
    assert unbound.tick(10.0).closing == "not bound within 10 s"
    bound = bound_mc(limits=limits)
    bound.receive(b"\0\0\0", 20.0)
    assert bound.tick(24.9).closing is None
    assert bound.tick(25.0).closing == "a PDU was not complete within 5 s"


# Pipelined behind a bind


def test_what_is_pipelined_behind_a_bind_comes_from_accept_bind_in_order(octets_per_read: int) -> None:
    session = open_session(Role.MC)
    pipelined = b"".join(
        frame(CommandId.SUBMIT_SM, bytes(17), sequence_number=number) for number in range(2, 12)
    )
    saw = feed(session, bind_octets() + pipelined + SUBMIT[:20], octets_per_read=octets_per_read)
    (request,) = saw.requests
    assert session.take_output() == b""
    held = session.accept_bind(request, b"gw", 0.0)
    assert [pdu.sequence_number for pdu in held.requests] == list(range(2, 12))
    assert session.requests_in_hand == 10
    session.respond_submits([pdu.sequence_number for pdu in held.requests], [b"1"] * 10)
    assert session.take_output().startswith(frame(CommandId.BIND_TRANSCEIVER_RESP, b"gw\0" + ROK_0210))
    assert [pdu.sequence_number for pdu in session.receive(SUBMIT[20:], 0.0).requests] == [7]


def test_a_long_message_behind_a_bind_is_not_measured_as_a_bind(octets_per_read: int) -> None:
    session = open_session(Role.MC)
    long = frame(CommandId.DATA_SM, bytes(10) + b"\x04\x24\x13\x88" + bytes(5000), sequence_number=2)
    (request,) = feed(session, bind_octets() + long, octets_per_read=octets_per_read).requests
    (held,) = session.accept_bind(request, b"gw", 0.0).requests
    assert isinstance(held, DataSm)


def test_what_is_pipelined_behind_a_refused_bind_is_refused(octets_per_read: int) -> None:
    session = open_session(Role.MC)
    octets = bind_octets() + SUBMIT + ALERT + frame(0x110, sequence_number=4) + bind_octets(BindReceiver)
    octets += frame(CommandId.DELIVER_SM_RESP, b"\0") + frame(0x80000110) + SUBMIT[:20]
    (request,) = feed(session, octets, octets_per_read=octets_per_read).requests
    session.refuse_bind(request, Status.ESME_RINVPASWD)
    refused = Status.ESME_RINVBNDSTS
    assert session.take_output() == (
        frame(CommandId.BIND_TRANSCEIVER_RESP, status=Status.ESME_RINVPASWD)
        + frame(CommandId.SUBMIT_SM_RESP, status=refused, sequence_number=7)
        + frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDID, sequence_number=4)
        + frame(CommandId.BIND_RECEIVER_RESP, status=refused)
    )


def test_what_may_be_pipelined_behind_a_bind_is_bounded(octets_per_read: int) -> None:
    session = open_session(Role.MC, SessionLimits(octets_held_max=100))
    saw = feed(session, bind_octets() + SUBMIT * 3, octets_per_read=octets_per_read)
    assert saw.closing is None
    (request,) = saw.requests
    saw = feed(session, SUBMIT, octets_per_read=octets_per_read)
    assert saw.closing == "more than 100 octets before the bind was answered"
    assert session.accept_bind(request, b"gw", 0.0).closing == saw.closing
    session.refuse_bind(request, Status.ESME_RBINDFAIL)
    assert session.take_output() == b"", "there is nobody left to answer"


@pytest.mark.parametrize("garbage", [bytes(16), b"GET / HTTP/1.1\r\n\r\n" * 100])
def test_garbage_behind_a_bind_waits_for_the_bind_to_be_answered(
    garbage: bytes, octets_per_read: int
) -> None:
    session = open_session(Role.MC)
    saw = feed(session, bind_octets() + SUBMIT + garbage, octets_per_read=octets_per_read)
    assert saw.closing is None
    held = session.accept_bind(saw.requests[0], b"gw", 0.0)
    assert len(held.requests) == 1
    assert held.closing
    assert held.closing.startswith("not SMPP")
    nack = frame(CommandId.GENERIC_NACK, status=Status.ESME_RINVCMDLEN, sequence_number=0)
    bind_resp = frame(CommandId.BIND_TRANSCEIVER_RESP, b"gw\0" + ROK_0210)
    assert session.take_output() == bind_resp + nack


def test_garbage_behind_a_bind_is_not_kept() -> None:
    session = open_session(Role.MC)
    session.receive(bind_octets(), 0.0)
    for _ in range(100):
        session.receive(bytes(1000), 0.0)
    assert len(session._inbox) == 16


def test_a_second_bind_behind_the_first_is_refused_once_the_first_is_accepted() -> None:
    session = open_session(Role.MC)
    (request,) = session.receive(bind_octets() + bind_octets(BindReceiver), 0.0).requests
    held = session.accept_bind(request, b"gw", 0.0)
    assert held.requests == []
    assert session.take_output().endswith(frame(CommandId.BIND_RECEIVER_RESP, status=Status.ESME_RALYBND))


def test_a_slow_decision_about_a_bind_does_not_end_the_session() -> None:
    session = open_session(Role.MC, SessionLimits(session_init_s=10))
    (request,) = session.receive(bind_octets(), 9.0).requests
    assert session.tick(60.0).closing is None
    session.accept_bind(request, b"gw", 60.0)
    assert session.state is BindState.BOUND_TRX


def test_a_client_is_bound_before_the_pdu_behind_the_response_is_read(octets_per_read: int) -> None:
    session = open_session(Role.ESME)
    session.bind(BindTransceiver(), "token", 0.0)
    octets = frame(CommandId.BIND_TRANSCEIVER_RESP, b"\0") + frame(
        CommandId.DELIVER_SM, bytes(17) + b"\x04\x24\x08\x00" + bytes(2048), sequence_number=7
    )
    saw = feed(session, octets, octets_per_read=octets_per_read)
    (request,) = saw.requests
    assert isinstance(request, DeliverSm)
    session.take_output()
    session.respond_deliveries([request.sequence_number])
    assert session.take_output() == frame(CommandId.DELIVER_SM_RESP, b"\0", sequence_number=7)


# Who may say what


REQUESTS: list[Pdu] = [
    SubmitSm(5, destination_addr=b"1", short_message=b"x"),
    DeliverSm(5, destination_addr=b"1", short_message=b"x"),
    DataSm(5, tlvs=((0x0424, b"x"),)),
    QuerySm(5, message_id=b"1"),
    ReplaceSm(5, message_id=b"1", short_message=b"x"),
    AlertNotification(5),
]
LEGAL = {
    (Role.MC, BindTransmitter): {SubmitSm, DataSm, QuerySm, ReplaceSm},
    (Role.MC, BindReceiver): {DataSm},
    (Role.MC, BindTransceiver): {SubmitSm, DataSm, QuerySm, ReplaceSm},
    (Role.ESME, BindTransmitter): {DataSm},
    (Role.ESME, BindReceiver): {DeliverSm, DataSm, AlertNotification},
    (Role.ESME, BindTransceiver): {DeliverSm, DataSm, AlertNotification},
}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda pdu: type(pdu).__name__)
@pytest.mark.parametrize(("role", "kind"), LEGAL)
def test_a_session_takes_what_the_matrix_allows_and_refuses_the_rest_in_its_own_response(
    role: Role, kind: type[Bind], request_: Pdu
) -> None:
    pair = SessionPair().bind(kind())
    session = pair.mc if role is Role.MC else pair.esme
    requests = session.receive(encode(request_), 0.0).requests
    assert session.closing is None
    if type(request_) in LEGAL[role, kind]:
        assert requests == [request_]
        assert session.take_output() == b""
    else:
        assert requests == []
        response = RESPONSE_OF.get(type(request_))
        refusal = Status.ESME_RINVBNDSTS
        expected = frame(COMMAND_OF[response], status=refusal, sequence_number=5) if response else b""
        assert session.take_output() == expected
        assert session.statistics().requests_refused == 1


def test_a_customer_that_sends_deliver_sm_is_never_taken_for_a_carrier(octets_per_read: int) -> None:
    pair = SessionPair(octets_per_read=octets_per_read).bind()
    receipt = DeliverSm(5, esm_class=4, short_message=b"id:1 stat:DELIVRD")
    assert feed(pair.mc, encode(receipt), octets_per_read=octets_per_read).requests == []
    assert pair.mc.take_output() == frame(
        CommandId.DELIVER_SM_RESP, status=Status.ESME_RINVBNDSTS, sequence_number=5
    )


def test_an_alert_notification_is_handed_over_and_answered_by_nobody() -> None:
    session = SessionPair().bind().esme
    octets = bytes.fromhex("00000025 00000102 00000002 00004FE8 0101") + b"441302030\0" + b"\1\1" + b"6666\0"
    octets = len(octets).to_bytes(4, "big") + octets[4:]
    (request,) = session.receive(octets, 0.0).requests
    assert isinstance(request, AlertNotification)
    assert session.requests_in_hand == 0
    with pytest.raises(SessionMisuse, match="no response"):
        session.respond_error(request, Status.ESME_ROK)
    with pytest.raises(SessionMisuse, match="no response"):
        session.respond(request, GenericNack())
    session.receive(frame(CommandId.ALERT_NOTIFICATION, b"\1"), 0.0)
    assert session.take_output() == b"", "not even where it is malformed"


def test_an_outbind_to_a_bound_session_is_nacked() -> None:
    for session in (bound_mc(), SessionPair().bind().esme):
        session.receive(encode(Outbind(5, 0, b"a", b"b")), 0.0)
        assert session.take_output() == frame(
            CommandId.GENERIC_NACK, status=Status.ESME_RINVBNDSTS, sequence_number=5
        )
        assert session.closing is None


# What the owner may not do


def test_nothing_is_sent_that_the_peer_would_refuse() -> None:
    pair = SessionPair()
    assert pair.esme.window_free == 0
    for session, command in ((pair.esme, CommandId.SUBMIT_SM), (pair.mc, CommandId.DELIVER_SM)):
        with pytest.raises(SessionMisuse, match="open"):
            session.send_requests(command, [b""], ["token"], 0.0)
    pair.bind()
    for pdu in (DeliverSm(), Unbind(), BindReceiver(), AlertNotification()):
        with pytest.raises(SessionMisuse, match="may not be sent"):
            pair.esme.send_request(pdu, "token", 0.0)
    with pytest.raises(SessionMisuse, match="may not be sent"):
        submits(pair.mc, ["token"])
    assert pair.esme.close() == pair.mc.close() == []


def test_binds_are_issued_by_the_esme_once_and_answered_once() -> None:
    esme, mc = open_session(Role.ESME), open_session(Role.MC)
    with pytest.raises(SessionMisuse, match="does not bind"):
        mc.bind(BindReceiver(), "token", 0.0)
    esme.bind(BindReceiver(), "token", 0.0)
    with pytest.raises(SessionMisuse, match="twice"):
        esme.bind(BindReceiver(), "token", 0.0)
    (request,) = mc.receive(esme.take_output(), 0.0).requests
    with pytest.raises(SessionMisuse, match="no such bind"):
        mc.accept_bind(BindReceiver(), b"gw", 0.0)
    mc.accept_bind(request, b"gw", 0.0)
    with pytest.raises(SessionMisuse, match="no such bind"):
        mc.refuse_bind(request, Status.ESME_RBINDFAIL)
    esme.receive(mc.take_output(), 0.0)
    with pytest.raises(SessionMisuse, match="bound_rx"):
        esme.bind(BindReceiver(), "token", 0.0)


def test_a_bind_that_does_not_fit_leaves_the_session_as_it_was() -> None:
    session = open_session(Role.ESME)
    with pytest.raises(ValueError, match="system_id"):
        session.bind(BindTransceiver(system_id=b"x" * 200), "token", 0.0)
    assert session.close() == []


def test_neither_errors_nor_reprs_show_a_password() -> None:
    session = open_session(Role.ESME)
    with pytest.raises(ValueError, match="password") as caught:
        session.bind(BindTransceiver(password=b"s3cr3t\0" * 10), "token", 0.0)
    assert "s3cr3t" not in str(caught.value)
    session.bind(BindTransceiver(password=b"s3cr3t"), "token", 0.0)
    assert "s3cr3t" not in repr(session) + repr(session.statistics())
