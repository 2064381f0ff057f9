"""A canonical submit_sm body made into what one carrier wants: its TON/NPI, alphabet, validity, TLVs, cut.

Most carriers want nothing (`Dresser.plain`), and most parts have no validity of their own: then the stored
body is sent as it is and nothing here runs.
"""

from gateway.smpp.constants import VERSION_34, CommandId, EsmClass, Tag
from gateway.smpp.decode import decode_body
from gateway.smpp.encode import body_of
from gateway.smpp.gsm import REPLACEMENT, fill_bits_after
from gateway.smpp.pdu import BadPdu, SubmitSm
from gateway.smpp.text import decode_text, encode_text
from gateway.smpp.times import format_absolute, format_relative
from gateway.smpp.udh import parse_udh, to_sar
from store.directory import Carrier
from store.model import Part, PartFlag

ALPHANUMERIC_TON = 5


class Dresser:
    """One carrier's settings, ready to apply."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._tlv_add = tuple((tag, bytes.fromhex(value)) for tag, value in carrier.tlv_add)
        self._tlv_drop = frozenset(carrier.tlv_drop)
        self.plain = (
            carrier.alphabet == "gsm"
            and carrier.gsm_data_coding == 0
            and carrier.source_ton < 0
            and carrier.source_npi < 0
            and carrier.dest_ton < 0
            and carrier.dest_npi < 0
            and not carrier.default_sender
            and not carrier.validity_s_max
            and carrier.split in ("udh8", "udh16")  # which of the two is decided where the text is cut
            and carrier.receipts == "always"
            and not carrier.tlv_add
            and not carrier.tlv_drop
            and carrier.interface_version >= VERSION_34
        )

    def dress(self, part: Part, now_ms: int) -> bytes:
        """The body to send for `part` now; `part.body` itself where nothing changes."""
        gives_validity = part.flags & PartFlag.VALIDITY_GIVEN
        if self.plain and not gives_validity:
            return part.body
        pdu = decode_body(CommandId.SUBMIT_SM, part.body)
        if isinstance(pdu, BadPdu) or not isinstance(pdu, SubmitSm):
            raise AssertionError(f"the stored body of part {part.id} is not a submit_sm body")
        carrier = self._carrier
        self._address(pdu)
        self._receipts(pdu, part)
        if gives_validity or carrier.validity_s_max:
            self._validity(pdu, part, now_ms)
        self._text(pdu)
        if carrier.interface_version < VERSION_34:
            pdu.tlvs = ()  # a 3.3 peer would take them for garbage (SMPP 3.4 section 3.4)
        else:
            self._tlvs(pdu)
        return body_of(pdu)

    def _address(self, pdu: SubmitSm) -> None:
        carrier = self._carrier
        if not pdu.source_addr and carrier.default_sender:
            pdu.source_addr = carrier.default_sender.encode()
            pdu.source_addr_ton, pdu.source_addr_npi = sender_type(pdu.source_addr)
        # A rule for numbers must not turn an alphanumeric sender into one.
        if pdu.source_addr_ton != ALPHANUMERIC_TON:
            if carrier.source_ton >= 0:
                pdu.source_addr_ton = carrier.source_ton
            if carrier.source_npi >= 0:
                pdu.source_addr_npi = carrier.source_npi
        if carrier.dest_ton >= 0:
            pdu.dest_addr_ton = carrier.dest_ton
        if carrier.dest_npi >= 0:
            pdu.dest_addr_npi = carrier.dest_npi

    def _receipts(self, pdu: SubmitSm, part: Part) -> None:
        if self._carrier.receipts == "never":
            pdu.registered_delivery = 0
        elif self._carrier.receipts == "asked":
            pdu.registered_delivery = part.registered_delivery

    def _validity(self, pdu: SubmitSm, part: Part, now_ms: int) -> None:
        """What is left of the validity, clamped to what the carrier keeps."""
        carrier = self._carrier
        if carrier.validity_form == "none":
            return
        left_s = max(1, (part.expires_at - now_ms) // 1000)
        if carrier.validity_s_max:
            left_s = min(left_s, carrier.validity_s_max)
        if carrier.validity_form == "absolute":
            pdu.validity_period = format_absolute(now_ms + left_s * 1000)
        else:
            pdu.validity_period = format_relative(left_s)

    def _text(self, pdu: SubmitSm) -> None:
        carrier = self._carrier
        if pdu.data_coding != 0:
            return
        if carrier.alphabet != "gsm":
            octets = pdu.short_message
            udh = parse_udh(octets) if pdu.esm_class & EsmClass.UDHI else None
            at = udh.octets if udh else 0
            pdu.short_message = octets[:at] + recode(octets[at:], carrier.alphabet, udh_octets=at)
        pdu.data_coding = carrier.gsm_data_coding

    def _tlvs(self, pdu: SubmitSm) -> None:
        """TLVs dropped and added, and among the latter those in which this carrier wants long messages."""
        tlvs = tuple(item for item in pdu.tlvs if item[0] not in self._tlv_drop)
        if pdu.esm_class & EsmClass.UDHI:
            if self._carrier.split == "sar":
                cut = to_sar(pdu.short_message)
                if cut is not None:
                    pdu.short_message, sar = cut
                    tlvs += sar
                    pdu.esm_class &= ~EsmClass.UDHI
            elif self._carrier.split == "payload":
                tlvs += ((int(Tag.MESSAGE_PAYLOAD), pdu.short_message),)
                pdu.short_message = b""
        pdu.tlvs = tlvs + self._tlv_add


def sender_type(sender: bytes) -> tuple[int, int]:
    """TON and NPI of a sender that we fill in, by its shape: a number, or a name."""
    return (1, 1) if sender.isdigit() else (ALPHANUMERIC_TON, 0)


_CHARSETS = {"latin1": "latin-1", "ascii": "ascii"}


def recode(text: bytes, alphabet: str, *, udh_octets: int = 0) -> bytes:
    """GSM octets in what a carrier takes data_coding 0 for; what it cannot write becomes `?`.

    `udh_octets`: of the header before the text, behind which packed septets begin on a border of their own.
    """
    plain = decode_text(text, 0).replace(REPLACEMENT, "?")
    if alphabet == "gsm-packed":
        fill_bits = fill_bits_after(udh_octets)
        return encode_text(plain, 0, default_alphabet="gsm-packed", fill_bits=fill_bits)
    return plain.encode(_CHARSETS[alphabet], "replace")
