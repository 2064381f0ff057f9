"""What no octets of a peer may do to the SMPP side: decoding, sessions, TLVs, headers, receipts, texts, times.

A target raises when its law is broken; `AssertionError` or anything else is a fault found.
"""

import contextlib
from typing import Any

from gateway.smpp import times
from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body, decode_pdus
from gateway.smpp.encode import encode
from gateway.smpp.fields import COMMAND_OF, LAYOUT_OF, RESPONSE_OF
from gateway.smpp.gsm import Unencodable, fill_bits_after, pack_septets, unpack_septets
from gateway.smpp.hot_decode import HOT_MESSAGES
from gateway.smpp.joiner import Joiner
from gateway.smpp.message_ids import RULES, HabitLearner, normal_forms, response_key
from gateway.smpp.pdu import (
    BadPdu,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DataSm,
    Decoded,
    DeliverSm,
    Outbind,
    Pdu,
    SubmitSm,
)
from gateway.smpp.receipts import is_receipt, parse_date, parse_receipt
from gateway.smpp.segments import CannotSplit, count_parts, segment, segment_info, split
from gateway.smpp.session import Role, Session, SessionLimits, SessionMisuse
from gateway.smpp.session_values import Received
from gateway.smpp.states import BindState
from gateway.smpp.table_decode import decode_by_table
from gateway.smpp.text import (
    DEFAULT_ALPHABETS,
    alphabet_of,
    choose_coding,
    decode_text,
    encode_sender,
    encode_text,
    forcing_characters,
    simplify,
    transcode,
)
from gateway.smpp.tlv import (
    has_payload,
    pack_tlvs,
    read_tlvs,
    tlv_get,
    tlv_int,
    tlv_network_error,
    tlv_sar,
)
from gateway.smpp.udh import build_udh, parse_udh, segment_of, to_sar

from .reader import Reader, pieces

NOW_MS = 1_795_348_800_000
BINDS = (BindReceiver, BindTransmitter, BindTransceiver)


def _read_all(stream: bytes, size: int, octets_max: int) -> tuple[list[Any], Any, int]:
    """PDUs, what lost the framing, octets left over: as a connection reads pieces of `size` octets."""
    pdus: list[Any] = []
    buffer = bytearray()
    for piece in pieces(stream, size):
        buffer += piece
        decoded: Decoded = decode_pdus(buffer, octets_max=octets_max)
        pdus += decoded.pdus
        del buffer[: decoded.octets_consumed]
        if decoded.framing_lost is not None:
            return pdus, decoded.framing_lost, 0
    return pdus, None, len(buffer)


def pdu(octets: bytes) -> None:
    """Coalesced or octet by octet, the same PDUs; both paths agree; what was read can be written and read again."""
    reader = Reader(octets)
    octets_max = reader.choice((1_024, 70_000))
    size = reader.choice((1, 2, 3, 7, 16, 17))
    stream = reader.rest()
    whole = _read_all(stream, 0, octets_max)
    assert _read_all(stream, size, octets_max) == whole
    for found in whole[0]:
        if isinstance(found, BadPdu):
            continue
        command_id = COMMAND_OF[type(found)]
        if LAYOUT_OF[command_id].is_response:
            continue  # read leniently: not all of it could be written
        (again,) = decode_pdus(encode(found), octets_max=100_000).pdus
        assert again == found, (again, found)


def body(octets: bytes) -> None:
    """Whatever stands behind a header: a PDU or a BadPdu, the same by the hot path and by the table."""
    reader = Reader(octets)
    command_id = reader.choice(tuple(LAYOUT_OF))
    status = reader.octet()
    data = reader.rest()
    found = decode_body(command_id, data, 7, status)
    table = decode_by_table(data, 0, len(data), command_id, status, 7)
    assert type(found) is type(table)
    if command_id in HOT_MESSAGES:
        assert found == table, (found, table)


# Something to begin with in every state: the fuzzer's own octets come between.
def _templates() -> list[bytes]:
    requests: list[Pdu] = [
        BindTransceiver(1, system_id=b"a", password=b"b"),
        BindTransmitter(2, system_id=b"a"),
        BindReceiver(3, interface_version=0x33),
        SubmitSm(4, destination_addr=b"12", short_message=b"x"),
        DeliverSm(5, source_addr=b"12", short_message=b"x"),
        DataSm(6, tlvs=((0x0424, b"x"),)),
        Outbind(7, system_id=b"a"),
    ]
    found = [encode(request) for request in requests]
    found += [encode(RESPONSE_OF[type(request)](n)) for n in (1, 2) for request in requests[:6]]
    for command_id in (
        CommandId.ENQUIRE_LINK,
        CommandId.UNBIND,
        CommandId.UNBIND_RESP,
        CommandId.GENERIC_NACK,
    ):
        found += [b"\0\0\0\x10" + int(command_id).to_bytes(4, "big") + bytes(7) + bytes((n,)) for n in (1, 2)]
    return found


TEMPLATES = _templates()
LIMITS = SessionLimits(
    window_in_max=4,
    window_out_max=4,
    octets_held_max=512,
    bad_pdus_max=5,
    inactivity_s=50.0,
    response_s=5.0,
    late_s=10.0,
    late_slots_max=3,
)


class _Owner:
    """Owns a session as the gateway would, doing what the octets choose; counts its tokens."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.now = 0.0
        self.role = Role.MC if reader.flag() else Role.ESME
        self.session = Session(role=self.role, limits=LIMITS, now=0.0)
        self.in_hand: list[Pdu] = []
        self.given: list[int] = []
        self.back: list[Any] = []

    def saw(self, received: Received) -> None:
        self.in_hand += received.requests
        self.back += [token for token, _ in received.answers]

    def receive(self, data: bytes) -> None:
        self.saw(self.session.receive(data, self.now))

    def answer(self) -> None:
        request = self.in_hand.pop(0)
        if type(request) not in RESPONSE_OF:
            return
        how = self.reader.octet() % 3
        if isinstance(request, BINDS):
            if how:
                self.saw(self.session.accept_bind(request, b"we", self.now, peer_is_mc=how == 2))
            else:
                self.session.refuse_bind(request, 13)
        elif how == 0:
            self.session.respond_error(request, 8)
        else:
            self.session.respond(request, RESPONSE_OF[type(request)]())

    def ask(self) -> None:
        request = self.reader.choice((SubmitSm, DeliverSm, DataSm))()
        token = len(self.given)
        self.session.send_request(request, token, self.now)
        self.given.append(token)

    def bind(self) -> None:
        token = len(self.given)
        self.session.bind(self.reader.choice(BINDS)(), token, self.now)
        self.given.append(token)

    def tick(self) -> None:
        self.now += self.reader.choice((0.1, 1.0, 6.0, 31.0))
        self.back += self.session.tick(self.now).expired

    def step(self) -> None:
        how = self.reader.octet() % 8
        if how <= 1:
            self.receive(self.reader.choice(TEMPLATES))
        elif how == 2:
            self.receive(self.reader.some())
        elif how == 3 and self.in_hand:
            self.answer()
        elif how == 4:
            self.ask()
        elif how == 5:
            self.tick()
        elif how == 6:
            self.bind()
        else:
            self.session.unbind(self.now)


def session(octets: bytes) -> None:
    """Every token comes back once, and all that a session writes is whole, good PDUs."""
    owner = _Owner(Reader(octets))
    session = owner.session
    written = b""
    for _ in range(200):
        if not owner.reader.left:
            break
        with contextlib.suppress(SessionMisuse):  # a mistake of ours, not the peer's: nothing was done
            owner.step()
        written += session.take_output()
    owner.back += session.close()
    written += session.take_output()
    assert session.close() == []
    decoded = decode_pdus(written)
    assert decoded.octets_consumed == len(written), written.hex()
    assert not [found for found in decoded.pdus if isinstance(found, BadPdu)], written.hex()
    assert sorted(owner.back) == owner.given, (owner.back, owner.given)
    assert session.state is BindState.CLOSED
    assert session.window_used == 0


def session_input(octets: bytes) -> None:
    """How a bound session's input is cut changes nothing of what is seen."""
    reader = Reader(octets)
    size = reader.choice((1, 2, 3, 16, 17, 31))
    prefix = b"".join(reader.choice(TEMPLATES) for _ in range(reader.octet() % 5))
    stream = prefix + reader.rest()
    seen = []
    for step in (0, size):
        bound = Session(role=Role.MC, limits=LIMITS, now=0.0)
        (request,) = bound.receive(TEMPLATES[0], 0.0).requests
        bound.accept_bind(request, b"we", 0.0)
        bound.take_output()
        requests: list[Pdu] = []
        closing = None
        for piece in pieces(stream, step):
            received = bound.receive(piece, 0.0)
            requests += received.requests
            closing = received.closing or closing
            assert not received.answers  # nothing was asked
            if closing:
                break
        seen.append((requests, closing))
    assert seen[0] == seen[1], seen


def tlvs(octets: bytes) -> None:
    """A stream that adds up is written as it was read; every reader takes every value."""
    stream = read_tlvs(octets, 0, len(octets))
    if not stream.fault:
        assert pack_tlvs(stream.tlvs) == octets
    has_payload(stream.tlvs)
    tlv_network_error(stream.tlvs)
    sar = tlv_sar(stream.tlvs)
    assert sar is None or 1 <= sar.segment <= sar.total <= 255
    for tag, value in stream.tlvs:
        first = tlv_get(stream.tlvs, tag)
        assert first is not None
        number = tlv_int(stream.tlvs, tag)
        assert number is None or number >= 0
        assert len(value) <= len(octets)


def udh(octets: bytes) -> None:
    """A header is no longer than its message; what it says can be said again; parts join to what they were."""
    reader = Reader(octets)
    joiner: Joiner[bytes] = Joiner(window_s=10.0, parts_max=8)
    for n in range(8):
        if not reader.left:
            break
        payload = reader.some()
        found = parse_udh(payload)
        if found is not None:
            assert 1 <= found.octets <= len(payload)
            if found.elements and sum(2 + len(value) for _, value in found.elements) <= 139:
                assert build_udh(found.elements) == payload[: found.octets]
            if found.concat is not None:
                assert 1 <= found.concat.seq <= found.concat.total <= 255
            to_sar(payload)
        for kind in (SubmitSm, DeliverSm):
            message = segment_of(kind(esm_class=0x40, short_message=payload))
            assert payload.endswith(message.text)
        if message.concat is not None:
            whole = joiner.add(b"1", b"2", message.concat, message.text, message.text, float(n))
            assert whole is None or len(whole) == message.concat.total
        joiner.expire(float(n))
        assert joiner.parts_held <= 8
        for alphabet in ("gsm", "ucs2", "octets", "latin1"):
            with contextlib.suppress(CannotSplit):
                segment(payload, alphabet, udh_indicator=True, ref=1)


def receipt(octets: bytes) -> None:
    """Any text is a receipt that says something, or one that is said to be unreadable."""
    reader = Reader(octets)
    data_coding = reader.choice((0, 1, 3, 4, 8, 0xF0))
    stream = read_tlvs(block := reader.some(), 0, len(block))
    text = reader.rest()
    for found in (
        DeliverSm(esm_class=4, short_message=text[:255], data_coding=data_coding, tlvs=stream.tlvs),
        DeliverSm(data_coding=data_coding, tlvs=(*stream.tlvs, (0x0424, text))),
        DataSm(esm_class=4, data_coding=data_coding, tlvs=((0x0424, text), *stream.tlvs)),
    ):
        is_receipt(found, by_text=True)
        fields = parse_receipt(found)
        assert 0 <= fields.state <= 9
        assert len(fields.message_id) <= 128
        assert fields.readable or not fields.message_id
        parse_date(fields.submit_date)
        parse_date(fields.done_date)
        for rule in RULES:
            response_key(fields.message_id, rule)
            keys = normal_forms(fields.message_id, rule, from_tlv=reader.flag())
            assert bool(keys) == bool(fields.message_id)
        learner = HabitLearner()
        learner.trials(fields.message_id)
        learner.matched(fields.message_id_from_tlv, fields.message_id_from_text)
        learner.keys(fields.message_id)


def text(octets: bytes) -> None:
    """Every octet string has a text in every coding, and a text that can be written is read again."""
    reader = Reader(octets)
    data_coding = reader.octet()
    alphabet = reader.choice(DEFAULT_ALPHABETS)
    locking, single = reader.octet() % 16, reader.octet() % 16
    data = reader.rest()
    shown = decode_text(data, data_coding, default_alphabet=alphabet, locking=locking, single=single)
    shown.encode()  # no lone surrogate: it goes into JSON and SQLite
    try:
        again = encode_text(shown, data_coding, default_alphabet=alphabet, locking=locking, single=single)
    except Unencodable:
        pass
    else:
        reread = decode_text(again, data_coding, default_alphabet=alphabet, locking=locking, single=single)
        assert (
            encode_text(reread, data_coding, default_alphabet=alphabet, locking=locking, single=single)
            == again
            or alphabet == "gsm-packed"
        ), (shown, reread)
    chosen, _ = choose_coding(shown)
    assert decode_text(encode_text(shown, chosen), chosen) == shown.removeprefix("\ufeff")
    forcing_characters(simplify(shown), 5)
    transcode(data, data_coding, source=alphabet, target=reader.choice(DEFAULT_ALPHABETS))
    with contextlib.suppress(ValueError):
        encode_sender(shown[:12], alphabet=alphabet)
    fill_bits = fill_bits_after(locking)
    septets = bytes(octet & 0x7F for octet in data)
    assert (
        unpack_septets(
            pack_septets(septets, fill_bits=fill_bits), fill_bits=fill_bits, septet_count=len(septets)
        )
        == septets
    )
    segment_info(shown)
    for each in ("gsm", "ucs2", "octets", "latin1"):
        try:
            parts = split(data, each)
        except CannotSplit:
            continue
        assert b"".join(parts) == data
        assert len(parts) == count_parts(data, each)
    assert alphabet_of(data_coding)


def time(octets: bytes) -> None:
    """A time string is a moment or a BadTime, and a moment is written so that it is read as itself."""
    reader = Reader(octets)
    now_ms = NOW_MS + (int.from_bytes(reader.take(3), "big") - (1 << 23)) * 100_000
    for value in (reader.some(), reader.rest()):
        try:
            moment = times.parse_time(value, now_ms, short_form=True)
        except times.BadTime:
            moment = None
        if moment is not None and abs(moment - now_ms) < 40 * 365 * 86_400_000:
            tenths = moment - moment % 100
            assert times.parse_time(times.format_absolute(moment), now_ms) == tenths
            if moment > now_ms:
                seconds = (moment - now_ms) / 1000
                said = times.parse_time(times.format_relative(seconds), now_ms)
                assert said is not None and said >= now_ms
        for function in (
            lambda value=value: times.validity_deadline(value, now_ms, default_s=3_600, max_s=86_400),
            lambda value=value: times.schedule_moment(value, now_ms, ahead_max_s=86_400),
        ):
            with contextlib.suppress(times.BadTime):
                assert now_ms <= function() <= now_ms + 86_400_000
        parse_date(value.decode("latin-1"))
