"""Events of an account's log as the reports that Kannel's and Jasmin's clients know: pure, a table each.

A report of the gateway's own has no receipt of a carrier behind it: the carrier's ROK (TELL_ACCEPTED), its
refusal, or an end that we gave a message ourselves.
"""

from typing import Literal

import msgspec

from filters.statuses import status_name
from filters.verdict import OURS_FROM, Reason, smpp_status
from gateway.customer_pdus import message_id_of
from gateway.legacy import ids
from gateway.legacy.callback import Callback
from gateway.legacy.escapes import Values, encode
from gateway.smpp.constants import CommandId, MessageState
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import DeliverSm
from gateway.smpp.receipts import ReceiptFields, parse_receipt
from gateway.smpp.times import receipt_date
from gateway.smpp.udh import payload_of
from store.model import NO_ERROR, Part, Receipt

DELIVERED, UNDELIVERED, BUFFERED, ACCEPTED, REFUSED = 1, 2, 4, 8, 16  # Kannel's dlr-mask
_WORDS = {
    MessageState.DELIVERED: "DELIVRD",
    MessageState.EXPIRED: "EXPIRED",
    MessageState.DELETED: "DELETED",
    MessageState.UNDELIVERABLE: "UNDELIV",
    MessageState.ACCEPTED: "ACCEPTD",
    MessageState.REJECTED: "REJECTD",
}
_ON_THE_WAY = frozenset({MessageState.SCHEDULED, MessageState.ENROUTE, MessageState.ACCEPTED})
# Our own ends of messages that a carrier had taken: no refusal of theirs.
_AFTER_ACCEPTANCE = frozenset({Reason.NO_RECEIPT, Reason.OUTCOME_UNKNOWN})
Pairs = list[tuple[str, str]]


class Told(msgspec.Struct):
    """One event, read for either form. `fields` None: no receipt of a carrier is behind it."""

    part: Part
    receipt: Receipt
    carrier: str
    service: str  # system_id of the account
    fields: ReceiptFields | None = None
    text: bytes = b""  # of the carrier's receipt
    foreign_id: str = ""

    @property
    def own(self) -> Literal["accepted", "refused", "ended", ""]:
        """What of our own it tells, "" for a carrier's receipt."""
        if self.fields is not None:
            return ""
        if self.receipt.message_state == MessageState.ACCEPTED:
            return "accepted"
        return "ended" if self.receipt.error in _AFTER_ACCEPTANCE else "refused"

    @property
    def status(self) -> int:
        """command_status of the refusal."""
        error = self.receipt.error
        if error == NO_ERROR:
            return 0x45
        return error if error < OURS_FROM else smpp_status(error)


def read(part: Part, receipt: Receipt, carrier: str, service: str) -> Told:
    """An event of the store. Never raises: what cannot be read is left out."""
    told = Told(part, receipt, carrier, service)
    if receipt.raw:
        pdu = decode_body(CommandId.DELIVER_SM, receipt.raw)
        if isinstance(pdu, DeliverSm):
            told.fields = parse_receipt(pdu)
            told.text = payload_of(pdu)
            told.foreign_id = told.fields.message_id
        else:
            told.fields = ReceiptFields("", "", "", receipt.message_state, True, "", -1, "", "", b"", False)
    return told


# -- Kannel ---------------------------------------------------------------------------------------


def kannel_kind(told: Told) -> int:
    """Which bit of dlr-mask a report is."""
    if told.own:
        return {"accepted": ACCEPTED, "refused": REFUSED, "ended": UNDELIVERED}[told.own]
    state = told.receipt.message_state
    if state == MessageState.DELIVERED:
        return DELIVERED
    return BUFFERED if state in _ON_THE_WAY else UNDELIVERED


def kannel_wants(mask: int, kind: int) -> bool:
    """Whether a mask asks for it. A refusal by the carrier is told to who asks for failures, too."""
    return bool(mask & (REFUSED | UNDELIVERED if kind == REFUSED else kind))


def kannel_values(told: Told, callback: Callback) -> Values | None:
    """What the escape codes of dlr-url stand for, None for a report that the mask does not ask for."""
    kind = kannel_kind(told)
    if not kannel_wants(callback.mask, kind):
        return None
    text, meta = told.text, callback.meta.encode("latin-1", "replace")
    if kind == ACCEPTED:
        text = b"ACK/"
    elif kind == REFUSED:
        text = f"NACK/0x{told.status:08x}/{status_name(told.status)}".encode()
    elif told.fields is not None and 0 <= told.fields.error_code < 1 << 16:
        # Network type 3 (GSM) where the receipt does not say which, and the number in two octets.
        octets = b"\3" + told.fields.error_code.to_bytes(2, "big")
        meta = b"?smpp?dlr_err=" + encode(octets).encode() + b"&"
    return Values(
        handset=b"%d" % told.part.dest,
        ours=told.part.source,
        text=text,
        kind=kind,
        time_s=told.receipt.received_at // 1000,
        carrier=told.carrier,
        message_id=ids.show(message_id_of(told.part)),
        foreign_id=told.foreign_id,
        service=told.service,
        account=callback.account.encode("latin-1", "replace"),
        meta_data=meta,
        dlr_url=callback.url.encode("latin-1", "replace"),
    )


# -- Jasmin ---------------------------------------------------------------------------------------


def jasmin_pairs(told: Told, callback: Callback) -> Pairs | None:
    """What is pushed, None for a report of a level that was not asked for.

    Whoever asked for level 2 only is told of a refusal, too, at that level: Jasmin says nothing then.
    """
    level = callback.level
    own = told.own
    if own in ("accepted", "refused") and level in (1, 3):
        status = 0 if own == "accepted" else told.status
        return _base(told, 1, status_name(status))
    if own == "accepted" or level == 1:
        return None
    state = told.receipt.message_state
    word = _WORDS.get(MessageState(state), "UNKNOWN") if 0 <= state <= 9 else "UNKNOWN"
    if state in _ON_THE_WAY:
        word = "ACCEPTD"
    fields = told.fields
    delivered = "001" if state == MessageState.DELIVERED else "000"
    return [
        *_base(told, 2, word),
        ("id_smsc", told.foreign_id),
        ("sub", "001"),
        ("dlvrd", delivered),
        ("subdate", (fields.submit_date if fields else "") or receipt_date(told.part.accepted_at).decode()),
        ("donedate", (fields.done_date if fields else "") or receipt_date(told.receipt.received_at).decode()),
        ("err", (fields.error if fields else "") or "000"),
        ("text", fields.text.decode("utf-8", "replace") if fields else ""),
    ]


def _base(told: Told, level: int, status: str) -> Pairs:
    return [
        ("id", ids.show(message_id_of(told.part))),
        ("level", str(level)),
        ("message_status", status),
        ("connector", told.carrier),
    ]
