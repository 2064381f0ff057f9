"""Message bodies as a simulator sees them: read and built by hand.

On purpose this is not the gateway's codec: a mistake there would cancel itself out if both ends shared it.
"""

from struct import Struct

import msgspec

TLV_HEAD = Struct(">HH")
USER_MESSAGE_REFERENCE = 0x0204
SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER = 0x020C, 0x020E, 0x020F
RECEIPTED_MESSAGE_ID = 0x001E
MESSAGE_PAYLOAD = 0x0424
MESSAGE_STATE = 0x0427

ESM_RECEIPT = 0x04
ESM_UDHI = 0x40


class Message(msgspec.Struct, frozen=True):
    """What a message PDU says. `source` and `destination` are ton, npi, address and NUL."""

    source: bytes
    destination: bytes
    esm_class: int
    registered_delivery: int
    data_coding: int
    text: bytes  # short_message or message_payload, with its UDH
    tlvs: dict[int, bytes]

    @property
    def source_addr(self) -> str:
        return self.source[2:-1].decode("latin-1")

    @property
    def destination_addr(self) -> str:
        return self.destination[2:-1].decode("latin-1")

    @property
    def part(self) -> tuple[int, int, int]:
        """(reference, total, number) from a concatenation UDH or the sar TLVs; (0, 1, 1) of a single part."""
        if self.esm_class & ESM_UDHI and self.text and self.text[0] < len(self.text):
            offset, end = 1, 1 + self.text[0]
            while offset + 2 <= end:
                kind, length = self.text[offset], self.text[offset + 1]
                value = self.text[offset + 2 : offset + 2 + length]
                if (kind, length) in ((0x00, 3), (0x08, 4)) and len(value) == length:
                    return int.from_bytes(value[:-2], "big"), value[-2], value[-1]
                offset += 2 + length
        if SAR_REFERENCE in self.tlvs:
            reference, total, number = (
                int.from_bytes(self.tlvs.get(tag, b"\1"), "big")
                for tag in (SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER)
            )
            return reference, total, number
        return 0, 1, 1


class Malformed(Exception):
    """A body that ends too early."""


def read_tlvs(octets: bytes) -> dict[int, bytes]:
    """TLVs by tag; the last of a repeated tag wins. Raises Malformed."""
    tlvs = {}
    offset = 0
    while offset < len(octets):
        if offset + 4 > len(octets):
            raise Malformed("a TLV is cut short")
        tag, length = TLV_HEAD.unpack_from(octets, offset)
        if offset + 4 + length > len(octets):
            raise Malformed(f"TLV {tag:04x} is longer than its PDU")
        tlvs[tag] = octets[offset + 4 : offset + 4 + length]
        offset += 4 + length
    return tlvs


def tlv(tag: int, value: bytes) -> bytes:
    return TLV_HEAD.pack(tag, len(value)) + value


def read_sm(body: bytes) -> Message:
    """A submit_sm or deliver_sm (SMPP 3.4 section 4.4.1). Raises Malformed."""
    try:
        source = body.index(0) + 1
        destination = body.index(0, source + 2) + 1
        fixed = body.index(0, destination + 2) + 1
        validity = body.index(0, fixed + 3) + 1
        rest = body.index(0, validity) + 1
        length = body[rest + 4]
    except (ValueError, IndexError) as error:
        raise Malformed("a field is missing") from error
    text_end = rest + 5 + length
    if text_end > len(body):
        raise Malformed("short_message is shorter than sm_length")
    tlvs = read_tlvs(body[text_end:])
    return Message(
        source=body[source:destination],
        destination=body[destination:fixed],
        esm_class=body[fixed],
        registered_delivery=body[rest],
        data_coding=body[rest + 2],
        text=body[rest + 5 : text_end] or tlvs.get(MESSAGE_PAYLOAD, b""),
        tlvs=tlvs,
    )


def read_data_sm(body: bytes) -> Message:
    """A data_sm (SMPP 3.4 section 4.7.1). Raises Malformed."""
    try:
        source = body.index(0) + 1
        destination = body.index(0, source + 2) + 1
        fixed = body.index(0, destination + 2) + 1
        esm_class, registered_delivery, data_coding = body[fixed : fixed + 3]
    except ValueError as error:
        raise Malformed("a field is missing") from error
    tlvs = read_tlvs(body[fixed + 3 :])
    return Message(
        source=body[source:destination],
        destination=body[destination:fixed],
        esm_class=esm_class,
        registered_delivery=registered_delivery,
        data_coding=data_coding,
        text=tlvs.get(MESSAGE_PAYLOAD, b""),
        tlvs=tlvs,
    )


def address(text: str, ton: int = 1, npi: int = 1) -> bytes:
    """ton, npi, address, NUL."""
    return bytes((ton, npi)) + text.encode("latin-1") + b"\0"


def sm_body(
    source: bytes,
    destination: bytes,
    text: bytes,
    *,
    esm_class: int = 0,
    registered_delivery: int = 0,
    data_coding: int = 0,
    validity_period: bytes = b"",
    tlvs: bytes = b"",
) -> bytes:
    """A submit_sm or deliver_sm body. Text over 254 octets belongs into `tlvs` as message_payload."""
    assert len(text) <= 254
    return b"".join(
        (
            b"\0",
            source,
            destination,
            bytes((esm_class, 0, 0)),
            b"\0",
            validity_period,
            bytes((0, registered_delivery, 0, data_coding, 0, len(text))),
            text,
            tlvs,
        )
    )


def data_sm_body(
    source: bytes, destination: bytes, *, esm_class: int, data_coding: int, tlvs: bytes
) -> bytes:
    """A data_sm body; its text is a message_payload among `tlvs`."""
    return b"".join((b"\0", source, destination, bytes((esm_class, 0, data_coding)), tlvs))
