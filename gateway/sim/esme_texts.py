"""submit_sm bodies of one text: whole, in concatenated parts (UDH or sar TLVs), or as message_payload."""

from gateway.sim.esme_options import EsmeOptions
from gateway.sim.message import (
    ESM_UDHI,
    MESSAGE_PAYLOAD,
    SAR_NUMBER,
    SAR_REFERENCE,
    SAR_TOTAL,
    address,
    sm_body,
    tlv,
)

# Characters of a part: 140 octets of UCS-2 or 160 septets, less a UDH if there are several (3GPP TS 23.040).
PART_CHARACTERS = {8: (70, 67), 0: (160, 153)}


def sender_address(sender: str) -> bytes:
    """A sender with the type of number that its form asks for."""
    if not sender.isdigit():
        return address(sender, 5, 0)
    return address(sender, 0 if len(sender) <= 8 else 1, 1)


def submit_bodies(options: EsmeOptions, text: str, destination: str, reference: int) -> list[bytes]:
    """The bodies of one message, one a part, in order. `reference` ties the parts together."""
    natural = 0 if text.isascii() else 8
    coding = natural if options.data_coding < 0 else options.data_coding
    codec = "utf-16-be" if natural else "latin-1"
    whole, part = PART_CHARACTERS[natural]

    def body(octets: bytes, esm_class: int = 0, tlvs: bytes = b"") -> bytes:
        return sm_body(
            sender_address(options.sender),
            address(destination),
            octets,
            esm_class=esm_class,
            registered_delivery=options.registered_delivery,
            data_coding=coding,
            validity_period=options.validity_period.encode(),
            tlvs=tlvs,
        )

    if options.long == "payload" and len(text) > whole:
        return [body(b"", tlvs=tlv(MESSAGE_PAYLOAD, text.encode(codec)))]
    if len(text) <= whole:
        return [body(text.encode(codec))]
    pieces = [text[at : at + part].encode(codec) for at in range(0, len(text), part)]
    total = len(pieces)
    if options.long == "sar":
        return [
            body(
                piece,
                tlvs=tlv(SAR_REFERENCE, (reference & 0xFFFF).to_bytes(2, "big"))
                + tlv(SAR_TOTAL, bytes((total,)))
                + tlv(SAR_NUMBER, bytes((number,))),
            )
            for number, piece in enumerate(pieces, 1)
        ]
    return [
        body(bytes((5, 0, 3, reference & 0xFF, total, number)) + piece, esm_class=ESM_UDHI)
        for number, piece in enumerate(pieces, 1)
    ]
