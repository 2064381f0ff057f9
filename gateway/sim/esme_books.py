"""The ESME's books: what was submitted, what came back for it, what never did."""

from collections import Counter

import msgspec

from gateway.sim.figures import Percentiles, percentiles
from gateway.sim.message import MESSAGE_STATE, RECEIPTED_MESSAGE_ID, Message

INTERMEDIATE = frozenset(("ENROUTE", "ACCEPTD"))
_STATE_WORDS = {1: "ENROUTE", 2: "DELIVRD", 3: "EXPIRED", 4: "DELETED", 5: "UNDELIV", 6: "ACCEPTD"} | {
    7: "UNKNOWN",
    8: "REJECTD",
}


class Sent(msgspec.Struct):
    """One submit_sm and everything that came back for it. Moments are trio's clock."""

    bind: int
    sequence_number: int
    destination: str
    sent_at: float
    answered_at: float = -1.0
    status: int = -1
    message_id: str = ""
    states: list[str] = []  # of its receipts, in the order they came
    final_at: float = -1.0


class EsmeReport(msgspec.Struct, frozen=True):
    """What one run found. Statuses are in hex."""

    submitted: int
    accepted: int
    refused: dict[str, int]
    unanswered: int
    receipts: dict[str, int]
    early: int
    duplicates: int
    missing: int
    unmatched: int
    inbound: int
    binds_lost: int
    accept_ms: Percentiles
    receipt_ms: Percentiles


def receipt_of(message: Message) -> tuple[str, str] | None:
    """The id and state of a receipt, TLVs first; None of a message that is no receipt."""
    state_tlv = message.tlvs.get(MESSAGE_STATE)
    if not message.esm_class & 0x3C and RECEIPTED_MESSAGE_ID not in message.tlvs:
        return None
    text = message.text.decode("utf-16-be" if message.data_coding == 8 else "latin-1", "replace")
    words = text.replace("stat:", " stat:").split()
    fields = dict(word.split(":", 1) for word in words if ":" in word)
    message_id = fields.get("id", "")
    if RECEIPTED_MESSAGE_ID in message.tlvs:
        message_id = message.tlvs[RECEIPTED_MESSAGE_ID].rstrip(b"\0").decode("latin-1")
    state = fields.get("stat", "")
    if state_tlv:
        state = _STATE_WORDS.get(state_tlv[0], str(state_tlv[0]))
    return message_id, state


class EsmeBooks:
    """Filled by the binds of one ESME."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.by_id: dict[str, Sent] = {}
        self.parked: dict[str, list[str]] = {}  # states of receipts whose id is not known (yet)
        self.inbound: list[Message] = []  # MO
        self.early = 0
        self.duplicates = 0
        self.binds_lost = 0
        self.counts: Counter[str] = Counter()

    def answered(self, sent: Sent, now: float, status: int, message_id: str) -> None:
        """A response (or generic_nack) for one submit_sm."""
        sent.answered_at, sent.status, sent.message_id = now, status, message_id
        if status or not message_id:
            return
        self.by_id[message_id] = sent
        for state in self.parked.pop(message_id, ()):
            self.early += 1
            self._receipt(sent, now, state)

    def received(self, message: Message, now: float) -> None:
        """A deliver_sm or data_sm: a receipt or an MO."""
        receipt = receipt_of(message)
        if receipt is None:
            self.inbound.append(message)
            return
        message_id, state = receipt
        sent = self.by_id.get(message_id)
        if sent is None:
            self.parked.setdefault(message_id, []).append(state)
        else:
            self._receipt(sent, now, state)

    def _receipt(self, sent: Sent, now: float, state: str) -> None:
        if state not in INTERMEDIATE:
            if sent.final_at >= 0:
                self.duplicates += 1
            sent.final_at = now
        sent.states.append(state)

    @property
    def unanswered(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.status < 0]

    @property
    def missing(self) -> list[Sent]:
        """Accepted, but without a final receipt."""
        return [sent for sent in self.sent if sent.status == 0 and sent.final_at < 0]

    def report(self) -> EsmeReport:
        """The figures so far."""
        answered = [sent for sent in self.sent if sent.status >= 0]
        accepted = [sent for sent in answered if sent.status == 0]
        refused = Counter(f"{sent.status:08X}" for sent in answered if sent.status)
        return EsmeReport(
            submitted=len(self.sent),
            accepted=len(accepted),
            refused=dict(sorted(refused.items())),
            unanswered=len(self.unanswered),
            receipts=dict(sorted(Counter(state for sent in accepted for state in sent.states).items())),
            early=self.early,
            duplicates=self.duplicates,
            missing=len(self.missing),
            unmatched=sum(len(states) for states in self.parked.values()),
            inbound=len(self.inbound),
            binds_lost=self.binds_lost,
            accept_ms=percentiles(sent.answered_at - sent.sent_at for sent in answered),
            receipt_ms=percentiles(
                sent.final_at - sent.answered_at for sent in accepted if sent.final_at >= 0
            ),
        )
