"""Events of an account's log as the deliver_sm bodies that its ESMEs get.

A receipt speaks of the customer's own message id, with source and destination swapped, as text and, for peers
of 3.4 and later, as TLVs too (SMPP 3.4 appendix B). An inbound message is passed on unchanged.
"""

from collections.abc import Sequence

import msgspec

from gateway.delivery import RECEIPT, Event
from gateway.smpp.constants import VERSION_34, EsmClass
from gateway.smpp.receipt_format import TEXT_CHARACTERS_MAX, receipt_between, text_head
from gateway.smpp.text import decode_text
from gateway.smpp.times import receipt_date
from store.ids import NODE_BITS, NUMBER_MASK, SECOND_BITS
from store.model import Part, PartFlag

# 3.3 peers take ids of at most 8 characters (SMPP 3.4 section 4.4.2). 48 bits of an id are its second within
# 8.5 years and its number within that second: enough to find it again.
_SHORT_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_SHORT_SECONDS_MASK = (1 << 28) - 1


def message_id_of(part: Part) -> int:
    """The id that the customer was given for the message this part belongs to."""
    if part.flags & PartFlag.ONE_OF_MANY and part.detail:
        return int(msgspec.msgpack.decode(part.detail)["first"])
    return part.id - part.part_no + 1


def shown_id(message_id: int, peer_version: int) -> bytes:
    """A message id as a peer of this interface version reads it: 19 digits, or 8 characters for 3.3."""
    if peer_version >= VERSION_34:
        return b"%d" % message_id
    bits = ((message_id >> SECOND_BITS & _SHORT_SECONDS_MASK) << NODE_BITS) | (message_id & NUMBER_MASK)
    return bytes(_SHORT_ALPHABET[bits >> shift & 63] for shift in range(42, -1, -6))


def shown_ids(message_ids: Sequence[int], peer_version: int) -> list[bytes]:
    """`shown_id` for many at once: they are answered batch-wise."""
    if peer_version >= VERSION_34:
        return [b"%d" % message_id for message_id in message_ids]
    return [shown_id(message_id, peer_version) for message_id in message_ids]


def id_from_shown(text: bytes, now_s: int, node: int) -> int:
    """The message id that a customer names in query_sm, cancel_sm or replace_sm; 0 if it is none."""
    if text.isdigit() and len(text) == 19:
        message_id = int(text)
        return message_id if message_id < 1 << 63 else 0
    if len(text) != 8 or any(octet not in _SHORT_ALPHABET for octet in text):
        return 0
    bits = 0
    for octet in text:
        bits = bits << 6 | _SHORT_ALPHABET.index(octet)
    # The second is known modulo 8.5 years: the last such second that is not in the future.
    low = bits >> NODE_BITS
    second = (now_s & ~_SHORT_SECONDS_MASK) | low
    if second > now_s + 86_400:
        second -= _SHORT_SECONDS_MASK + 1
    return second << SECOND_BITS | node << NODE_BITS | bits & NUMBER_MASK


def customer_body(event: Event, peer_version: int) -> bytes:
    """The deliver_sm body of an event for a peer of this interface version."""
    if event.kind != RECEIPT or event.part is None:
        return event.body
    part = event.part
    # The stored body begins service_type NUL ton npi source NUL ton npi destination NUL: cut, not decoded.
    body = part.body
    source_at = body.index(0) + 1
    source_end = body.index(0, source_at + 2)
    dest_end = body.index(0, source_end + 3)
    flags = part.flags
    message_id = part.id - part.part_no + 1 if not flags & PartFlag.ONE_OF_MANY else message_id_of(part)
    error = event.error
    text_at = dest_end + _FIXED_OCTETS
    return receipt_between(
        body[source_end + 1 : dest_end + 1],
        body[source_at : source_end + 1],
        b"%d" % message_id if peer_version >= VERSION_34 else shown_id(message_id, peer_version),
        receipt_date(part.accepted_at),
        receipt_date(event.done_at),
        event.state,
        _ERRORS[error] if error < 1000 else _NO_NUMBER,
        b"" if part.data_coding or body[dest_end + 1] & _UDHI else _head(body, text_at),
        peer_version >= VERSION_34,
    )


# From the NUL of destination_addr to the first octet of short_message in a canonical body: esm_class,
# protocol_id, priority_flag, two empty times, registered_delivery, replace flag, data_coding, default id, length.
_FIXED_OCTETS = 11
_UDHI = int(EsmClass.UDHI)
_ERRORS = [b"%03d" % number for number in range(1000)]
_NO_NUMBER = b"000"  # no error, or one of ours that three digits cannot say


def _head(body: bytes, text_at: int) -> bytes:
    """What a receipt echoes of a GSM text; UCS-2 is not echoed, as it would show as question marks."""
    sm_length = body[text_at - 1]  # TLVs may follow a short text
    return text_head(decode_text(body[text_at : text_at + min(sm_length, TEXT_CHARACTERS_MAX)], 0))
