"""Delivery receipts: known by their esm_class and TLVs, read tolerantly, written strictly.

SMPP calls the text of a receipt "vendor specific, typical" (3.4 appendix B), and vendors took it at its word:
keys in any order and case, missing, cut short, with 10 to 14-digit dates, in UCS-2, as CSV. Rules of reading:

- TLVs before text, for the id and for the state.
- Fields before `text:` first. What follows `text:` was written by whoever sent the message, so it only fills
  fields that are still missing, the last of each key first.
- Nothing raises, everything is linear; what cannot be read is said to be unreadable.

A receipt is believed by its esm_class or its receipted_message_id TLV. By its text alone only where a carrier
is configured so: any subscriber can text `id:... stat:DELIVRD`.
"""

import re
from typing import Literal

import msgspec

from gateway.smpp.constants import Tag
from gateway.smpp.pdu import DataSm, DeliverSm, SubmitSm
from gateway.smpp.receipt_format import format_receipt, receipt_body, text_head
from gateway.smpp.receipt_states import (
    ACCEPTED,
    FINAL_STATES,
    SKIPPED,
    STATE_OF_WORD,
    STATE_WORDS,
    UNKNOWN,
    state_of_word,
    supersedes,
)
from gateway.smpp.receipt_text import parse_date, read_receipt_text
from gateway.smpp.tlv import tlv_get, tlv_network_error
from gateway.smpp.udh import payload_of

__all__ = [
    "FINAL_STATES",
    "STATE_OF_WORD",
    "STATE_WORDS",
    "ReceiptFields",
    "format_receipt",
    "is_receipt",
    "parse_date",
    "parse_receipt",
    "receipt_body",
    "supersedes",
    "text_head",
]

Kind = Literal["receipt", "intermediate", "mo", "ack"]

# Message type, bits 5-2 of esm_class. Bits 0-1, UDHI and reply path say nothing here. Reserved mixtures with
# the receipt or notification bit are read as that.
_KINDS: tuple[Kind, ...] = tuple(
    "mo"
    if not bits
    else "ack"
    if bits in (0x08, 0x10, 0x18)
    else "intermediate"
    if bits & 0x20
    else "receipt"
    if bits & 0x04
    else "mo"
    for bits in (esm_class & 0x3C for esm_class in range(256))
)


def is_receipt(pdu: DeliverSm | DataSm | SubmitSm, *, by_text: bool = False) -> Kind:
    """What a carrier's deliver_sm or data_sm is.

    Returns:
      "receipt"; "intermediate" (intermediate notification); "ack" (SME or user acknowledgement, conversation
      abort: pass on); "mo". Without the esm_class bit a receipted_message_id TLV makes a receipt, and with
      `by_text` a text that holds both an id and a known state does.
    """
    kind = _KINDS[pdu.esm_class & 0xFF]
    if kind != "mo":
        return kind
    if pdu.tlvs and tlv_get(pdu.tlvs, Tag.RECEIPTED_MESSAGE_ID):
        return "receipt"
    if by_text:
        text = read_receipt_text(payload_of(pdu), pdu.data_coding)
        if text.message_id and state_of_word(text.stat) >= 0:
            return "receipt"
    return "mo"


class ReceiptFields(msgspec.Struct, gc=False):
    """What a receipt says.

    `message_id` is that of the TLV if there is one, else that of the text; "" if neither. `state` is an SMPP
    message_state, UNKNOWN (7) where none could be read. `error` is as the carrier wrote it ("" for none) and
    `error_code` the number in it, -1 for none. Dates are as they came: see `parse_date`. `text` is the head
    of the message as echoed (UTF-8 where the receipt was in UCS-2). `readable` is False when neither an id
    nor a state could be read. `state_word` is the text's own word for the state.
    """

    message_id: str
    message_id_from_tlv: str
    message_id_from_text: str
    state: int
    final: bool
    error: str
    error_code: int
    submit_date: str
    done_date: str
    text: bytes
    readable: bool
    state_word: str = ""


# The textbook form, with or without sub/dlvrd and text: nine receipts in ten. No quantifier inside another.
_textbook = re.compile(
    r"id:([^ ]{0,128})(?: sub:[0-9]+ dlvrd:[0-9]+)? submit date:([0-9]{0,32}) done date:([0-9]{0,32})"
    r" stat:([A-Za-z]{0,32}) err:([0-9A-Za-z]{0,32})(?: [Tt]ext:(.*))?",
    re.DOTALL,
).fullmatch

_FINAL = tuple(state in FINAL_STATES for state in range(10))
_ERROR_CODES = {f"{code:03d}": code for code in range(1000)} | {f"{code:04d}": code for code in range(1000)}


def parse_receipt(
    pdu: DeliverSm | DataSm, *, unknown_is_final: bool = False, accepted_is_final: bool = False
) -> ReceiptFields:
    """The fields of a receipt. Never raises; linear. 2 us for the textbook form (measured 2026-11).

    Args:
      pdu: a receipt, as `is_receipt` knows it; also the readable part of one whose last TLV overran.
      unknown_is_final, accepted_is_final: for carriers that send nothing after UNKNOWN or ACCEPTD.
    """
    tlv_id = ""
    state = -1
    payload = b""
    network_tlv = False
    for tag, value in pdu.tlvs:
        # Literals: the name of an enumeration costs as much as the rest of a step. The first of a tag counts.
        if tag == 0x001E:  # receipted_message_id
            tlv_id = tlv_id or value[:128].partition(b"\0")[0].decode("latin-1").strip()
        elif tag == 0x0427:  # message_state
            if state < 0:
                state = value[0] if len(value) == 1 and value[0] <= SKIPPED else _state_of_tlv(value)
        elif tag == 0x0424:  # message_payload
            payload = payload or value
        elif tag == 0x0423:  # network_error_code
            network_tlv = True
    data = payload if type(pdu) is DataSm else pdu.short_message or payload  # type: ignore[union-attr]
    match = _textbook(data.decode("latin-1"))
    if match is not None:
        text_id, submit_date, done_date, word, error, echo = match.groups()
        text = echo.encode("latin-1").rstrip(b"\0") if echo else b""
    else:
        found = read_receipt_text(data, pdu.data_coding)
        if payload and payload is not data and not (found.message_id or found.stat):
            found = read_receipt_text(payload, pdu.data_coding)
        text_id, submit_date, done_date = found.message_id, found.submit_date, found.done_date
        word, error, text = found.stat, found.error, found.text
    if state < 0:
        state = STATE_OF_WORD.get(word, -1)
        if state < 0:
            state = state_of_word(word)
    code = _ERROR_CODES.get(error)
    if code is None:
        code = _number(error)
    if network_tlv and code <= 0:
        network = tlv_network_error(pdu.tlvs)
        if network and (network.code or not error):
            code, error = network.code, str(network.code)
    readable = True
    if state < 0:
        state = UNKNOWN
        readable = bool(tlv_id or text_id)
    final = _FINAL[state]
    if not final and readable:
        final = (unknown_is_final and state == UNKNOWN) or (accepted_is_final and state == ACCEPTED)
    return ReceiptFields(
        tlv_id or text_id,
        tlv_id,
        text_id,
        state,
        final,
        error,
        code,
        submit_date,
        done_date,
        text,
        readable,
        word,
    )


def _state_of_tlv(value: bytes) -> int:
    """message_state of the TLV: one octet by the book; wider integers and ASCII digits occur."""
    state = value[0] if len(value) == 1 else int.from_bytes(value[:4], "big")
    if state > SKIPPED and len(value) == 1 and value.isdigit():
        state = int(value)
    return state if state <= SKIPPED and value else -1


def _number(error: str) -> int:
    """The number in an error field: decimal, or hexadecimal where it has such letters; -1 for none."""
    if not error.isascii() or not error.isalnum() or len(error) > 8:
        return -1
    try:
        return int(error) if error.isdigit() else int(error, 16)
    except ValueError:
        return -1
