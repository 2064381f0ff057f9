"""Octets to PDUs: one pass over a receive buffer, and no exception for any octets.

Source: SMPP 3.4 issue 1.2 sections 3.2 (layout), 5.1.1 (command_length).
"""

from struct import Struct
from typing import Final

from gateway.smpp.constants import PDU_OCTETS_MAX
from gateway.smpp.hot_decode import HOT_MESSAGES, HOT_RESPONSES
from gateway.smpp.pdu import BadPdu, Decoded, FramingLost, Pdu
from gateway.smpp.table_decode import decode_by_table

_header = Struct(">IIII").unpack_from

FOREIGN_PROTOCOLS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"GET ", "HTTP"),
    (b"POST", "HTTP"),
    (b"HEAD", "HTTP"),
    (b"PUT ", "HTTP"),
    (b"OPTI", "HTTP"),
    (b"DELE", "HTTP"),
    (b"CONN", "HTTP"),
    (b"PRI ", "HTTP"),
    (b"HTTP", "HTTP"),
    (b"\x16\x03", "TLS"),
    (b"\x03\x00\x00", "RDP"),
    (b"AMQP", "AMQP"),
    (b"PROX", "PROXY"),
    (b"\r\n\r\n", "PROXY"),  # version 2's signature begins with two empty lines
    (b"SSH-", "SSH"),
)
"""First octets of what scanners and misconfigured clients send to an SMPP port, and its name for the log."""


def decode_pdus(buffer: bytes | bytearray, *, octets_max: int = PDU_OCTETS_MAX) -> Decoded:
    """Split a receive buffer into PDUs, in wire order, in one pass; never raises.

    Args:
      buffer: octets received so far, starting at a PDU boundary; may end anywhere.
      octets_max: largest command_length taken; a PDU of exactly this many octets is good.
    Returns:
      Decoded.pdus: every whole PDU; one whose body is malformed is a BadPdu and the next still decodes.
      Decoded.octets_consumed: whole PDUs only; keep the rest for the next call.
      Decoded.framing_lost: set when a command_length is below 16 or above `octets_max`, judged as soon as
      its four octets are there; the PDUs before it are still returned.
    Cost: O(octets consumed), plus O(1) for an unfinished PDU however often it is asked about; memory only
    for octets received, never for a length claimed.
    """
    size = len(buffer)
    pdus: list[Pdu | BadPdu] = []
    at = 0
    if size < 4:
        return Decoded(pdus, 0)
    length = int.from_bytes(buffer[:4], "big")
    if size < length <= octets_max and length >= 16:
        return Decoded(pdus, 0)  # before the copy below, so that octets trickling in cost no quadratic time
    data = bytes(buffer)
    read_header, append, find = _header, pdus.append, data.find
    messages, responses, last = HOT_MESSAGES, HOT_RESPONSES, size - 16
    while at <= last:
        length, command_id, command_status, sequence_number = read_header(data, at)
        if not 16 <= length <= octets_max:
            return Decoded(pdus, at, FramingLost(length, _looks_like(data[at : at + 4])))
        body_at = at + 16
        end = at + length
        if end > size:
            return Decoded(pdus, at)
        pdu: Pdu | BadPdu | None = None
        if command_id in messages:
            pdu = messages[command_id](data, body_at, end, command_status, sequence_number)
        elif command_id in responses and find(0, body_at, end) == end - 1:
            pdu = responses[command_id](sequence_number, command_status, data[body_at : end - 1])
        if pdu is None:
            pdu = decode_by_table(data, body_at, end, command_id, command_status, sequence_number)
        append(pdu)
        at = end
    if size - at >= 4:
        length = int.from_bytes(data[at : at + 4], "big")
        if not 16 <= length <= octets_max:
            return Decoded(pdus, at, FramingLost(length, _looks_like(data[at : at + 4])))
    return Decoded(pdus, at)


def decode_body(
    command_id: int, body: bytes, sequence_number: int = 0, command_status: int = 0
) -> Pdu | BadPdu:
    """One PDU from its body alone, everything after the 16-octet header; never raises."""
    pdu: Pdu | None = None
    if command_id in HOT_MESSAGES:
        pdu = HOT_MESSAGES[command_id](body, 0, len(body), command_status, sequence_number)
    return pdu or decode_by_table(body, 0, len(body), command_id, command_status, sequence_number)


def _looks_like(octets: bytes) -> str:
    for prefix, name in FOREIGN_PROTOCOLS:
        if octets.startswith(prefix):
            return name
    return ""
