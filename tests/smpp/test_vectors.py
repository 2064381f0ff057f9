"""161 PDUs from other people's test suites and the standards, each with what an independent decoder read.

`vectors.json` holds hex, class and decoded fields of each; field texts are Latin-1, octet strings are hex.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.smpp.constants import CommandId, Status
from gateway.smpp.decode import decode_pdus
from gateway.smpp.encode import COMMAND_OF, encode
from gateway.smpp.pdu import BadPdu, Decoded, DistributionList, EnquireLink, Pdu, SmeAddress, UnsuccessSme
from tests.smpp.octets import ENQUIRE_LINK

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))

NEVER_A_PDU = {"incomplete", "bad_length"}
REFUSED = {
    "unknown_request": Status.ESME_RINVCMDID,
    "unknown_response": Status.ESME_RINVCMDID,
    "resync": Status.ESME_RINVCMDID,
    "field_overrun": Status.ESME_RINVMSGLEN,
}
# What stands in a PDU that the independent decoder gave up on.
SALVAGED: dict[str, dict[str, Any]] = {
    "P003": {"message_id": "9"},
    "X002": {"message_id": "0A000000A3D323A1"},
    "P033": {"tlvs": [["0427", "02"]]},
    "P137": {"tlvs": []},
    "P138": {"tlvs": []},
}
# An error response with a lone NUL (P105) and one with a header alone (X007) decode to the same value. One of
# them cannot come back octet for octet, and the standard wants the header alone.
ENCODED_WITHOUT_ITS_EMPTY_BODY = {"P105"}

all_vectors = pytest.mark.parametrize("vector", VECTORS, ids=[v["id"] for v in VECTORS])
valid_vectors = pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS if v["cls"] == "valid"],
    ids=[v["id"] for v in VECTORS if v["cls"] == "valid"],
)


def octets_of(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["hex"])


def expected_value(name: str, value: Any) -> Any:
    if name == "short_message":
        return bytes.fromhex(value)
    if name == "tlvs":
        return tuple((int(tag, 16), bytes.fromhex(octets)) for tag, octets in value)
    if name == "dests":
        return tuple(
            DistributionList(entry["dl"].encode())
            if "dl" in entry
            else SmeAddress(entry["ton"], entry["npi"], entry["addr"].encode())
            for entry in value
        )
    if name == "unsuccess":
        return tuple(
            UnsuccessSme(entry["ton"], entry["npi"], entry["addr"].encode(), int(entry["status"], 16))
            for entry in value
        )
    return value.encode("latin-1") if isinstance(value, str) else value


def check_fields(pdu: Pdu, vector: dict[str, Any]) -> None:
    decoded = vector["decoded"]
    assert COMMAND_OF[type(pdu)] == int(decoded["command_id"], 16)
    assert CommandId(COMMAND_OF[type(pdu)]).name.lower() == decoded["name"]
    assert pdu.sequence_number == int(decoded["sequence_number"], 16)
    assert pdu.command_status == int(decoded["command_status"], 16)
    fields = decoded["fields"] | SALVAGED.get(vector["id"], {})
    fields.pop("sm_length", None)
    for name, value in fields.items():
        ours = getattr(pdu, "destinations" if name == "dests" else name)
        assert ours == expected_value(name, value), name
    if "tlvs" not in fields:
        assert getattr(pdu, "tlvs", ()) == ()


def check(decoded: Decoded, vector: dict[str, Any]) -> None:
    octets = octets_of(vector)
    length = int.from_bytes(octets[:4], "big")
    if vector["cls"] in NEVER_A_PDU:
        assert decoded.pdus == []
        assert decoded.octets_consumed == 0
        assert (decoded.framing_lost is not None) is (vector["cls"] == "bad_length")
        return
    assert decoded.octets_consumed >= length
    first = decoded.pdus[0]
    if vector["cls"] in REFUSED:
        assert isinstance(first, BadPdu)
        assert first.answer_status == REFUSED[vector["cls"]]
        assert first.command_id == int(vector["decoded"]["command_id"], 16)
        assert first.sequence_number == int(vector["decoded"]["sequence_number"], 16)
    else:
        assert not isinstance(first, BadPdu)
        check_fields(first, vector)


def test_the_file_is_whole() -> None:
    assert len(VECTORS) == 161
    assert sum(vector["cls"] == "valid" for vector in VECTORS) == 126


@all_vectors
def test_a_vector_decodes_to_what_an_independent_decoder_read(vector: dict[str, Any]) -> None:
    check(decode_pdus(octets_of(vector)), vector)


@all_vectors
def test_a_vector_gives_the_same_octet_by_octet(vector: dict[str, Any]) -> None:
    whole = decode_pdus(octets_of(vector))
    buffer, pdus, consumed, lost = bytearray(), [], 0, None
    for octet in octets_of(vector):
        buffer.append(octet)
        decoded = decode_pdus(buffer)
        pdus += decoded.pdus
        consumed += decoded.octets_consumed
        del buffer[: decoded.octets_consumed]
        lost = decoded.framing_lost
        if lost:
            break
    assert (pdus, consumed, lost) == (whole.pdus, whole.octets_consumed, whole.framing_lost)


@all_vectors
def test_a_vector_cut_in_two_anywhere_gives_the_same(vector: dict[str, Any]) -> None:
    octets = octets_of(vector)
    whole = decode_pdus(octets)
    for cut in range(1, len(octets)):
        first = decode_pdus(octets[:cut])
        pdus, consumed, lost = first.pdus, first.octets_consumed, first.framing_lost
        if lost is None:
            second = decode_pdus(octets[consumed:])
            pdus, consumed, lost = pdus + second.pdus, consumed + second.octets_consumed, second.framing_lost
        assert (pdus, consumed, lost) == (whole.pdus, whole.octets_consumed, whole.framing_lost)


@all_vectors
def test_a_vector_between_others_leaves_them_alone(vector: dict[str, Any]) -> None:
    octets = octets_of(vector)
    alone = decode_pdus(octets)
    if vector["cls"] in NEVER_A_PDU:
        decoded = decode_pdus(ENQUIRE_LINK + octets)
        assert decoded.pdus == [EnquireLink(0x0A342EE7)]
        assert decoded.octets_consumed == 16
        assert decoded.framing_lost == alone.framing_lost
        return
    octets = octets[: int.from_bytes(octets[:4], "big")]
    decoded = decode_pdus(ENQUIRE_LINK + octets + ENQUIRE_LINK)
    assert decoded.pdus == [EnquireLink(0x0A342EE7), alone.pdus[0], EnquireLink(0x0A342EE7)]
    assert decoded.octets_consumed == 32 + len(octets)
    assert decoded.framing_lost is None


def test_all_whole_vectors_in_one_buffer_decode_in_order() -> None:
    whole = [octets_of(v) for v in VECTORS if v["cls"] not in NEVER_A_PDU]
    whole = [octets[: int.from_bytes(octets[:4], "big")] for octets in whole]
    decoded = decode_pdus(bytearray().join(whole))
    assert decoded.pdus == [decode_pdus(octets).pdus[0] for octets in whole]
    assert decoded.octets_consumed == sum(map(len, whole))


@valid_vectors
def test_a_valid_vector_encodes_to_its_own_octets(vector: dict[str, Any]) -> None:
    pdu = decode_pdus(octets_of(vector)).pdus[0]
    assert isinstance(pdu, Pdu)
    if vector["id"] in ENCODED_WITHOUT_ITS_EMPTY_BODY:
        assert octets_of(vector)[16:] == b"\0"
        assert encode(pdu) == b"\0\0\0\x10" + octets_of(vector)[4:16]
    else:
        assert encode(pdu) == octets_of(vector)
