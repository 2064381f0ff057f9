"""What stored messages and receipts say, for people, and the octets by which a text is found among them."""

from collections.abc import Sequence

import msgspec

from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import DataSm, DeliverSm, SubmitSm
from gateway.smpp.receipt_states import STATE_WORDS
from gateway.smpp.receipts import parse_receipt
from gateway.smpp.text import Unencodable, decode_text, encode_text
from gateway.smpp.udh import segment_of
from store.model import Part

_CODINGS = (
    8,
    0,
    3,
)  # UCS-2, GSM 03.38, Latin-1: whatever else is readable has its octets in common with these


class ReceiptSaid(msgspec.Struct, frozen=True):
    """A receipt as its carrier wrote it: `stat` and `err` as they came, its dates, and the whole text."""

    stat: str
    err: str
    smsc_message_id: str
    submit_date: str
    done_date: str
    text: str


def part_text(part: Part) -> str:
    """The text of one part, without its header. What is no character becomes U+FFFD."""
    pdu = decode_body(CommandId.SUBMIT_SM, part.body)
    if not isinstance(pdu, SubmitSm):
        return ""
    segment = segment_of(pdu)
    if segment.udh is None:
        return decode_text(segment.text, pdu.data_coding)
    return decode_text(segment.text, pdu.data_coding, locking=segment.udh.locking, single=segment.udh.single)


def message_text(parts: Sequence[Part]) -> str:
    """The whole text of a message from its parts, in order."""
    return "".join(part_text(part) for part in parts)


def needles(text: str) -> tuple[bytes, ...]:
    """The octets that a text can be on the way: a part that holds it has one of these in its body."""
    found = []
    for coding in _CODINGS:
        try:
            found.append(encode_text(text, coding))
        except Unencodable:
            continue
    return tuple(dict.fromkeys(found))


def receipt_said(raw: bytes, message_state: int) -> ReceiptSaid:
    """A carrier's receipt; `raw` is a deliver_sm body, or b"" for one that was made here."""
    word = STATE_WORDS.get(message_state, str(message_state))
    if not raw:
        return ReceiptSaid(word, "", "", "", "", "")
    pdu = decode_body(CommandId.DELIVER_SM, raw)
    if not isinstance(pdu, DeliverSm | DataSm):
        return ReceiptSaid(word, "", "", "", "", raw.hex())
    fields = parse_receipt(pdu)
    payload = segment_of(pdu).text
    text = (
        decode_text(payload, pdu.data_coding) if pdu.data_coding == 8 else payload.decode("utf-8", "replace")
    )
    return ReceiptSaid(
        fields.state_word or word,
        fields.error,
        fields.message_id,
        fields.submit_date,
        fields.done_date,
        text,
    )
