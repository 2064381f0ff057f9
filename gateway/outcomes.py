"""What becomes of a part after it left: answers of carriers, receipts, timeouts, lost binds, expiry.

Each function takes what one pass over one bind gave, fills a `Changes`, and returns what must happen once that
is durable (events for customers). Nothing is acknowledged to a carrier before its receipt is on disk (P4).
Synchronous; the order inside a pass is answers first, receipts second.
"""

from collections.abc import Callable, Iterable, Sequence

from filters.verdict import OURS_FROM, Reason
from gateway.carriers import CarrierState, Flight
from gateway.correlation import digits_of, same_subscriber
from gateway.delivery import RECEIPT, Event
from gateway.message_states import MESSAGE_STATE_OF_STATE, STATE_OF_MESSAGE_STATE, wants
from gateway.ports import Clock
from gateway.quota import QuotaBook, UsageTally
from gateway.smpp.constants import MessageState, RegisteredDelivery, Status
from gateway.smpp.pdu import DataSm, DeliverSm, Pdu
from gateway.smpp.receipts import ReceiptFields
from gateway.split import SplitMessages
from store.ids import IdSource, id_day
from store.model import (
    LINK_LOST,
    NO_ANSWER,
    NO_ERROR,
    Attempt,
    Changes,
    EventFor,
    Outcome,
    ParkedReceipt,
    Part,
    PartFlag,
    Receipt,
    State,
)

THROTTLING = frozenset({Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL})
TEMPORARY = frozenset({Status.ESME_RSYSERR, Status.ESME_RX_T_APPN})

# Parts that receipts may not end on the straight way: of one message, or perhaps with several ids. Of these two
# objects may be in memory, one for each id, and only the first end counts.
_UNUSUAL = PartFlag.SPLIT_BY_US | PartFlag.MAYBE_DUPLICATE
_SPLIT = PartFlag.SPLIT_BY_US
_TELL_ACCEPTED = PartFlag.TELL_ACCEPTED
_SENT, _FINAL_FROM = int(State.SENT), int(State.DELIVERED)
FOR_BINDS = EventFor.BINDS

ATTEMPTS_MAX = 1_000  # numbered; further ones of a part that is refused for days share the last number
ENDED_MAX = 20_000  # ends to remember while readings from before them are under way: 2 MB
UNSETTLED_MAX = 10_000  # parts that ended in doubt and may still prove to have been sent
PARKED_KEYS_MAX = 100_000  # of receipts that match nothing: 100 MB; older ones stay in the store alone


class Outcomes:
    def __init__(
        self,
        clock: Clock,
        ids: IdSource,
        quota: QuotaBook,
        user_of: Callable[[int], int],
        splits: SplitMessages,
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._quota = quota
        self._user_of = user_of
        self._splits = splits
        self.readers: dict[int, int] = {}  # account -> EventFor bits, where others than binds hear of it
        self.parked: dict[tuple[int, str], list[tuple[ParkedReceipt, ReceiptFields]]] = {}
        self._unsettled: dict[int, None] = {}
        self._ended: dict[int, None] = {}  # lately, and not on the straight way
        self.duplicate_receipts = 0
        self.unmatched_receipts = 0

    # -- answers ----------------------------------------------------------------------------------

    def answers(
        self,
        carrier: CarrierState,
        bind: int,
        answers: Sequence[tuple[Flight, Pdu]],
        changes: Changes,
        *,
        late: bool = False,
    ) -> list[Event]:
        """submit_sm_resp (or generic_nack) for our submits. Returns events for customers."""
        now_ms = self._clock.wall_ms()
        attempts, remember = changes.attempts, carrier.correlation.remember
        tries, parked, tally = carrier.tries, self.parked, UsageTally(self._quota)
        settle, user_of = tally.settle, self._user_of
        retry: list[Part] = []
        events: list[Event] = []
        accepted = 0
        throttled = False
        for flight, response in answers:
            part = flight.part
            status = response.command_status
            smsc_id = ""
            if status == 0:
                raw_id: bytes = getattr(response, "message_id", b"")
                smsc_id = raw_id.decode("latin-1")
                accepted += 1
                if late:
                    # It was put back when its time was up: do not send it again.
                    carrier.withdraw(part.id)
                if smsc_id:
                    remember(smsc_id, part)
                if tries:
                    tries.pop(part.id, None)
                if part.state < _SENT or part.state == State.HELD:
                    settle(user_of(part.account), id_day(part.id))
                    part.state = _SENT
                    if part.flags & _TELL_ACCEPTED:
                        events.append(self._accepted(carrier, bind, part, now_ms, changes))
                elif part.id in self._unsettled:
                    # It ended as not sent, and its parts were given back: it was sent, after all.
                    del self._unsettled[part.id]
                    tally.use(user_of(part.account), id_day(part.id))
            elif flight.n >= ATTEMPTS_MAX and self._decided(part):
                continue  # must not be written over the answer that decided
            attempts.append(
                Attempt(
                    part.id,
                    flight.n,
                    carrier.id,
                    bind,
                    response.sequence_number,
                    flight.sent_at,
                    now_ms,
                    status,
                    smsc_id,
                    flight.pdu,
                )
            )
            if status == 0:
                if parked and smsc_id:
                    events += self._match_parked(carrier, smsc_id, part, changes)
                continue
            carrier.refused[status] = carrier.refused.get(status, 0) + 1
            carrier.last_refusal = (now_ms, status)
            if self._decided(part) or (late and part.state != State.HELD):
                continue  # another attempt has decided, or will
            if status in THROTTLING or status in TEMPORARY or status in carrier.carrier.retry_statuses:
                tries[part.id] = min(flight.n, ATTEMPTS_MAX - 1)
                retry.append(part)
                throttled = throttled or status in THROTTLING
                if status in THROTTLING:
                    carrier.throttle(self._clock.now(), carrier.accepted_rate)
                else:
                    carrier.adaptive.paused_until = self._clock.now() + carrier.adaptive.PAUSE_S
            else:
                tries.pop(part.id, None)
                events += self._end(part, State.FAILED, status & 0x3FFF, now_ms, changes, tally)
        if accepted:
            carrier.accepted += accepted
            if not throttled:
                carrier.adaptive.accepted()
        if retry:
            if carrier.carrier.on_unknown != "resend":
                for part in retry:
                    part.state = State.QUEUED  # no longer claimed or held: this one was not taken
                    changes.moved.append((part.id, int(State.QUEUED), carrier.id))
            carrier.put_back(retry)
        changes.usage += tally.rows()
        return events

    def _accepted(self, carrier: CarrierState, bind: int, part: Part, now_ms: int, changes: Changes) -> Event:
        """A carrier took a message whose customer wants to hear of that; binds never do."""
        event_id, state = self._ids.mint(), int(MessageState.ACCEPTED)
        readers = EventFor.CURSORS
        changes.receipts.append(
            Receipt(event_id, part.id, part.account, carrier.id, bind, now_ms, state, NO_ERROR, readers, b"")
        )
        return Event(event_id, RECEIPT, part.account, part, state, NO_ERROR, now_ms, b"", readers)

    @staticmethod
    def _decided(part: Part) -> bool:
        """Whether a carrier has taken this part, or it is final: no other attempt's answer matters."""
        return part.state == _SENT or part.state >= _FINAL_FROM

    def unanswered(
        self, carrier: CarrierState, bind: int, flights: Iterable[Flight], changes: Changes, *, lost: bool
    ) -> list[Event]:
        """Submits without an answer in time, or whose bind went down first: outcome unknown (P3)."""
        now_ms = self._clock.wall_ms()
        status = LINK_LOST if lost else NO_ANSWER
        policy = carrier.carrier.on_unknown
        tally = UsageTally(self._quota)
        again: list[Part] = []
        events: list[Event] = []
        for flight in flights:
            part = flight.part
            changes.attempts.append(
                Attempt(
                    part.id,
                    flight.n,
                    carrier.id,
                    bind,
                    flight.sequence_number,
                    flight.sent_at,
                    now_ms if lost else 0,
                    status,
                    "",
                    flight.pdu,
                )
            )
            if self._decided(part):
                continue
            carrier.maybe_duplicates += 1
            if policy == "resend":
                part.flags |= PartFlag.MAYBE_DUPLICATE
                changes.flagged.append((part.id, part.flags))
                carrier.tries[part.id] = min(flight.n, ATTEMPTS_MAX - 1)
                again.append(part)
            elif policy == "hold":
                part.state = State.HELD
                changes.moved.append((part.id, int(State.HELD), carrier.id))
            else:
                events += self._end(
                    part, State.UNKNOWN, Reason.OUTCOME_UNKNOWN, now_ms, changes, tally, doubtful=True
                )
        if again:
            carrier.put_back(again)
        changes.usage += tally.rows()
        return events

    # -- receipts ---------------------------------------------------------------------------------

    def receipts(
        self,
        carrier: CarrierState,
        bind: int,
        reports: Sequence[DeliverSm | DataSm],
        read: Sequence[ReceiptFields],
        changes: Changes,
    ) -> list[Event]:
        """Receipts of one pass, as PDUs and as what they say. Returns events for customers."""
        now_ms = self._clock.wall_ms()
        correlation = carrier.correlation
        live, habits = correlation.live, correlation.habits
        finish = correlation.finish
        carrier.receipts += len(reports)
        receipt_id = self._ids.mint(len(reports)) - 1
        add_receipt, add_outcome = changes.receipts.append, changes.outcomes.append
        carrier_id = carrier.id
        readers = self.readers
        events: list[Event] = []
        for pdu, fields in zip(reports, read, strict=True):
            receipt_id += 1
            key = fields.message_id.lstrip("0").lower()
            part = live.get(key)
            dest = digits_of(pdu.source_addr)
            # The straight way: a known id, the same number, a final state, a message that is one part.
            if (
                part is not None
                and dest == part.dest
                and fields.final
                and part.state < _FINAL_FROM
                and not part.flags & _UNUSUAL
            ):
                message_state = fields.state
                state = STATE_OF_MESSAGE_STATE[message_state]
                error = fields.error_code
                if not 0 <= error < OURS_FROM:
                    error = NO_ERROR
                habits.same += 1
                finish(key)
                part.state = state
                part_id, account = part.id, part.account
                wanted = part.registered_delivery
                event = readers.get(account, FOR_BINDS) if wanted == 1 or wants(wanted, message_state) else 0
                add_outcome(Outcome(part_id, account, state, now_ms, error))
                add_receipt(
                    Receipt(
                        receipt_id, part_id, account, carrier_id, bind, now_ms, message_state, error, event,
                        pdu.raw,
                    )
                )  # fmt: skip
                if event:
                    events.append(
                        Event(receipt_id, RECEIPT, account, part, message_state, error, now_ms, b"", event)
                    )
                continue
            events += self._unusual_receipt(carrier, bind, pdu, fields, dest, receipt_id, now_ms, changes)
        return events

    def _unusual_receipt(
        self,
        carrier: CarrierState,
        bind: int,
        pdu: DeliverSm | DataSm,
        fields: ReceiptFields,
        dest: int,
        receipt_id: int,
        now_ms: int,
        changes: Changes,
    ) -> list[Event]:
        match = carrier.correlation.find(fields, dest)
        part = match.part
        if part is None:
            if match.final_part_id:
                self.duplicate_receipts += 1
            else:
                self._park(carrier, bind, pdu.raw, fields, dest, "unknown id", now_ms, changes)
            return []
        if dest and dest != part.dest and not same_subscriber(dest, part.dest):
            self._park(carrier, bind, pdu.raw, fields, dest, "destination differs", now_ms, changes)
            return []
        if self.is_over(part):
            # Ended already: by the receipt of another attempt, or by us.
            carrier.correlation.finish(match.key)
            self.duplicate_receipts += 1
            return []
        return self._receipt(carrier, bind, match.key, part, fields, receipt_id, now_ms, pdu.raw, changes)

    def _receipt(
        self,
        carrier: CarrierState,
        bind: int,
        key: str,
        part: Part,
        fields: ReceiptFields,
        receipt_id: int,
        now_ms: int,
        raw: bytes,
        changes: Changes,
    ) -> list[Event]:
        """Any receipt of a known part."""
        message_state = fields.state
        state = STATE_OF_MESSAGE_STATE.get(message_state) if fields.final else None
        error = fields.error_code if 0 <= fields.error_code < OURS_FROM else NO_ERROR
        told: tuple[int, int] | None
        if state is None:
            asked = part.registered_delivery & RegisteredDelivery.INTERMEDIATE
            reported = part.flags & _SPLIT and self._splits.is_reported(part)
            told = (message_state, error) if asked and not reported else None
        else:
            carrier.correlation.finish(key)
            part.state = state
            self._has_ended(part)
            changes.outcomes.append(Outcome(part.id, part.account, state, now_ms, error))
            told = self._told(part, message_state, error)
        readers = self.readers.get(part.account, FOR_BINDS) if told else 0
        changes.receipts.append(
            Receipt(
                receipt_id, part.id, part.account, carrier.id, bind, now_ms, message_state, error, readers,
                raw,
            )
        )  # fmt: skip
        if told is None:
            return []
        return [Event(receipt_id, RECEIPT, part.account, part, told[0], told[1], now_ms, b"", readers)]

    def _told(self, part: Part, message_state: int, error: int) -> tuple[int, int] | None:
        """What the customer is told of a part that is final: (state, error), or None for nothing now."""
        told: tuple[int, int] | None = (message_state, error)
        if part.flags & PartFlag.SPLIT_BY_US:
            told = self._splits.finished(part, message_state, error)
        return told if told and wants(part.registered_delivery, told[0]) else None

    def _park(
        self,
        carrier: CarrierState,
        bind: int,
        raw: bytes,
        fields: ReceiptFields,
        dest: int,
        reason: str,
        now_ms: int,
        changes: Changes,
    ) -> None:
        """Keep what matches nothing: an early receipt finds its part when the answer comes (P4)."""
        self.unmatched_receipts += 1
        error = fields.error_code if 0 <= fields.error_code < OURS_FROM else NO_ERROR
        parked = ParkedReceipt(
            self._ids.mint(), carrier.id, bind, now_ms, fields.message_id, dest, fields.state, error, raw,
            reason if fields.message_id else "unreadable",
        )  # fmt: skip
        changes.parked.append(parked)
        self.hold_parked(carrier, parked, fields)

    def hold_parked(self, carrier: CarrierState, parked: ParkedReceipt, fields: ReceiptFields) -> None:
        """Keep a parked receipt in memory under every key that an answer could bring."""
        for key in carrier.correlation.candidates(parked.smsc_message_id):
            self.parked.setdefault((carrier.id, key), []).append((parked, fields))
        while len(self.parked) > PARKED_KEYS_MAX:
            del self.parked[next(iter(self.parked))]

    def _match_parked(self, carrier: CarrierState, smsc_id: str, part: Part, changes: Changes) -> list[Event]:
        """An answer came: were there receipts for its id already?"""
        key = carrier.correlation.key(smsc_id)
        events: list[Event] = []
        for parked, fields in list(self.parked.get((carrier.id, key), ())):
            # Without a number to vouch for it, only a form of the id that is believed will do.
            believed = key in carrier.correlation.keys(parked.smsc_message_id)
            if same_subscriber(parked.dest, part.dest) if parked.dest else believed:
                if not believed:
                    carrier.correlation.habits.matched(key, parked.smsc_message_id)
                events += self.match_parked_late(carrier, parked, fields, part, changes)
        return events

    def drop_parked(self, carrier: CarrierState, parked: ParkedReceipt) -> None:
        for key in carrier.correlation.candidates(parked.smsc_message_id):
            waiting = self.parked.get((carrier.id, key))
            if waiting is None:
                continue
            waiting[:] = [entry for entry in waiting if entry[0].id != parked.id]
            if not waiting:
                del self.parked[(carrier.id, key)]

    def match_parked_late(
        self,
        carrier: CarrierState,
        parked: ParkedReceipt,
        fields: ReceiptFields,
        part: Part,
        changes: Changes,
    ) -> list[Event]:
        """A parked receipt has found its part: it counts from now on, as of when it came."""
        if self.is_over(part):
            self.is_repeat(carrier, parked, changes)
            return []
        self.drop_parked(carrier, parked)
        changes.unparked.append(parked.id)
        key = carrier.correlation.key_of(part, parked.smsc_message_id)
        return self._receipt(
            carrier, parked.bind, key, part, fields, self._ids.mint(), parked.received_at, parked.raw, changes
        )

    def is_repeat(self, carrier: CarrierState, parked: ParkedReceipt, changes: Changes) -> None:
        """A parked receipt says of its part what is known."""
        self.drop_parked(carrier, parked)
        changes.unparked.append(parked.id)
        self.duplicate_receipts += 1

    def is_over(self, part: Part) -> bool:
        """Whether a part is final, also where the object in hand was read before it ended."""
        return part.state >= _FINAL_FROM or part.id in self._ended

    def _has_ended(self, part: Part) -> None:
        self._ended[part.id] = None
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    # -- ends that no carrier reports -------------------------------------------------------------

    def end(self, parts: Iterable[Part], state: State, error: int, changes: Changes) -> list[Event]:
        """End parts ourselves: expired, cancelled, blacklisted at dispatch, given up on.

        What no carrier is known to have taken is given back to its user.
        """
        now_ms = self._clock.wall_ms()
        tally = UsageTally(self._quota)
        events: list[Event] = []
        for part in parts:
            events += self._end(part, state, error, now_ms, changes, tally)
        changes.usage += tally.rows()
        return events

    def _end(
        self,
        part: Part,
        state: State,
        error: int,
        now_ms: int,
        changes: Changes,
        tally: UsageTally,
        *,
        doubtful: bool = False,
    ) -> list[Event]:
        if self.is_over(part):
            return []
        self._has_ended(part)
        if part.state != State.SENT:
            tally.release(self._user_of(part.account), id_day(part.id))
            if doubtful or part.flags & PartFlag.MAYBE_DUPLICATE:
                self._unsettled[part.id] = None
                if len(self._unsettled) > UNSETTLED_MAX:
                    del self._unsettled[next(iter(self._unsettled))]
        part.state = state
        changes.outcomes.append(Outcome(part.id, part.account, state, now_ms, error))
        message_state = MESSAGE_STATE_OF_STATE[state]
        told = self._told(part, message_state, error)
        if told is None:
            return []
        receipt_id = self._ids.mint()
        readers = self.readers.get(part.account, FOR_BINDS)
        changes.receipts.append(
            Receipt(
                receipt_id, part.id, part.account, part.carrier, 0, now_ms, message_state, error, readers, b""
            )
        )
        return [Event(receipt_id, RECEIPT, part.account, part, told[0], told[1], now_ms, b"", readers)]
