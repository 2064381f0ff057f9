"""Laws of a session for any octets, any cutting and any interleaving."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.smpp.constants import RESPONSE_BIT, SEQUENCE_NUMBER_MAX, CommandId, Status
from gateway.smpp.fields import LAYOUT_OF
from gateway.smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter, Outbind, Pdu
from gateway.smpp.session import BindState, Received, Role, Session, SessionLimits
from gateway.smpp.states import BINDS
from tests.smpp.octets import bind, frame, message, tlv
from tests.smpp.session_pair import BINDS as BIND_CLASSES
from tests.smpp.session_pair import SUBMIT_BODY, SessionPair, bound_mc, merge, open_session, submits

LIMITS = SessionLimits(enquire_link_s=0, session_init_s=0, bad_pdus_max=20, window_in_max=12)


def submitting_esme() -> Session:
    session = SessionPair(esme_limits=LIMITS).bind().esme
    submits(session, ["a", "b", "c"])  # 2, 3, 4
    session.take_output()
    return session


def unbinding_mc() -> Session:
    session = bound_mc(limits=LIMITS)
    session.unbind(0.0)
    session.take_output()
    return session


def outbound_mc() -> Session:
    session = open_session(Role.MC, LIMITS)
    session.outbind(b"gw", b"secret", 0.0)
    session.take_output()
    return session


SESSIONS = st.sampled_from(
    [
        lambda: open_session(Role.MC, LIMITS),
        lambda: open_session(Role.ESME, LIMITS),
        outbound_mc,
        lambda: bound_mc(limits=LIMITS),
        lambda: bound_mc(BindTransmitter(1), LIMITS),
        lambda: bound_mc(BindReceiver(1, interface_version=0x33), LIMITS),
        lambda: bound_mc(BindTransceiver(1), LIMITS, peer_is_mc=True),
        submitting_esme,
        unbinding_mc,
    ]
)
COMMANDS = st.one_of(
    st.sampled_from([CommandId.SUBMIT_SM, CommandId.DELIVER_SM, CommandId.SUBMIT_SM_RESP]),
    st.sampled_from(sorted(LAYOUT_OF)),
    st.sampled_from([0, 0x110, 0x111, 0x10200, 0x80000110, 0xFFFFFFFF]),
)
BODIES = st.one_of(
    st.sampled_from(
        [b"", b"\0", b"1\0", bind(), message(), message() + tlv(0x1400, b"x"), message() + b"\4\x24\xff\xff1"]
    ),
    st.binary(max_size=40),
)
FRAMES = st.builds(
    lambda command, body, status, number: frame(command, body, status=status, sequence_number=number),
    COMMANDS,
    BODIES,
    st.sampled_from([0, 0, 0, 8, 0x58, 0xDEADBEEF]),
    st.one_of(st.integers(0, 6), st.integers(0, 0xFFFFFFFF)),
)
COMMON = st.sampled_from(
    [
        frame(CommandId.BIND_TRANSCEIVER, bind()),
        frame(CommandId.BIND_TRANSMITTER, bind(interface_version=b"\x33")),
        frame(CommandId.SUBMIT_SM, message(), sequence_number=5),
        frame(CommandId.DELIVER_SM, message(), sequence_number=5),
        frame(CommandId.SUBMIT_SM_RESP, b"1\0", sequence_number=2),
        frame(CommandId.ENQUIRE_LINK),
        frame(CommandId.UNBIND),
        frame(CommandId.UNBIND_RESP),
    ]
)
STREAMS = st.lists(st.one_of(FRAMES, COMMON), max_size=12).map(b"".join)
GARBAGE = st.one_of(st.just(b""), st.binary(max_size=40), st.just(b"GET / HTTP/1.1\r\n\r\n"))


def headers(octets: bytes) -> list[tuple[int, int, int]]:
    """(command_id, command_status, sequence_number) of every PDU, read by nothing but its lengths."""
    found = []
    while len(octets) >= 16:
        length = int.from_bytes(octets[:4], "big")
        if length < 16 or length > len(octets):
            break
        command, status, number = (int.from_bytes(octets[at : at + 4], "big") for at in (4, 8, 12))
        found.append((command, status, number))
        octets = octets[length:]
    return found


def drive(session: Session, stream: bytes, cuts: list[int], *, accepts: bool = True) -> Received:
    """Feed the stream cut at `cuts`, then decide about a bind; nothing else is answered yet."""
    seen = Received()
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        merge(seen, session.receive(stream[start:end], 0.0))
    for request in list(seen.requests):
        if isinstance(request, BIND_CLASSES):
            if accepts:
                merge(seen, session.accept_bind(request, b"gw", 0.0))
            else:
                session.refuse_bind(request, Status.ESME_RBINDFAIL)
    seen.closing = session.closing
    return seen


def answer_all(session: Session, requests: list[Pdu]) -> None:
    for request in requests:
        if not isinstance(request, (*BIND_CLASSES, Outbind)) and "Alert" not in type(request).__name__:
            session.respond_error(request, Status.ESME_RSYSERR)


@given(SESSIONS, st.binary(max_size=200))
def test_no_octets_make_a_session_raise(make: Callable[[], Session], octets: bytes) -> None:
    session = make()
    answer_all(session, drive(session, octets, []).requests)
    session.tick(100.0)
    session.close()


@settings(max_examples=300)
@given(SESSIONS, STREAMS, GARBAGE, st.booleans())
def test_every_request_is_answered_once_and_no_response_is(
    make: Callable[[], Session], stream: bytes, garbage: bytes, accepts: bool
) -> None:
    session = make()
    role = session.role
    seen = drive(session, stream, [], accepts=accepts)
    if session.closing is not None and session.state not in (BindState.UNBOUND, *bound_states()):
        return  # it ended in the midst of the stream
    answer_all(session, seen.requests)
    if session._deaf:
        return
    handed_over = Counter(
        request.sequence_number for request in seen.requests if isinstance(request, Outbind)
    )
    owed = Counter(
        number
        for command, _, number in headers(stream)
        if not command & RESPONSE_BIT and command != CommandId.ALERT_NOTIFICATION
    )
    answered = Counter(
        number for command, _, number in headers(session.take_output()) if command & RESPONSE_BIT
    )
    if session._unbind_owed is not None:  # our submissions are not answered yet
        assert role is Role.ESME
        answered[session._unbind_owed] += 1
    assert answered == owed - handed_over
    session.receive(garbage, 0.0)


def bound_states() -> tuple[BindState, ...]:
    return (BindState.BOUND_TX, BindState.BOUND_RX, BindState.BOUND_TRX)


@settings(max_examples=300)
@given(SESSIONS, STREAMS, GARBAGE, st.lists(st.integers(0, 5000), max_size=8), st.booleans())
def test_how_a_stream_is_cut_changes_nothing_that_is_seen(
    make: Callable[[], Session], stream: bytes, garbage: bytes, cuts: list[int], accepts: bool
) -> None:
    stream += garbage
    whole, cut, octets = make(), make(), make()
    saw = drive(whole, stream, [], accepts=accepts)
    for session, saw_cut in (
        (cut, drive(cut, stream, cuts, accepts=accepts)),
        (octets, drive(octets, stream, list(range(len(stream))), accepts=accepts)),
    ):
        assert saw_cut == saw
        answer_all(session, saw_cut.requests)
    answer_all(whole, saw.requests)
    outputs = {tuple(sorted(headers(session.take_output()))) for session in (whole, cut, octets)}
    assert len(outputs) == 1
    assert whole.close() == cut.close() == octets.close()


RESPONSES = st.one_of(
    st.builds(lambda status: (CommandId.SUBMIT_SM_RESP, b"1\0", status), st.sampled_from([0, 0x58])),
    st.just((CommandId.SUBMIT_SM_RESP, b"", 0)),
    st.just((CommandId.DELIVER_SM_RESP, b"\0", 0)),
    st.just((CommandId.GENERIC_NACK, b"", 3)),
    st.just((0x80000110, b"", 0)),
    st.just((CommandId.QUERY_SM_RESP, b"\1", 0)),
)
UNASKED = {
    "peer unbinds": frame(CommandId.UNBIND),
    "enquire": frame(CommandId.ENQUIRE_LINK),
    "garbage": bytes(20),
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [*["send", "answer", "wait", "window"] * 5, "unbind", "peer unbinds", "garbage", "enquire"]
        ),
        st.integers(0, 50),
        RESPONSES,
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS, st.sampled_from([2, SEQUENCE_NUMBER_MAX - 5]))
def test_every_token_comes_back_exactly_once_and_the_window_holds(
    steps: list[tuple[str, int, tuple[int, bytes, int]]], first: int
) -> None:
    limits = SessionLimits(window_out_max=8, response_s=60, enquire_link_s=30)
    session = SessionPair(esme_limits=limits).bind().esme
    session._window._next = first
    now = 0.0
    sent: list[int] = []
    numbers: list[int] = []
    expired: list[object] = []
    saw = Received()
    for step, amount, (command, body, status) in steps:
        if step == "send" and session.window_free:
            tokens = list(range(len(sent), len(sent) + min(amount, session.window_free)))
            session.send_requests(CommandId.SUBMIT_SM, [SUBMIT_BODY] * len(tokens), tokens, now)
            sent += tokens
            assert session.window_used <= session.window_max
        elif step == "answer":
            number = numbers[amount % len(numbers)] if numbers else amount
            octets = frame(command, body, status=status, sequence_number=number)
            merge(saw, session.receive(octets, now))
        elif step == "wait":
            now += amount
            expired += session.tick(now).expired
        elif step == "window":
            session.window_max = amount % 12
        elif step == "unbind":
            session.unbind(now)
        elif step in UNASKED:
            merge(saw, session.receive(UNASKED[step], now))
        numbers += [n for sent_id, _, n in headers(session.take_output()) if sent_id == CommandId.SUBMIT_SM]
    rest = session.close()
    back = [*expired, *(token for token, _ in saw.answers), *rest]
    late = [token for token, _ in saw.late]
    assert Counter(back) == Counter(sent)
    assert rest == [token for token in sent if token in rest], "in the order of sending"
    assert Counter(late) <= Counter(expired)


def test_binds_are_the_same_set_everywhere() -> None:
    assert {int(command) for command in BINDS} == {1, 2, 9}
