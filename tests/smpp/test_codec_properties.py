"""Laws of the codec over generated and mutated PDUs: both paths agree, and what is sent is what is read."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.smpp.constants import HEADER_OCTETS, CommandId, Tag
from gateway.smpp.decode import decode_body, decode_pdus
from gateway.smpp.encode import COMMAND_OF, LocalProtocolError, body_of, encode
from gateway.smpp.fields import LAYOUT_OF, LAYOUT_OF_TYPE, LAYOUTS, Field, Kind, Layout, TlvFault
from gateway.smpp.pdu import (
    BadPdu,
    Decoded,
    DeliverSm,
    DeliverSmResp,
    DistributionList,
    FramingLost,
    Pdu,
    SmeAddress,
    SubmitSm,
    SubmitSmResp,
    UnsuccessSme,
)
from gateway.smpp.table_decode import decode_by_table
from gateway.smpp.table_encode import body_by_table
from tests.smpp.octets import frame

VECTORS = [
    bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
]
lawful = settings(
    max_examples=400, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

octet = st.integers(0, 255)
number = st.integers(0, 0xFFFFFFFF)
character = st.integers(1, 255)


def strings(octets_max: int) -> st.SearchStrategy[bytes]:
    """C-octet strings without their NUL, `octets_max` counting it."""
    return st.lists(character, max_size=octets_max - 1).map(bytes)


ADDRESS = strings(21)
VALUES = {
    Kind.OCTET: lambda field: octet,
    Kind.CSTRING: lambda field: strings(field.octets_max),
    Kind.TIME: lambda field: st.one_of(
        st.just(b""), st.lists(character, min_size=16, max_size=16).map(bytes)
    ),
    Kind.TEXT: lambda field: st.binary(max_size=255),
    Kind.DESTINATIONS: lambda field: st.lists(
        st.one_of(st.builds(SmeAddress, octet, octet, ADDRESS), st.builds(DistributionList, ADDRESS)),
        min_size=1,
        max_size=4,
    ).map(tuple),
    Kind.UNSUCCESS: lambda field: st.lists(
        st.builds(UnsuccessSme, octet, octet, ADDRESS, number), max_size=4
    ).map(tuple),
}
tag = st.one_of(st.sampled_from([int(each) for each in Tag]), st.integers(0, 0xFFFF))
tlvs = st.lists(st.tuples(tag, st.binary(max_size=40)), max_size=4).map(tuple)
tlvs_beside_text = tlvs.map(lambda found: tuple(each for each in found if each[0] != Tag.MESSAGE_PAYLOAD))


def values(field: Field) -> st.SearchStrategy[object]:
    return VALUES[field.kind](field)


def pdus(layout: Layout) -> st.SearchStrategy[Pdu]:
    parts: list[st.SearchStrategy[object]] = [number, number, *map(values, layout.fields)]
    if layout.tlv_fault is not None:
        has_text = any(field.kind is Kind.TEXT for field in layout.fields)
        parts.append(tlvs_beside_text if has_text else tlvs)
    return st.builds(layout.pdu_type, *parts)


any_pdu = st.sampled_from(LAYOUTS).flatmap(pdus)
hot_pdu = st.sampled_from(
    [COMMAND_OF[t] for t in (SubmitSm, DeliverSm, SubmitSmResp, DeliverSmResp)]
).flatmap(lambda command_id: pdus(LAYOUT_OF[command_id]))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One or two PDUs with a few octets changed, dropped or added, and usually a command_length that fits."""
    base = draw(st.one_of(hot_pdu.map(encode), any_pdu.map(encode), st.sampled_from(VECTORS)))
    octets = bytearray(base)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(octets)))
        how = draw(st.sampled_from(["set", "drop", "add", "cut", "double"]))
        if how == "set" and at < len(octets):
            octets[at] = draw(st.one_of(octet, st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])))
        elif how == "drop":
            del octets[at : at + draw(st.integers(1, 4))]
        elif how == "add":
            octets[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif how == "cut":
            del octets[max(at, HEADER_OCTETS) :]
        else:
            octets[at:at] = octets[at : at + 40]
    if draw(st.integers(0, 9)) and len(octets) >= HEADER_OCTETS:
        octets[:4] = len(octets).to_bytes(4, "big")
    return bytes(octets)


def decode_by_the_table_alone(octets: bytes, octets_max: int) -> Decoded:
    """The plainest decoder that could be: no hot path, no early exit."""
    found: list[Pdu | BadPdu] = []
    at = 0
    while len(octets) - at >= 4:
        length = int.from_bytes(octets[at : at + 4], "big")
        if not 16 <= length <= octets_max:
            return Decoded(found, at, FramingLost(length))
        if length > len(octets) - at:
            break
        command, status, sequence = (int.from_bytes(octets[at + n : at + n + 4], "big") for n in (4, 8, 12))
        body = octets[at + 16 : at + length]
        found.append(decode_by_table(body, 0, len(body), command, status, sequence))
        at += length
    return Decoded(found, at)


def without_protocol_name(decoded: Decoded) -> Decoded:
    if decoded.framing_lost is not None:
        decoded.framing_lost.looks_like = ""
    return decoded


@lawful
@given(any_pdu)
def test_what_is_encoded_is_what_is_decoded(pdu: Pdu) -> None:
    octets = encode(pdu)
    assert decode_pdus(octets) == Decoded([pdu], len(octets))
    assert octets[HEADER_OCTETS:] == body_of(pdu)
    assert decode_body(COMMAND_OF[type(pdu)], body_of(pdu), pdu.sequence_number, pdu.command_status) == pdu


@settings(lawful, max_examples=100)
@given(st.lists(st.one_of(hot_pdu, any_pdu), max_size=6), st.data())
def test_a_stream_cut_anywhere_gives_the_same_pdus(sent: list[Pdu], data: st.DataObject) -> None:
    stream = b"".join(map(encode, sent))
    received, buffer = [], bytearray()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer += stream[:size]
        stream = stream[size:]
        decoded = decode_pdus(buffer)
        assert decoded.framing_lost is None
        received += decoded.pdus
        del buffer[: decoded.octets_consumed]
    assert received == sent
    assert not buffer


@lawful
@given(st.lists(mutated(), min_size=1, max_size=3), st.sampled_from([70_000, 200, 40]))
def test_the_hot_path_decodes_as_the_table_does(parts: list[bytes], octets_max: int) -> None:
    octets = b"".join(parts)
    expected = decode_by_the_table_alone(octets, octets_max)
    assert without_protocol_name(decode_pdus(octets, octets_max=octets_max)) == expected
    assert without_protocol_name(decode_pdus(bytearray(octets), octets_max=octets_max)) == expected


@lawful
@given(hot_pdu)
def test_the_hot_path_encodes_as_the_table_does(pdu: Pdu) -> None:
    assert body_of(pdu) == body_by_table(pdu)


@lawful
@given(hot_pdu, st.data())
def test_the_hot_path_refuses_to_encode_what_the_table_refuses(pdu: Pdu, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(LAYOUT_OF_TYPE[type(pdu)].fields))
    wrong = st.integers(-300, 600) if field.kind is Kind.OCTET else st.binary(max_size=300)
    setattr(pdu, field.name, data.draw(wrong))

    def attempt(pack: object) -> bytes | str:
        try:
            return pack(pdu)  # type: ignore[operator, no-any-return]
        except LocalProtocolError as exc:
            return str(exc)

    assert attempt(body_of) == attempt(body_by_table)


@lawful
@given(mutated())
def test_a_request_that_is_taken_can_be_sent_on_octet_for_octet(octets: bytes) -> None:
    decoded = decode_pdus(octets)
    at = 0
    for pdu in decoded.pdus:
        length = int.from_bytes(octets[at : at + 4], "big")
        if not isinstance(pdu, BadPdu):
            layout = LAYOUT_OF_TYPE[type(pdu)]
            if layout.tlv_fault is TlvFault.REFUSES:
                assert encode(pdu) == octets[at : at + length]
            elif not layout.is_response:  # its tail may have been dropped
                body = body_of(pdu)
                assert octets[at + 16 : at + length].startswith(body)
        at += length
    assert at == decoded.octets_consumed


@lawful
@given(mutated())
def test_no_fault_is_ever_answered_with_ok(octets: bytes) -> None:
    for pdu in decode_pdus(octets).pdus:
        if isinstance(pdu, BadPdu):
            assert pdu.answer_status > 0
            assert pdu.reason
            assert pdu.command_id in LAYOUT_OF or pdu.answer_status == 3
            assert pdu.partial is None or COMMAND_OF[type(pdu.partial)] == pdu.command_id


@lawful
@given(st.binary(max_size=300), st.sampled_from([int(command) for command in CommandId]))
def test_random_bodies_of_every_command_decode_without_exception(body: bytes, command_id: int) -> None:
    (pdu,) = decode_pdus(frame(command_id, body, sequence_number=9)).pdus
    assert pdu.sequence_number == 9
    assert decode_body(command_id, body, 9) == pdu
