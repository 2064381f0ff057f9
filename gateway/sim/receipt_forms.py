"""The ids and receipts that carriers really send: forms of message_id, of receipt text and of the PDU.

Every form was seen in the field or in somebody's test data: hex in the response and zero-padded decimal in
the receipt, fields in another order, dates of 10, 12 or 14 digits, texts cut short, receipts in UCS-2.
"""

import uuid
from random import Random
from time import gmtime, strftime

from gateway.sim.behaviour import STATES, Behaviour
from gateway.sim.message import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    RECEIPTED_MESSAGE_ID,
    Message,
    data_sm_body,
    sm_body,
    tlv,
)
from gateway.sim.wire import DATA_SM, DELIVER_SM

_LONG_STATES = {
    "DELIVRD": "DELIVERED",
    "UNDELIV": "UNDELIVERABLE",
    "REJECTD": "REJECTED",
    "ACCEPTD": "ACCEPTED",
}
_HEAD = "id:{id} sub:001 dlvrd:{ok:03d} "
_DATES = "submit date:{short} done date:{short} "
_END = "stat:{state} err:{err:03d} "
TEXT_FORMS = {
    "standard": _HEAD + _DATES + _END + "text:{text}",
    "order": "sub:001 id:{id} err:{err:03d} dlvrd:{ok:03d} done date:{short} submit date:{short} "
    "text:{text} stat:{state}",
    "no-text-word": _HEAD + _DATES + _END + "{text}",
    "short": "id:{id} " + _DATES + "stat:{state} err:{err:03d}",
    "state-only": "stat:{state}",
    "seconds": _HEAD + "submit date:{seconds} done date:{seconds} " + _END + "Text:{text}",
    "fourteen": _HEAD + "submit date:20{seconds} done date:20{seconds} " + _END + "text:{text}",
    "year-first": _HEAD + "submit date:20{short} done date:20{short} " + _END + "text:{text}",
    "one-digit": "id:{id} sub:1 dlvrd:{ok:d} " + _DATES + "stat:{state} err:{err} Text:{text}",
    "underscore": _HEAD + "submit_date:{short} done_date:{short} " + _END + "txt:{text}",
    "long-state": _HEAD + _DATES + "stat:{long} err:{err:03d} text:{text}",
    "nul-ended": _HEAD + _DATES + _END + "text:{text}\0",
    "cut": _HEAD + _DATES + _END + "te",
}


def id_forms(form: str, number: int, rng: Random) -> tuple[str, str, str]:
    """One message's id in the response, in the receipt's text and in the receipt's TLV."""
    decimal, hexadecimal = str(number), f"{number:x}"
    match form:
        case "decimal":
            return decimal, decimal, decimal
        case "hex":
            return hexadecimal, hexadecimal, hexadecimal
        case "hex-upper":
            return hexadecimal.upper(), hexadecimal.upper(), hexadecimal.upper()
        case "hex-decimal":  # in every public capture of this form, the TLV has the response's hex
            return hexadecimal, f"{number:010d}", hexadecimal
        case "decimal-hex":
            return decimal, hexadecimal, decimal
        case "upper-lower":
            return hexadecimal.upper(), hexadecimal, hexadecimal
        case "zeros":
            return decimal, f"{number:010d}", f"{number:010d}"
        case "uuid":
            made = str(uuid.UUID(int=rng.getrandbits(128), version=4))
            return made, made, made
        case "empty":
            return "", decimal, decimal
    raise ValueError(f"no message_id form is called {form!r}")


def receipt_text(form: str, message_id: str, state: str, unix_s: float) -> str:
    """The text of one receipt. `unix_s` dates it."""
    moment = gmtime(unix_s)
    return TEXT_FORMS[form].format(
        id=message_id,
        state=state,
        long=_LONG_STATES.get(state, state),
        ok=state == "DELIVRD",
        err=0 if state in ("DELIVRD", "ENROUTE", "ACCEPTD") else 34,
        short=strftime("%y%m%d%H%M", moment),
        seconds=strftime("%y%m%d%H%M%S", moment),
        text="",
    )


def receipt_body(
    behaviour: Behaviour, message: Message, ids: tuple[str, str], state: str, unix_s: float
) -> tuple[int, bytes]:
    """The command and body of a receipt for `message`; `ids` are those of the text and of the TLV."""
    text_id, tlv_id = ids
    text, coding = b"", 0
    if behaviour.receipt_form != "tlv":
        words = receipt_text(behaviour.receipt_text, text_id, state, unix_s)
        text = words.encode("ascii")
        if behaviour.receipt_coding != "ascii":
            coding = 8
        if behaviour.receipt_coding == "ucs2":
            text = words.encode("utf-16-be")
    tlvs = b""
    if behaviour.receipt_form != "text":
        tlvs = tlv(RECEIPTED_MESSAGE_ID, tlv_id.encode() + b"\0") + tlv(
            MESSAGE_STATE, bytes((STATES[state],))
        )
    esm_class = behaviour.receipt_esm_class or 0
    if esm_class and state == "ENROUTE":
        esm_class = 0x20  # intermediate delivery notification: SMPP 3.4 section 5.2.12
    if behaviour.receipt_pdu == "data_sm":
        body = data_sm_body(
            message.destination,
            message.source,
            esm_class=esm_class,
            data_coding=coding,
            tlvs=(tlv(MESSAGE_PAYLOAD, text) if text else b"") + tlvs,
        )
        return DATA_SM, body
    if len(text) > 254:
        text, tlvs = b"", tlv(MESSAGE_PAYLOAD, text) + tlvs
    body = sm_body(
        message.destination, message.source, text, esm_class=esm_class, data_coding=coding, tlvs=tlvs
    )
    return DELIVER_SM, body
