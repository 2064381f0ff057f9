"""What the carrier does with one message: answer or not, how, when, and which receipts follow.

Decisions come from a random stream named by the seed, the message and its copy, so the same message meets the
same fate whatever came before it, and leaving one message out of a run changes nothing for the others.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import msgspec

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier_log import PartSeen, ReceiptSeen
from gateway.sim.message import Message, read_data_sm, read_sm
from gateway.sim.receipt_forms import id_forms, receipt_body
from gateway.sim.wire import DELIVER_SM, GENERIC_NACK, RESPONSE, SUBMIT_SM, header_only, pdu

if TYPE_CHECKING:
    from gateway.sim.carrier import SimCarrier
    from gateway.sim.carrier_link import CarrierLink

RSYSERR, RMSGQFUL, RSUBMITFAIL, RTHROTTLED = 0x08, 0x14, 0x45, 0x58
# A number no honest window reaches: an answer under it cannot be matched by accident.
WRONG_SEQUENCE_OFFSET = 1_000_000


class Fate(msgspec.Struct, frozen=True):
    """How one submit_sm is answered."""

    status: int
    latency_s: float
    lost: bool
    nack: bool
    twice: bool
    wrong_sequence_number: bool


class PlannedReceipt(msgspec.Struct, frozen=True):
    """One receipt to come: `delay_s` counts from the response; early ones go before it."""

    delay_s: float
    state: str
    early: bool = False
    other_bind: bool = False
    unknown_id: bool = False


class Delivery(msgspec.Struct):
    """One deliver_sm or data_sm on its way to the peer."""

    command_id: int
    body: bytes
    message_id: str
    state: str  # "" for an MO
    seen: ReceiptSeen | None = None


def decide(behaviour: Behaviour, rng: Random, *, over_rate: bool, over_window: bool) -> Fate:
    """The answer to one message. Every knob draws, so turning one does not shift the others."""
    latency = behaviour.response_latency_s + rng.random() * behaviour.response_jitter_s
    lot = rng.random()
    status = 0
    refusals = (
        (behaviour.throttled, RTHROTTLED),
        (behaviour.queue_full, RMSGQFUL),
        (behaviour.system_errors, RSYSERR),
        (behaviour.submit_fails, RSUBMITFAIL),
        *((share, int(code, 16)) for code, share in behaviour.errors.items()),
    )
    for share, code in refusals:
        if lot < share:
            status = code
            break
        lot -= share
    if over_window:
        status = behaviour.window_status
    if over_rate:
        status = behaviour.rate_status
    return Fate(
        status=status,
        latency_s=latency,
        lost=rng.random() < behaviour.lost_responses,
        nack=rng.random() < behaviour.generic_nacks,
        twice=rng.random() < behaviour.duplicate_responses,
        wrong_sequence_number=rng.random() < behaviour.wrong_sequence_numbers,
    )


def plan_receipts(behaviour: Behaviour, rng: Random, registered_delivery: int) -> list[PlannedReceipt]:
    """The receipts of one accepted message, by registered_delivery (SMPP 3.4 section 5.2.17)."""
    weights = behaviour.states or {"DELIVRD": 1.0}
    final = rng.choices(tuple(weights), tuple(weights.values()))[0]
    delay = behaviour.receipts_delay_s + rng.random() * behaviour.receipts_jitter_s
    missing = rng.random() < behaviour.missing_receipts
    early = rng.random() < behaviour.early_receipts
    other = rng.random() < behaviour.other_bind_receipts
    copies = 1 + (behaviour.duplicate_copies if rng.random() < behaviour.duplicate_receipts else 0)
    before = rng.random() < behaviour.intermediate_receipts
    after = rng.random() < behaviour.late_intermediates
    unknown = rng.random() < behaviour.unknown_receipts
    wanted = registered_delivery & 3
    if not behaviour.receipts or wanted == 0 or missing:
        return []
    if (wanted == 2 and final == "DELIVRD") or (wanted == 3 and final != "DELIVRD"):
        return []
    receipts = [PlannedReceipt(delay, final, early, other)] * copies
    enroute = PlannedReceipt(delay, "ENROUTE", early, other)
    receipts[:0] = [enroute] * before
    receipts[len(receipts) :] = [enroute] * after
    receipts[len(receipts) :] = [PlannedReceipt(delay, final, unknown_id=True)] * unknown
    return receipts


class Answers:
    """The full path of one carrier: message in, timed answers and receipts out."""

    def __init__(self, carrier: "SimCarrier") -> None:
        self._carrier = carrier
        self._number = carrier.behaviour.id_first
        self.held: deque[Delivery] = deque()  # for want of a bind that receives, or of room in its window

    def submit(self, link: "CarrierLink", command_id: int, sequence_number: int, body: bytes) -> None:
        """Take one message. Raises message.Malformed."""
        carrier = self._carrier
        behaviour = carrier.behaviour
        message = read_sm(body) if command_id == SUBMIT_SM else read_data_sm(body)
        now = carrier.now()
        link.submits += 1
        link.outstanding += 1
        carrier.counts["submits"] += 1
        part = carrier.log.arrived(now, link.number, sequence_number, message)
        rng = Random(f"{carrier.seed}/{message.destination!r}/{message.text!r}/{message.part}/{part.copy}")
        fate = decide(
            behaviour,
            rng,
            over_rate=0 < behaviour.rate < carrier.log.parts_last_second,
            over_window=0 < behaviour.window < link.outstanding,
        )
        ids = ("", "", "")
        receipts: list[PlannedReceipt] = []
        if fate.status == 0 and not fate.nack:
            ids = id_forms(behaviour.id_form, self._number, rng)
            self._number += 1
            receipts = plan_receipts(behaviour, rng, message.registered_delivery)
        answer = partial(self._answer, link, command_id, part, fate, ids[0])
        for receipt in receipts:
            if receipt.early:
                self._send_receipt(link, message, ids, receipt)
        self._later(fate.latency_s, answer)
        for receipt in receipts:
            if not receipt.early:
                send = partial(self._send_receipt, link, message, ids, receipt)
                self._later(fate.latency_s + receipt.delay_s, send)
        self._link_troubles(link)

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        if delay_s > 0:
            self._carrier.timers.at(self._carrier.now() + delay_s, action)
        else:
            action()

    def _answer(
        self, link: "CarrierLink", command_id: int, part: PartSeen, fate: Fate, message_id: str
    ) -> None:
        carrier = self._carrier
        # A lost one too: the peer frees its slot when it gives up, which we cannot see.
        link.outstanding -= 1
        if fate.lost:
            carrier.counts["responses_lost"] += 1
            return
        sequence_number = part.sequence_number
        if fate.wrong_sequence_number:
            sequence_number += WRONG_SEQUENCE_OFFSET
        part.status = RSYSERR if fate.nack else fate.status
        part.message_id = message_id
        if fate.nack:
            answer = header_only(GENERIC_NACK, sequence_number, RSYSERR)
        elif fate.status == 0:
            answer = pdu(command_id | RESPONSE, sequence_number, message_id.encode() + b"\0")
        else:
            body = b"\0" if carrier.behaviour.error_bodies else b""
            answer = pdu(command_id | RESPONSE, sequence_number, body, fate.status)
        carrier.counts["refused" if part.status else "accepted"] += 1
        link.put(answer * (2 if fate.twice else 1))

    def _link_troubles(self, link: "CarrierLink") -> None:
        behaviour, count = self._carrier.behaviour, link.submits
        if count == behaviour.mute_after:
            link.mute = True
        if count == behaviour.deaf_after:
            link.deaf.set()
        if count == behaviour.unbind_after:
            link.unbind()
        if count == behaviour.disconnect_after:
            link.drop()
        if count == behaviour.reset_after:
            link.reset()

    def _send_receipt(
        self, link: "CarrierLink", message: Message, ids: tuple[str, str, str], planned: PlannedReceipt
    ) -> None:
        carrier = self._carrier
        if planned.unknown_id:
            ids = ("", "4000000000", "4000000000")
        command_id, body = receipt_body(
            carrier.behaviour, message, (ids[1], ids[2]), planned.state, carrier.wall()
        )
        delivery = Delivery(command_id, body, ids[1], planned.state)
        self.deliver(delivery, link, other=planned.other_bind)

    def deliver(
        self, delivery: Delivery, prefer: "CarrierLink | None" = None, *, other: bool = False
    ) -> None:
        """Send a deliver_sm on `prefer`, on another receiving bind, or hold it until there is one."""
        carrier = self._carrier
        links = carrier.receivers()
        if other and len(links) > 1:
            links = [link for link in links if link is not prefer]
        link = prefer if prefer in links else next(iter(links), None)
        limit = carrier.behaviour.receipt_window
        if link is None or 0 < limit <= len(link.delivers_open):
            self.held.append(delivery)
            return
        number = link.next_sequence_number()
        now = carrier.now()
        # Bound-in carriers of the second dialect send receipts and MO as submit_sm.
        command_id = link.deliver_command if delivery.command_id == DELIVER_SM else delivery.command_id
        link.delivers_open[number] = delivery
        delivery.seen = ReceiptSeen(now, link.number, delivery.message_id, delivery.state)
        carrier.log.receipts.append(delivery.seen)
        carrier.counts["receipts" if delivery.state else "mo"] += 1
        link.put(pdu(command_id, number, delivery.body))
        if carrier.behaviour.receipt_retry_s:
            carrier.timers.at(
                now + carrier.behaviour.receipt_retry_s, partial(self._retry, link, number, delivery)
            )

    def _retry(self, link: "CarrierLink", number: int, delivery: Delivery) -> None:
        if link.delivers_open.get(number) is delivery and not link.closed:
            del link.delivers_open[number]
            self._again(delivery)

    def _again(self, delivery: Delivery) -> None:
        self._carrier.counts["receipts_again"] += 1
        self.deliver(delivery)

    def delivered(self, link: "CarrierLink", sequence_number: int, status: int) -> None:
        """The peer answered a deliver_sm (or data_sm) of ours."""
        carrier = self._carrier
        delivery = link.delivers_open.pop(sequence_number, None)
        if delivery is None:
            carrier.counts["responses_unmatched"] += 1
            return
        assert delivery.seen is not None
        delivery.seen.status = status
        carrier.counts["deliveries_refused" if status else "deliveries_answered"] += 1
        if status and carrier.behaviour.receipt_retry_s:
            carrier.timers.at(
                carrier.now() + carrier.behaviour.receipt_retry_s, partial(self._again, delivery)
            )
        self.release()

    def release(self) -> None:
        """Send what was held, as far as binds and windows allow."""
        for _ in range(len(self.held)):
            before = len(self.held)
            self.deliver(self.held.popleft())
            if len(self.held) == before:  # it came back
                self.held.rotate(1)
                return

    def link_lost(self, link: "CarrierLink") -> None:
        """A link died: a carrier that retries sends what was unanswered on the next one."""
        lost, link.delivers_open = list(link.delivers_open.values()), {}
        if self._carrier.behaviour.receipt_retry_s:
            for delivery in lost:
                self._again(delivery)
        else:
            self._carrier.counts["deliveries_unanswered"] += len(lost)
