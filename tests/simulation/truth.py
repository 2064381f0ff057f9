"""What really happened, as the world saw it: submissions, durable rows, copies at carriers, receipts, deliveries.

Filled by peers and by the store's port, never by the daemon; the invariants are questions to it.
"""

from typing import Any

import msgspec

from gateway.customer_pdus import shown_id
from gateway.smpp.constants import VERSION_33, CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import SubmitSm
from store.model import LINK_LOST, NO_ANSWER, Changes, State
from store.port import Applied
from tests.simulation.messages import cut, number_of

Key = tuple[int, int, int]  # submission, destination, number of the part

FINAL = {
    0x2: "DELIVRD", 0x3: "EXPIRED", 0x4: "DELETED", 0x5: "UNDELIV", 0x7: "UNKNOWN", 0x8: "REJECTD",
}  # fmt: skip


class Submission(msgspec.Struct):
    """One submit of a customer, as it meant it."""

    n: int
    account: str
    text: str
    data_coding: int
    source: bytes
    dests: list[int]
    wanted: int
    args: dict[str, Any]
    seq: int = 1  # a segment that the customer has cut itself: which
    sent_at: float = -1.0
    answered_at: float = -1.0
    status: int = -1
    message_id: str = ""
    many: bool = False  # submit_multi: one id for all
    cancelled_at: float = -1.0  # when cancel_sm was answered ROK
    replaced_by: int = 0
    lost: bool = False  # the connection ended before the answer


class PartTruth(msgspec.Struct):
    """A durable part and its life."""

    id: int
    key: Key
    account: int
    carrier: int
    lane: int
    part_no: int
    parts: int
    expires_at: int
    deliver_at: int
    wanted: int
    durable_at: float
    state: int
    flags: int
    carriers: set[int]
    accepted_at: list[float] = []  # when a ROK answer was durable
    unknown_at: list[float] = []  # when an unknown outcome was durable
    retried: bool = False  # some attempt was refused for now
    final: int = 0
    final_at: float = -1.0
    final_wall_ms: int = 0


class Copy(msgspec.Struct):
    """A submit_sm that reached a carrier."""

    key: Key
    carrier: str
    connection: int
    place: int  # how many submits the connection had brought before
    at: float
    sent_at: float
    octets: bytes
    total: int
    data_coding: int
    source: bytes
    taken: bool = False
    status: int = -1
    answered_at: float = -1.0
    answer_sent: bool = False
    smsc_id: str = ""


class CarrierReceipt(msgspec.Struct):
    """A receipt that a carrier has to get rid of."""

    number: int
    carrier: str
    key: Key
    smsc_id: str
    state: int
    reused: bool  # its id had been given before
    epoch: int  # of its carrier: a restart may forget it
    acked_at: float = -1.0
    sent: int = 0


class Heard(msgspec.Struct):
    """A deliver_sm that reached a customer."""

    at: float
    account: str
    message_id: str  # "" for an inbound message
    state: int
    n: int  # of an inbound message
    answered: int  # the status it was answered with, -1 for none
    dest: bytes = b""
    link: int = 0
    sent_at: float = 0.0


class Inbound(msgspec.Struct):
    """One segment of an MO of a carrier."""

    n: int
    part: int
    carrier: str
    account: str
    epoch: int
    acked_at: float = -1.0


class Truth:
    def __init__(self) -> None:
        self.submissions: dict[int, Submission] = {}
        self.parts: dict[int, PartTruth] = {}
        self.part_of: dict[Key, int] = {}
        self.shown: dict[str, int] = {}  # what customers of 3.3 are told instead of a part's id
        self.alias: dict[Key, Key] = {}  # replace_sm: the new text's key -> the part's own
        self.replaced_at: dict[int, list[tuple[float, int]]] = {}  # part id -> (when, new submission)
        self.copies: dict[Key, list[Copy]] = {}
        self.receipts: dict[int, CarrierReceipt] = {}
        self.inbound: dict[tuple[int, int], Inbound] = {}
        self.heard: list[Heard] = []
        self.accepted_ids: dict[tuple[int, str], int] = {}  # (carrier, its id) -> part, as recorded
        self.stored_receipts: dict[int, list[tuple[float, int]]] = {}  # carrier receipt -> (when, part id)
        self.parked_receipts: dict[int, float] = {}  # carrier receipt -> when parked
        self.stored_inbound: dict[tuple[int, int], float] = {}
        self.listed: dict[int, list[list[float]]] = {}  # number -> [acknowledged, removed] of the blacklist
        self.crashes: list[tuple[float, str]] = []
        self.starts: list[float] = []
        self.highest_id = 0
        self.problems: list[tuple[str, str]] = []

    def complain(self, invariant: str, text: str) -> None:
        self.problems.append((invariant, text))

    # -- rows that became durable -----------------------------------------------------------------

    def durable(self, changes: Changes, applied: Applied, now: float, wall_ms: int) -> None:
        for part in changes.parts:
            self._part(part, now)
        for attempt in changes.attempts:
            part = self.parts.get(attempt.part_id)
            if part is None:
                self.complain("I1", f"an attempt of part {attempt.part_id}, which is not there")
                continue
            if attempt.status == 0:
                part.accepted_at.append(now)
                self.accepted_ids[attempt.carrier, attempt.smsc_message_id] = part.id
            elif attempt.status in (LINK_LOST, NO_ANSWER):
                part.unknown_at.append(now)
            else:
                part.retried = True
        refused_parts = set(applied.refused_parts)
        for part_id, state, carrier in changes.moved:
            if part_id in self.parts and part_id not in refused_parts:
                self.parts[part_id].state = state
                self.parts[part_id].carriers.add(carrier)
        for part_id, flags in changes.flagged:
            if part_id in self.parts:
                self.parts[part_id].flags = flags
        for part in changes.replaced:
            if part.id in self.parts and part.id not in refused_parts:
                self._replaced(part, now)
        refused = {id(outcome) for outcome in applied.refused_outcomes}
        for outcome in changes.outcomes:
            if id(outcome) in refused:
                continue
            known = self.parts[outcome.part_id]
            if known.final:
                self.complain(
                    "I2", f"part {known.id} {known.key} ends as {State(outcome.state).name} at {now:.3f},"
                    f" after {State(known.final).name} at {known.final_at:.3f}",
                )  # fmt: skip
            known.final, known.final_at, known.final_wall_ms = outcome.state, now, wall_ms
        for receipt in changes.receipts:
            number = receipt_number(receipt.raw)
            if number:
                self.stored_receipts.setdefault(number, []).append((now, receipt.part_id))
        for parked in changes.parked:
            self.parked_receipts[receipt_number(parked.raw)] = now
        for row in changes.inbound:
            if row.part_no:  # 0: an incomplete message, put together for readers
                self.stored_inbound.setdefault((number_of(row.body), row.part_no), now)

    def _part(self, part: Any, now: float) -> None:
        if part.id <= self.highest_id:
            self.complain("I16", f"part id {part.id} comes after {self.highest_id}")
        self.highest_id = max(self.highest_id, part.id)
        n, seq = identify(part.body, part.part_no)
        key = (n, part.dest, seq)
        self.parts[part.id] = PartTruth(
            part.id, key, part.account, part.carrier, part.lane, part.part_no, part.parts, part.expires_at,
            part.deliver_at, part.registered_delivery, now, part.state, part.flags, {part.carrier},
        )  # fmt: skip
        if key in self.part_of:
            self.complain("I1", f"submission {key} was stored twice: {self.part_of[key]} and {part.id}")
        self.part_of[key] = part.id
        self.shown[shown_id(part.id, VERSION_33).decode()] = part.id

    def _replaced(self, part: Any, now: float) -> None:
        known = self.parts[part.id]
        n, seq = identify(part.body, part.part_no)
        new = (n, part.dest, seq)
        self.alias[new] = known.key
        self.part_of[new] = part.id
        self.replaced_at.setdefault(part.id, []).append((now, n))
        known.expires_at, known.deliver_at, known.wanted = (
            part.expires_at,
            part.deliver_at,
            part.registered_delivery,
        )
        known.state, known.flags = part.state, part.flags

    # -- questions --------------------------------------------------------------------------------

    def copies_of(self, part: PartTruth) -> list[Copy]:
        keys = [part.key, *(key for key, own in self.alias.items() if own == part.key)]
        found = [copy for key in keys for copy in self.copies.get(key, ())]
        return sorted(found, key=lambda copy: copy.at)

    def message_parts(self, head: int) -> list[PartTruth]:
        """The parts of a message by its id."""
        first = self.parts.get(head)
        return [self.parts[head + n] for n in range(first.parts) if head + n in self.parts] if first else []


def identify(body: bytes, part_no: int) -> tuple[int, int]:
    """(submission, number of the part) of a stored submit_sm body."""
    pdu = decode_body(CommandId.SUBMIT_SM, body)
    assert isinstance(pdu, SubmitSm)
    octets, seq, _ = cut(pdu.esm_class, pdu.short_message)
    return number_of(octets), seq


def receipt_number(raw: bytes) -> int:
    """Which of the carriers' receipts these octets are, 0 for one that the gateway made."""
    at = raw.find(b"\x15\x01\x00\x04")
    return int.from_bytes(raw[at + 4 : at + 8], "big") if at >= 0 else 0
