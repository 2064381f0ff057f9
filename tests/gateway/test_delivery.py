"""The log of receipts on its way to a customer: in order, bounded, at least once, and for three days."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.delivery import INBOUND, RECEIPT, RETRY_S, RETRY_STATUSES, Event, Outbox, Tries, settle
from gateway.smpp.constants import MessageState, Status
from store.ids import SECOND_BITS
from store.model import NO_ANSWER, Delivered, State
from tests.gateway.core_world import make_part

NOW = 1000.0


def event(event_id: int, state: int = MessageState.DELIVERED, part_state: int = State.DELIVERED) -> Event:
    return Event(event_id, RECEIPT, 1, make_part(event_id, state=part_state), state, 0, 0, b"")


def outbox(*ids: int, **options: Any) -> Outbox:
    box = Outbox(1, **options)
    for event_id in ids:
        box.offer(event(event_id))
    return box


def ids(events: Sequence[Event]) -> list[int]:
    return [one.id for one in events]


def answered(box: Outbox, *answers: tuple[Event, int], now: float = NOW) -> list[Delivered]:
    tries = Tries(1, "smpp:1", 7)
    settle(box, answers, tries, now)
    return tries.rows()


# -- order and bounds ---------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 9), max_size=20))
def test_events_leave_in_the_order_of_the_log(grants: list[int]) -> None:
    box = outbox(*range(1, 51))
    taken = [i for grant in grants for i in ids(box.take(grant))]
    assert taken == list(range(1, len(taken) + 1))
    assert box.in_flight == len(taken) and box.waiting() == 50 - len(taken)


def test_what_a_lost_bind_had_goes_back_in_its_place_whichever_bind_ends_first() -> None:
    box = outbox(*range(1, 10))
    one, other = box.take(3), box.take(3)
    box.again(other, NOW, at_once=True)
    box.again(one, NOW, at_once=True)
    assert ids(box.take(9)) == list(range(1, 10))
    assert box.in_flight == 9


def test_over_the_bound_events_stay_in_the_store_and_are_fetched_behind_the_last_one() -> None:
    box = outbox(*range(1, 8), events_max=4)
    assert ids(list(box.ready)) == [1, 2, 3, 4] and box.spilled
    assert not box.wants_refill(), "not before there is room"
    answered(box, *((one, 0) for one in box.take(2)))
    assert box.wants_refill()
    assert box.refill_begins() == 4
    assert not box.wants_refill(), "one reading at a time"
    box.refilled([event(5), event(6)], more=True)
    assert box.spilled and not box.wants_refill()
    box.take(3)
    answered(box, *[])
    box.done(3)
    assert box.wants_refill() and box.refill_begins() == 6
    box.refilled([event(7)], more=False)
    assert not box.spilled
    box.offer(event(8))
    assert ids(box.take(9)) == [6, 7, 8]


def test_what_an_end_has_overtaken_is_not_told_when_the_log_is_read_again() -> None:
    box = outbox()
    box.spilled = True
    box.refill_begins()
    box.refilled([event(1, MessageState.ENROUTE), event(2)], more=False)
    assert ids(box.take(9)) == [2]
    rows = answered(box)
    assert [(row.event_ids, row.done) for row in rows] == [([1], True)], "it leaves the log"


def test_what_is_offered_beside_a_reading_is_fetched_by_the_next() -> None:
    box = outbox(*range(1, 4), events_max=2)
    box.take(2)
    box.done(2)
    box.refill_begins()
    box.offer(event(4))
    box.refilled([event(3)], more=False)
    assert box.wants_refill() and box.refill_begins() == 3


def test_what_a_reading_saw_before_it_was_offered_is_there_once() -> None:
    """A round is on disk a moment before the log hears of it: after a restart such a receipt was told twice."""
    box = outbox()
    box.spilled, box.offered_id = True, 1
    box.refill_begins()
    box.refilled([event(1), event(2)], more=False)
    box.offer(event(2))
    box.offer(event(3))
    assert ids(box.take(5)) == [1, 2, 3]


def test_an_event_offered_behind_a_newer_one_is_neither_lost_nor_read_again() -> None:
    box = outbox(1, 3, 2, events_max=4)
    box.spilled = True
    assert box.high_id == 3
    assert sorted(ids(box.take(5))) == [1, 2, 3]


def test_a_customer_that_refuses_everything_for_now_does_not_fill_the_memory() -> None:
    box = outbox(*range(1, 5), events_max=4)
    box.offer(event(5))
    answered(box, *((one, Status.ESME_RX_T_APPN) for one in box.take(4)))
    assert not box.ready and box.waiting() == 4
    assert not box.wants_refill()


# -- answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0x08, 0x14, 0x58, 0x64, NO_ANSWER])
def test_a_temporary_refusal_or_silence_is_tried_again(status: int) -> None:
    box = outbox(1)
    assert answered(box, *((one, status) for one in box.take(1))) == [
        Delivered(1, "smpp:1", 7, status, [1], False)
    ]
    assert box.waiting() == 1 and box.in_flight == 0


@pytest.mark.parametrize("status", [0, 0x0C, 0x41, 0x42, 0x45, 0x65, 0x66, 0x400])
def test_an_acceptance_or_a_refusal_for_good_takes_it_off_the_log(status: int) -> None:
    box = outbox(1)
    assert answered(box, *((one, status) for one in box.take(1))) == [
        Delivered(1, "smpp:1", 7, status, [1], True)
    ]
    assert box.waiting() == box.in_flight == 0


def test_the_answers_of_a_pass_are_one_row_a_status() -> None:
    box = outbox(*range(1, 6))
    answers = zip(box.take(5), [0, 0x58, 0, 0x45, 0], strict=True)
    rows = {(row.status, row.done): row.event_ids for row in answered(box, *answers)}
    assert rows == {(0, True): [1, 3, 5], (0x58, False): [2], (0x45, True): [4]}


def test_pauses_double_from_a_second_to_a_quarter_of_an_hour() -> None:
    box, now, pauses = outbox(1), NOW, []
    for _ in range(14):
        answered(box, *((one, NO_ANSWER) for one in box.take(1)), now=now)
        began = now
        while not box.ready:
            now += 0.5
            box.tick(now)
        pauses.append(now - began)
    assert pauses[:5] == [1, 2, 4, 8, 16] and pauses[-3:] == [RETRY_S[1]] * 3


def test_pauses_are_as_configured() -> None:
    box = outbox(1, retry_s=(5.0, 7.0))
    for pause in (5.0, 7.0, 7.0):
        answered(box, *((one, NO_ANSWER) for one in box.take(1)))
        box.tick(NOW + pause - 0.01)
        assert not box.ready
        box.tick(NOW + pause)
        assert box.ready


def test_what_is_due_again_comes_before_newer_events() -> None:
    box = outbox(1, 2, 3, 4)
    first = box.take(3)
    answered(box, (first[2], NO_ANSWER), (first[0], NO_ANSWER), (first[1], NO_ANSWER))
    box.tick(NOW + 1.0)
    assert ids(box.take(9)) == [1, 2, 3, 4]


def test_a_lost_bind_costs_no_pause() -> None:
    box = outbox(1)
    box.again(box.take(1), NOW, at_once=True)
    assert ids(box.take(1)) == [1]


# -- never a state on the way after the end -----------------------------------------------------------


@pytest.mark.parametrize("state", [MessageState.ENROUTE, MessageState.ACCEPTED, MessageState.UNKNOWN])
def test_a_state_on_the_way_is_not_tried_again_once_its_part_has_ended(state: int) -> None:
    box = Outbox(1)
    overtaken = event(1, state, State.SENT)
    box.offer(overtaken)
    box.offer(event(2))
    sent = box.take(2)
    assert overtaken.part is not None
    overtaken.part.state = State.DELIVERED
    (done, off) = answered(box, (sent[1], 0), (sent[0], Status.ESME_RX_T_APPN))
    assert (done.event_ids, off.event_ids, off.done) == ([2], [1], True)
    assert box.waiting() == 0


def test_nor_is_it_when_the_part_ends_while_it_waits() -> None:
    box = Outbox(1)
    box.offer(event(1, MessageState.ENROUTE, State.SENT))
    (early,) = box.take(1)
    answered(box, (early, NO_ANSWER))
    assert early.part is not None
    early.part.state = State.FAILED
    box.tick(NOW + 10)
    assert box.waiting() == 0
    (row,) = answered(box)
    assert (row.event_ids, row.done) == ([1], True), "off the log with the next answers"
    assert answered(box) == []


def test_nor_after_a_lost_bind() -> None:
    box = Outbox(1)
    box.offer(event(1, MessageState.ENROUTE, State.DELIVERED))
    box.again(box.take(1), NOW, at_once=True)
    assert box.waiting() == 0 and box.in_flight == 0
    (row,) = answered(box)
    assert (row.event_ids, row.done) == ([1], True)


@pytest.mark.parametrize(
    "kept",
    [
        event(1),
        event(1, MessageState.UNKNOWN, State.UNKNOWN),
        event(1, MessageState.ENROUTE, State.SENT),
        Event(1, INBOUND, 1, None, 0, 0, 0, b"body"),
    ],
)
def test_everything_else_is_tried_until_it_is_taken(kept: Event) -> None:
    box = Outbox(1)
    box.offer(kept)
    answered(box, *((one, NO_ANSWER) for one in box.take(1)))
    box.tick(NOW + 10)
    assert list(box.ready) == [kept]


# -- the end ------------------------------------------------------------------------------------------


def test_events_kept_long_enough_are_given_up() -> None:
    box = outbox(*(n << SECOND_BITS for n in range(1, 7)))
    answered(box, *((one, NO_ANSWER) for one in box.take(3)))
    assert sorted(one.id >> SECOND_BITS for one in box.expire(4)) == [1, 2, 3]
    assert [one.id >> SECOND_BITS for one in box.expire(6)] == [4, 5]
    assert box.expire(6) == [] and box.waiting() == 1
    box.tick(NOW + 1000)
    assert box.waiting() == 1


class LogAndStore(RuleBasedStateMachine):
    """The log beside a store: every event offered is done, or still there; in memory none is twice."""

    def __init__(self) -> None:
        super().__init__()
        self.box = Outbox(1, events_max=6)
        self.pending: dict[int, Event] = {}  # not delivered, in the store
        self.unheard: list[Event] = []  # in the store, and the log has not heard of them yet
        self.flying: list[Event] = []
        self.next_id = 1
        self.now = NOW
        self.reading: list[Event] | None = None
        self.more = False

    @rule(count=st.integers(1, 4))
    def store(self, count: int) -> None:
        for _ in range(count):
            one = event(self.next_id)
            self.next_id += 1
            self.pending[one.id] = one
            self.unheard.append(one)

    @rule(count=st.integers(1, 4))
    def offer(self, count: int) -> None:
        for one in self.unheard[:count]:
            self.box.offer(one)
        del self.unheard[:count]

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        for one in self.box.take(count):
            assert one.id in self.pending and one.id not in ids(self.flying)
            self.flying.append(one)

    @precondition(lambda self: self.flying)
    @rule(statuses=st.lists(st.sampled_from([0, 0, 0x45, 0x58, NO_ANSWER]), min_size=1, max_size=5))
    def answer(self, statuses: list[int]) -> None:
        some = self.flying[: len(statuses)]
        del self.flying[: len(statuses)]
        for row in answered(self.box, *zip(some, statuses, strict=False), now=self.now):
            if row.done:
                for event_id in row.event_ids:
                    del self.pending[event_id]
            assert row.done is (row.status not in RETRY_STATUSES and row.status != NO_ANSWER)

    @precondition(lambda self: self.flying)
    @rule()
    def lose_the_bind(self) -> None:
        self.box.again(self.flying, self.now, at_once=True)
        self.flying = []

    @rule(seconds=st.sampled_from([0.1, 1.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.box.tick(self.now)

    @precondition(lambda self: self.reading is None)
    @rule()
    def begin_reading(self) -> None:
        if self.box.wants_refill():
            after = self.box.refill_begins()
            behind = [i for i in sorted(self.pending) if i > after]
            self.reading, self.more = [event(i) for i in behind[:3]], len(behind) >= 3

    @precondition(lambda self: self.reading is not None)
    @rule()
    def end_reading(self) -> None:
        assert self.reading is not None
        self.box.refilled(self.reading, more=self.more)
        self.reading = None

    @rule()
    def restart(self) -> None:
        self.box = Outbox(1, events_max=6)
        self.box.spilled, self.box.offered_id = True, self.next_id - 1
        self.flying, self.reading, self.unheard = [], None, []

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.box.waiting() + self.box.in_flight <= self.box.events_max
        assert self.box.in_flight == len(self.flying)

    def teardown(self) -> None:
        # A customer that takes everything gets everything.
        for _ in range(100):
            self.offer(len(self.unheard))
            if self.reading is not None:
                self.end_reading()
            self.wait(1000.0)
            self.send(10)
            if self.flying:
                self.answer([0] * len(self.flying))
            if not self.pending:
                return
            if self.reading is None:
                self.begin_reading()
        raise AssertionError(f"lost: {sorted(self.pending)}")


TestLogAndStore = LogAndStore.TestCase
TestLogAndStore.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
