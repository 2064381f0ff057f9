"""Answers, receipts, silence and lost binds: every part ends once, is told once and is charged once."""

from itertools import pairwise
from typing import Any

import pytest

from filters.verdict import Reason
from gateway.carriers import Flight
from gateway.message_states import wants
from gateway.outcomes import ATTEMPTS_MAX
from gateway.smpp.constants import MessageState, Status
from gateway.smpp.pdu import GenericNack, SubmitSmResp
from gateway.smpp.receipts import parse_receipt
from store.directory import Account, Carrier
from store.model import (
    LINK_LOST,
    NO_ANSWER,
    NO_ERROR,
    Attempt,
    Changes,
    EventFor,
    Outcome,
    Part,
    PartFlag,
    Receipt,
    State,
)
from tests.gateway.core_world import (
    DEST,
    NOW_MS,
    FakeBind,
    World,
    make_part,
    ok,
    receipt,
    refusal,
)

DELIVERED, ENROUTE, EXPIRED, UNDELIVERABLE, REJECTED, ACCEPTED = (
    MessageState.DELIVERED,
    MessageState.ENROUTE,
    MessageState.EXPIRED,
    MessageState.UNDELIVERABLE,
    MessageState.REJECTED,
    MessageState.ACCEPTED,
)


def world(**settings: Any) -> World:
    return World(carriers=[Carrier(1, "a", **settings)])


def on_the_way(of: World, smsc_id: bytes = b"abc1", **part: Any) -> Part:
    """A part that the carrier has taken."""
    flight = of.sent(make_part(of.ids.mint(), **part))
    of.answer((flight, ok(smsc_id)))
    return flight.part


def split_message(of: World, count: int, **part: Any) -> list[Part]:
    """The parts of a message that we cut, all taken, with ids m1, m2, ..."""
    first = of.ids.mint(count)
    parts = [
        make_part(first + n, part_no=n + 1, parts=count, flags=PartFlag.SPLIT_BY_US, **part)
        for n in range(count)
    ]
    for n, one in enumerate(parts):
        of.answer((of.sent(one), ok(b"m%d" % (n + 1))))
    return parts


def settled(of: World) -> tuple[int, int]:
    assert of.quota_is_settled()
    return of.balance.reserved, of.balance.used


# -- answers ------------------------------------------------------------------------------------------


def test_an_accepted_part_is_recorded_charged_and_remembered() -> None:
    of = world()
    flight = of.sent()
    events, changes = of.answer((flight, ok(b"ABC1", 42)))
    assert changes.attempts == [Attempt(flight.part.id, 1, 1, 1, 42, NOW_MS, NOW_MS, 0, "ABC1", None)]
    assert not events and not changes.outcomes
    assert settled(of) == (0, 1)
    assert of.carrier.correlation.live == {"abc1": flight.part} and of.carrier.accepted == 1


@pytest.mark.parametrize("response", [ok(b""), GenericNack(7, 0)])
def test_an_answer_without_an_id_is_an_acceptance_that_cannot_be_tracked(response: Any) -> None:
    of = world()
    of.answer((of.sent(), response))
    assert settled(of) == (0, 1) and not of.carrier.correlation.live


@pytest.mark.parametrize("status", [0x0A, 0x0B, 0x45, 0x66, 0x400, 0x4FF])
def test_a_refusal_for_good_ends_the_part_and_gives_it_back(status: int) -> None:
    of = world()
    flight = of.sent()
    events, changes = of.answer((flight, refusal(status)))
    (outcome,) = changes.outcomes
    assert outcome == Outcome(flight.part.id, 1, State.FAILED, NOW_MS, status & 0x3FFF)
    assert [(event.state, event.error) for event in events] == [(UNDELIVERABLE, status & 0x3FFF)]
    assert changes.receipts[0].id == events[0].id and changes.receipts[0].event == 1
    assert settled(of) == (0, 0) and of.carrier.refused == {status: 1}


def test_a_generic_nack_is_a_refusal() -> None:
    of = world()
    events, changes = of.answer((of.sent(), GenericNack(7, Status.ESME_RINVCMDID)))
    assert changes.outcomes[0].state == State.FAILED and len(events) == 1


@pytest.mark.parametrize("status", [Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL])
def test_throttled_parts_go_back_to_the_front_in_order_and_the_carrier_pauses(status: int) -> None:
    of = world()
    bind = FakeBind(of.carrier, window=4)
    of.carrier.queue.offer([make_part(n) for n in range(1, 7)])
    of.carrier.pump()
    flights = list(bind.flights)
    bind.flights.clear()
    for _ in flights:
        of.sent(make_part(9))  # four parts are reserved
    first, _ = of.answer((flights[0], ok()), (flights[1], refusal(status)))
    second, changes = of.answer((flights[2], refusal(status)), (flights[3], refusal(status)))
    assert not first and not second and not changes.outcomes, "no failure of the message"
    assert settled(of) == (3, 1)
    of.carrier.pump()
    assert bind.sent_ids() == [1, 2, 3, 4] and of.carrier.limited_by == "throttled by the carrier"
    of.clock.advance(1.0)
    of.carrier.pump()
    assert bind.sent_ids() == [1, 2, 3, 4, 2, 3, 4, 5]
    assert [flight.n for flight in bind.flights] == [2, 2, 2, 1]
    assert of.carrier.throttled == 3


@pytest.mark.parametrize("status", [Status.ESME_RSYSERR, Status.ESME_RX_T_APPN, 0x88])
def test_other_temporary_refusals_pause_but_do_not_slow_down(status: int) -> None:
    of = world(retry_statuses=(0x88,), rate=100)
    flights = [of.sent() for _ in range(20)]
    of.answer(*((flight, refusal(status)) for flight in flights))
    assert of.carrier.queue.length == 20 and of.carrier.pacer.rate == 100
    assert of.carrier.adaptive.paused_until == of.clock.now() + 1.0


def test_ten_throttling_answers_in_a_row_halve_the_rate_and_any_other_breaks_the_row() -> None:
    of = world(rate=100)
    throttled = refusal(Status.ESME_RTHROTTLED)
    for _ in range(3):
        of.answer(*((of.sent(), throttled) for _ in range(9)))
        of.answer((of.sent(), ok()))
    assert of.carrier.pacer.rate == 100
    of.answer(*((of.sent(), throttled) for _ in range(10)))
    assert of.carrier.pacer.rate == 50


def test_the_number_of_attempts_has_an_end_however_long_a_carrier_refuses() -> None:
    # Attempts are numbered in twelve bits; a part may be refused once a second for days.
    of = world()
    part = of.sent().part
    numbers = []
    for _ in range(ATTEMPTS_MAX + 50):
        n = of.carrier.tries.get(part.id, 0) + 1
        _, changes = of.answer((Flight(part, n, NOW_MS, None), refusal(Status.ESME_RTHROTTLED)))
        numbers.append(changes.attempts[0].n)
        of.carrier.queue.take(1)
    assert numbers == [*range(1, ATTEMPTS_MAX), *[ATTEMPTS_MAX] * 51]
    of.unanswered(Flight(part, ATTEMPTS_MAX, NOW_MS, None))
    assert of.carrier.tries[part.id] == ATTEMPTS_MAX - 1
    of.answer((Flight(part, ATTEMPTS_MAX, NOW_MS, None), ok()))
    _, changes = of.answer((Flight(part, ATTEMPTS_MAX, NOW_MS, None), refusal(0x45)))
    assert not changes.attempts, "the answer that decided is not written over"


# -- receipts -----------------------------------------------------------------------------------------

FINALS = [
    (DELIVERED, State.DELIVERED),
    (EXPIRED, State.EXPIRED),
    (MessageState.DELETED, State.CANCELLED),
    (UNDELIVERABLE, State.FAILED),
    (REJECTED, State.REJECTED),
    (MessageState.SKIPPED, State.FAILED),
]


@pytest.mark.parametrize(("told", "state"), FINALS)
@pytest.mark.parametrize("flags", [0, PartFlag.SPLIT_BY_US])
def test_a_final_receipt_ends_its_part(told: int, state: State, flags: int) -> None:
    # By the straight way, and by the one for all that is unusual: they are the same.
    of = world()
    part = on_the_way(of, flags=flags)
    events, changes = of.receive(receipt(state=told, error=b"021"))
    assert changes.outcomes == [Outcome(part.id, 1, state, NOW_MS, 21)]
    (row,) = changes.receipts
    assert row == Receipt(row.id, part.id, 1, 1, 1, NOW_MS, told, 21, 1, b"raw")
    (event,) = events
    assert (event.id, event.state, event.error, event.part) == (row.id, told, 21, part)
    assert part.state == state and not of.carrier.correlation.live
    assert settled(of) == (0, 1), "a failure on the handset is not given back"


@pytest.mark.parametrize("error", [b"FFF", b"ABC", b"0zz"])
def test_an_error_that_is_no_number_of_a_carrier_is_none(error: bytes) -> None:
    of = world()
    on_the_way(of)
    _, changes = of.receive(receipt(state=UNDELIVERABLE, error=error))
    number = changes.outcomes[0].error
    assert number == NO_ERROR or number < 0x4000


ASKED = {0: "", 1: "both", 2: "failure", 3: "success", 16: "", 17: "both", 18: "failure"}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("told", [DELIVERED, UNDELIVERABLE, EXPIRED])
@pytest.mark.parametrize("flags", [0, PartFlag.SPLIT_BY_US])
def test_a_customer_gets_the_receipts_it_asked_for(asked: int, told: int, flags: int) -> None:
    of = world()
    on_the_way(of, registered_delivery=asked, flags=flags)
    events, changes = of.receive(receipt(state=told))
    wanted = ASKED[asked] in ("both", "success" if told == DELIVERED else "failure")
    assert (len(events), changes.receipts[0].event) == ((1, 1) if wanted else (0, 0))
    assert wants(asked, told) is wanted
    assert len(changes.outcomes) == 1, "the state is known, asked or not"


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("told", [ENROUTE, ACCEPTED, MessageState.UNKNOWN])
def test_an_intermediate_state_ends_nothing_and_is_told_to_who_asked(asked: int, told: int) -> None:
    of = world()
    part = on_the_way(of, registered_delivery=asked)
    events, changes = of.receive(receipt(state=told))
    assert not changes.outcomes and part.state == State.SENT
    assert [event.state for event in events] == ([told] if asked & 16 else [])
    assert changes.receipts[0].event == len(events)
    events, changes = of.receive(receipt(state=DELIVERED))
    assert len(changes.outcomes) == 1


def test_after_a_final_state_everything_is_a_repeat() -> None:
    of = world()
    on_the_way(of, registered_delivery=0x11)
    seen = [
        of.receive(receipt(state=state)) for state in (ENROUTE, DELIVERED, DELIVERED, ENROUTE, UNDELIVERABLE)
    ]
    assert [len(events) for events, _ in seen] == [1, 1, 0, 0, 0]
    assert [len(changes.outcomes) for _, changes in seen] == [0, 1, 0, 0, 0]
    assert of.outcomes.duplicate_receipts == 3 and not of.outcomes.parked


def test_a_repeat_within_one_pass_is_known_too() -> None:
    of = world()
    on_the_way(of)
    events, changes = of.receive(receipt(), receipt(), receipt())
    assert (len(events), len(changes.outcomes), of.outcomes.duplicate_receipts) == (1, 1, 2)


def test_a_receipt_comes_over_any_bind_in_any_form_of_the_number() -> None:
    of = world()
    on_the_way(of)
    events, _ = of.receive(receipt(dest=13800138000))
    assert len(events) == 1


def test_a_receipt_for_another_number_is_kept_and_believed_by_nobody() -> None:
    of = world()
    part = on_the_way(of)
    events, changes = of.receive(receipt(dest=DEST + 1))
    assert not events and not changes.outcomes and part.state == State.SENT
    (parked,) = changes.parked
    assert (parked.reason, parked.smsc_message_id, parked.dest) == ("destination differs", "abc1", DEST + 1)
    assert of.outcomes.unmatched_receipts == 1
    assert len(of.receive(receipt())[0]) == 1, "the genuine one still counts"


def test_a_receipt_of_another_carrier_means_nobody_here() -> None:
    of = World(carriers=[Carrier(1, "a"), Carrier(2, "b")])
    on_the_way(of, b"77")
    events, changes = of.receive(receipt(b"77"), carrier=of.carriers[2])
    assert not events and len(changes.parked) == 1
    assert len(of.receive(receipt(b"77"))[0]) == 1


def test_what_cannot_be_read_is_kept() -> None:
    of = world()
    pdu = receipt()
    pdu.short_message = b"nothing of use"
    events, changes = of.receive(pdu)
    (parked,) = changes.parked
    assert (parked.reason, parked.raw) == ("unreadable", b"raw") and not events


# -- early receipts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reported", "answered"), [(b"abc1", b"abc1"), (b"0059113978", b"38601fa"), (b"00AB", b"ab")]
)
def test_an_early_receipt_waits_for_its_answer(reported: bytes, answered: bytes) -> None:
    of = world()
    flight = of.sent()
    events, changes = of.receive(receipt(reported))
    assert not events and [p.reason for p in changes.parked] == ["unknown id"]
    received_at = of.clock.wall_ms()
    of.clock.advance(0.005)
    events, changes = of.answer((flight, ok(answered)))
    assert [event.state for event in events] == [DELIVERED]
    assert changes.unparked and changes.outcomes[0].state == State.DELIVERED
    assert changes.receipts[0].received_at == received_at, "it counts as of when it came"
    assert not of.outcomes.parked and not of.carrier.correlation.live
    assert of.receive(receipt(reported))[0] == [], "a repeat"
    assert settled(of) == (0, 1)


def test_early_receipts_teach_how_a_carrier_writes_its_ids() -> None:
    of = world()
    for number in (0x38601FA, 0x38601FB, 0x38601FC):
        assert of.carrier.correlation.habits.rule == "auto"
        of.receive(receipt(b"%010d" % number))
        assert len(of.answer((of.sent(), ok(b"%x" % number)))[0]) == 1
    assert of.carrier.correlation.habits.rule == "hex-response-dec-receipt"


def test_early_receipts_count_in_the_order_in_which_they_came_and_once() -> None:
    of = world()
    flight = of.sent(make_part(of.ids.mint(), registered_delivery=0x11))
    for state in (ENROUTE, DELIVERED, DELIVERED, ENROUTE):
        of.receive(receipt(state=state))
    events, changes = of.answer((flight, ok()))
    assert [event.state for event in events] == [ENROUTE, DELIVERED]
    assert len(changes.unparked) == 4 and len(changes.outcomes) == 1
    assert [one.id < other.id for one, other in pairwise(events)] == [True]


def test_an_early_receipt_for_another_number_is_not_taken() -> None:
    of = world()
    of.receive(receipt(dest=DEST + 1))
    events, changes = of.answer((of.sent(), ok()))
    assert not events and not changes.unparked and of.outcomes.parked


@pytest.mark.parametrize(("answered", "taken"), [(b"59113978", True), (b"38601fa", False)])
def test_without_a_number_only_a_believed_form_of_the_id_is_taken(answered: bytes, taken: bool) -> None:
    of = world()
    pdu = receipt(b"0059113978")
    pdu.source_addr = b"Sluice"
    of.receive(pdu)
    events, _ = of.answer((of.sent(), ok(answered)))
    assert bool(events) is taken


def test_a_receipt_for_what_was_refused_finds_nobody() -> None:
    of = world()
    of.answer((of.sent(), SubmitSmResp(7, 0x45, b"abc1")))
    events, changes = of.receive(receipt())
    assert not events and len(changes.parked) == 1


def test_receipts_that_match_nothing_are_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outcomes.PARKED_KEYS_MAX", 20)
    of = world()
    for n in range(100):
        _, changes = of.receive(receipt(b"x%d" % n))
        assert len(changes.parked) == 1, "the store has them all"
    assert len(of.outcomes.parked) <= 20
    flight = of.sent()
    assert of.answer((flight, ok(b"x99")))[0], "the newest are the ones that may still find their part"


def test_a_parked_receipt_is_dropped_under_every_form() -> None:
    of = world()
    _, changes = of.receive(receipt(b"0059113978"))
    assert len(of.outcomes.parked) == 3
    of.outcomes.drop_parked(of.carrier, changes.parked[0])
    assert not of.outcomes.parked


def test_a_parked_receipt_read_again_after_a_restart_is_the_same() -> None:
    of, restarted = world(), world()
    pdu = receipt()
    _, changes = of.receive(pdu)
    restarted.outcomes.hold_parked(restarted.carrier, changes.parked[0], parse_receipt(pdu))
    events, _ = restarted.answer((restarted.sent(), ok()))
    assert [event.state for event in events] == [DELIVERED]


# -- silence and lost binds ---------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "status"), [(False, NO_ANSWER), (True, LINK_LOST)])
def test_resend_puts_back_in_order_and_marks_what_may_be_sent_twice(lost: bool, status: int) -> None:
    of = world()
    flights = [of.sent() for _ in range(3)]
    events, changes = of.unanswered(*flights, lost=lost)
    assert not events and [a.status for a in changes.attempts] == [status] * 3
    assert [attempt.answered_at for attempt in changes.attempts] == [NOW_MS if lost else 0] * 3
    assert changes.flagged == [(f.part.id, PartFlag.MAYBE_DUPLICATE) for f in flights]
    assert of.carrier.maybe_duplicates == 3
    bind = FakeBind(of.carrier)
    of.carrier.pump()
    assert bind.sent_ids() == [flight.part.id for flight in flights]
    assert [flight.n for flight in bind.flights] == [2, 2, 2]
    assert settled(of) == (3, 0)


def test_hold_keeps_back_what_may_have_been_taken() -> None:
    of = world(on_unknown="hold")
    flight = of.sent(make_part(of.ids.mint(), state=State.CLAIMED))
    events, changes = of.unanswered(flight)
    assert changes.moved == [(flight.part.id, State.HELD, 1)] and not events
    assert not of.carrier.queue.length and settled(of) == (1, 0)
    events, changes = of.answer((flight, ok()), late=True)
    assert settled(of) == (0, 1)
    assert [event.state for event in of.receive(receipt())[0]] == [DELIVERED]


@pytest.mark.parametrize(
    ("status", "reserved", "state"), [(0x45, 0, State.FAILED), (Status.ESME_RTHROTTLED, 1, State.QUEUED)]
)
def test_a_late_refusal_resolves_what_is_held(status: int, reserved: int, state: State) -> None:
    of = world(on_unknown="hold")
    flight = of.sent(make_part(of.ids.mint(), state=State.CLAIMED))
    of.unanswered(flight)
    events, changes = of.answer((flight, refusal(status)), late=True)
    assert flight.part.state == state and settled(of) == (reserved, 0)
    if state == State.QUEUED:
        assert changes.moved == [(flight.part.id, State.QUEUED, 1)] and of.carrier.queue.length == 1
    else:
        assert len(events) == 1


def test_a_throttled_part_of_an_at_most_once_carrier_is_no_longer_claimed() -> None:
    of = world(on_unknown="fail")
    flight = of.sent(make_part(of.ids.mint(), state=State.CLAIMED))
    _, changes = of.answer((flight, refusal(Status.ESME_RTHROTTLED)))
    assert changes.moved == [(flight.part.id, State.QUEUED, 1)] and of.carrier.queue.length == 1


def test_fail_gives_up_and_gives_back() -> None:
    of = world(on_unknown="fail")
    flight = of.sent()
    events, changes = of.unanswered(flight, lost=True)
    assert changes.outcomes[0].state == State.UNKNOWN and changes.outcomes[0].error == Reason.OUTCOME_UNKNOWN
    assert [event.state for event in events] == [MessageState.UNKNOWN]
    assert not of.carrier.queue.length and settled(of) == (0, 0)


def test_what_was_given_up_and_was_taken_after_all_is_charged_and_told_once() -> None:
    of = world(on_unknown="fail")
    flight = of.sent()
    of.unanswered(flight)
    for _ in range(2):
        events, changes = of.answer((flight, ok()), late=True)
        assert not events and not changes.outcomes and changes.attempts[0].status == 0
        assert settled(of) == (0, 1)
    assert of.receive(receipt()) == ([], Changes()) and of.outcomes.duplicate_receipts == 1


# -- late answers -------------------------------------------------------------------------------------


def test_a_late_acceptance_withdraws_the_resend() -> None:
    of = world()
    flight = of.sent()
    of.unanswered(flight)
    of.answer((flight, ok()), late=True)
    assert of.carrier.queue.length == 0 and not of.carrier.tries
    assert settled(of) == (0, 1)
    assert len(of.receive(receipt())[0]) == 1


def test_a_late_acceptance_withdraws_the_resend_from_a_bind_that_carries_it() -> None:
    of = world()
    bind = FakeBind(of.carrier, window=1)
    flight = of.sent()
    of.unanswered(flight)
    bind.carried.extend(of.carrier.queue.take(1))
    of.answer((flight, ok()), late=True)
    assert not bind.carried


@pytest.mark.parametrize("status", [0x45, Status.ESME_RTHROTTLED, Status.ESME_RSYSERR])
def test_a_late_refusal_leaves_the_decision_to_the_resend(status: int) -> None:
    of = world()
    flight = of.sent()
    of.unanswered(flight)
    events, changes = of.answer((flight, refusal(status)), late=True)
    assert not events and not changes.outcomes and changes.attempts[0].status == status
    assert of.carrier.queue.length == 1, "neither ended nor doubled"
    assert settled(of) == (1, 0)


def resent(of: World, flight: Flight) -> Flight:
    """The second attempt, on the wire."""
    of.unanswered(flight)
    (part,) = of.carrier.queue.take(1)
    return of.sent(part, n=2)


ANSWERS = [ok(b"a1"), ok(b"a2"), refusal(0x45), refusal(Status.ESME_RTHROTTLED), None]


@pytest.mark.parametrize("late_first", [True, False])
@pytest.mark.parametrize("late", [ok(b"a1"), refusal(0x45), refusal(Status.ESME_RTHROTTLED)])
@pytest.mark.parametrize("again", ANSWERS)
@pytest.mark.parametrize("reported", [True, False])
def test_two_attempts_are_charged_told_and_ended_once(
    late_first: bool, late: SubmitSmResp, again: SubmitSmResp | None, reported: bool
) -> None:
    of = world()
    first = of.sent()
    second = resent(of, first)
    events, outcomes = [], []
    steps = [(first, late, True), (second, again, False)]
    for flight, response, is_late in steps if late_first else reversed(steps):
        if response is None:
            told, changes = of.unanswered(flight)
        else:
            told, changes = of.answer((flight, response), late=is_late)
        events += told
        outcomes += changes.outcomes
    taken = late.command_status == 0 or (again is not None and again.command_status == 0)
    for smsc_id in (b"a1", b"a2"):
        if reported and taken:
            told, changes = of.receive(receipt(smsc_id))
            events += told
            outcomes += changes.outcomes
    reserved, used = settled(of)
    assert reserved + used <= 1 and used == int(bool(taken))
    assert len(events) == len(outcomes) <= 1
    waiting = of.carrier.queue.length
    failed = bool(outcomes) and outcomes[0].state == State.FAILED
    assert waiting <= 1
    if taken and not failed:
        assert waiting == 0 and (not reported or outcomes[0].state == State.DELIVERED)
    assert reserved == waiting, "what may still be sent is still reserved"


def test_what_expired_in_doubt_and_was_taken_after_all_is_charged() -> None:
    of = world()
    flight = of.sent()
    of.unanswered(flight)
    changes = Changes()
    events = of.outcomes.end(of.carrier.queue.take(1), State.EXPIRED, Reason.EXPIRED_IN_QUEUE, changes)
    of.committed(changes)
    assert len(events) == 1 and settled(of) == (0, 0)
    assert of.answer((flight, ok()), late=True)[0] == [] and settled(of) == (0, 1)
    assert of.receive(receipt())[0] == []


def test_what_ended_in_doubt_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outcomes.UNSETTLED_MAX", 3)
    of = world(on_unknown="fail")
    flights = [of.sent() for _ in range(5)]
    of.unanswered(*flights)
    of.answer(*((flight, ok(b"%d" % n)) for n, flight in enumerate(flights)), late=True)
    assert settled(of) == (0, 3)


# -- ends of our own ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [State.EXPIRED, State.CANCELLED, State.REJECTED, State.UNKNOWN, State.FAILED]
)
@pytest.mark.parametrize("before", [State.SCHEDULED, State.QUEUED, State.CLAIMED, State.HELD, State.SENT])
def test_an_end_of_our_own_gives_back_what_no_carrier_took(state: State, before: State) -> None:
    of = world()
    part = of.sent().part
    if before == State.SENT:
        of.answer((Flight(part, 1, NOW_MS, None), ok(b"")))
    part.state = before
    for times in (1, 0):
        changes = Changes()
        events = of.outcomes.end([part], state, Reason.NO_RECEIPT, changes)
        of.committed(changes)
        assert len(events) == len(changes.outcomes) == len(changes.receipts) == times, "one end"
        assert settled(of) == ((0, 1) if before == State.SENT else (0, 0))
    assert part.state == state


def test_what_was_not_asked_for_is_not_told_of_our_own_ends() -> None:
    of = world()
    part = of.sent(make_part(of.ids.mint(), registered_delivery=0)).part
    changes = Changes()
    assert of.outcomes.end([part], State.EXPIRED, Reason.EXPIRED_IN_QUEUE, changes) == []
    assert len(changes.outcomes) == 1 and not changes.receipts


# -- split messages -----------------------------------------------------------------------------------


def test_one_receipt_for_a_message_that_we_cut() -> None:
    of = world()
    parts = split_message(of, 3)
    told = [of.receive(receipt(b"m%d" % n))[0] for n in (2, 1, 3)]
    assert [len(events) for events in told] == [0, 0, 1]
    assert told[2][0].part is parts[2] and len(of.splits) == 0


def test_the_first_failure_is_told_and_nothing_after_it() -> None:
    of = world()
    split_message(of, 3, registered_delivery=0x11)
    told = [
        of.receive(receipt(smsc_id, state))[0]
        for smsc_id, state in zip(
            (b"m1", b"m2", b"m2", b"m3", b"m3"), (DELIVERED, ENROUTE, EXPIRED, ENROUTE, REJECTED), strict=True
        )
    ]
    assert [[event.state for event in events] for events in told] == [[], [ENROUTE], [EXPIRED], [], []]


def test_a_part_refused_by_the_carrier_fails_the_message() -> None:
    of = world()
    first = of.ids.mint(2)
    parts = [make_part(first + n, part_no=n + 1, parts=2, flags=PartFlag.SPLIT_BY_US) for n in range(2)]
    of.answer((of.sent(parts[0]), ok(b"m1")))
    events, _ = of.answer((of.sent(parts[1]), refusal(0x45)))
    assert [event.state for event in events] == [UNDELIVERABLE]
    assert of.receive(receipt(b"m1"))[0] == [] and settled(of) == (0, 1)


def test_an_account_may_have_a_receipt_for_each_part() -> None:
    of = World(account=Account(1, 1, "u", "", receipts="part"))
    split_message(of, 2)
    told = [of.receive(receipt(b"m%d" % n, state))[0] for n, state in ((1, UNDELIVERABLE), (2, DELIVERED))]
    assert [[event.state for event in events] for events in told] == [[UNDELIVERABLE], [DELIVERED]]


def test_a_message_cancelled_whole_is_told_once() -> None:
    of = world()
    first = of.ids.mint(3)
    parts = [
        of.sent(make_part(first + n, part_no=n + 1, parts=3, flags=PartFlag.SPLIT_BY_US)).part
        for n in range(3)
    ]
    changes = Changes()
    events = of.outcomes.end(parts, State.CANCELLED, Reason.CANCELLED, changes)
    of.committed(changes)
    assert len(events) == 1 and len(changes.outcomes) == 3 and settled(of) == (0, 0)


def test_an_acceptance_is_told_to_who_asked_for_it_and_never_to_binds() -> None:
    w = world()
    changes = Changes()
    asked = w.sent(make_part(w.ids.mint(), flags=PartFlag.TELL_ACCEPTED))
    other = w.sent(make_part(w.ids.mint()))
    answers = [(flight, ok(b"id")) for flight in (asked, other)]
    events = w.outcomes.answers(w.carrier, 1, answers, changes)
    assert [(event.part, event.state, event.readers) for event in events] == [
        (asked.part, ACCEPTED, EventFor.CURSORS)
    ]
    assert [(row.part_id, row.message_state, row.event, row.raw) for row in changes.receipts] == [
        (asked.part.id, ACCEPTED, EventFor.CURSORS, b"")
    ]
    again = Changes()
    assert w.outcomes.answers(w.carrier, 1, [(asked, ok(b"id2"))], again) == []
    assert again.receipts == []
