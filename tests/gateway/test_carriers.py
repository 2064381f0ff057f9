"""One carrier: what may leave now, in which order, over which bind, and how it slows down."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers import Flight
from gateway.smpp.constants import Status
from store.directory import Carrier
from store.model import Part, PartFlag
from tests.gateway.core_world import NOW_MS, FakeBind, World, decoded, make_part, ok, refusal
from tests.gateway.test_outbound import ids, message


def world(**settings: Any) -> World:
    return World(carriers=[Carrier(1, "a", **settings)])


def offered(of: World, *messages: list[Part]) -> list[Part]:
    parts = [part for one in messages for part in one]
    of.carrier.queue.offer(parts)
    return parts


def singles(count: int, first: int = 1) -> list[Part]:
    return [make_part(n) for n in range(first, first + count)]


# -- windows, binds, pace -----------------------------------------------------------------------------


def test_no_more_than_the_window_is_ever_unanswered() -> None:
    of = world()
    bind = FakeBind(of.carrier, window=4)
    offered(of, singles(10))
    of.carrier.pump()
    of.carrier.pump()
    assert bind.sent_ids() == [1, 2, 3, 4] and of.carrier.limited_by == "window"
    bind.flights = bind.flights[3:]
    of.carrier.pump()
    assert bind.sent_ids() == [1, 2, 3, 4, 5, 6, 7]
    assert of.carrier.sent == 7


def test_binds_take_turns_and_a_bind_that_cannot_send_gets_nothing() -> None:
    of = world()
    binds = [FakeBind(of.carrier, window=2) for _ in range(3)]
    binds[1].can_send = False
    offered(of, singles(8))
    of.carrier.pump()
    assert sorted(binds[0].sent_ids() + binds[2].sent_ids()) == [1, 2, 3, 4]
    assert not binds[1].sent
    for _ in range(4):
        for bind in binds:
            bind.flights.clear()
        of.carrier.pump()
    assert len(binds[0].sent) == len(binds[2].sent) == 4


@given(st.integers(1, 2000), st.lists(st.floats(0, 0.4), min_size=1, max_size=40), st.integers(1, 3))
def test_no_second_holds_more_than_the_rate_over_all_binds_together(
    rate: int, pauses: list[float], binds: int
) -> None:
    of = world(rate=rate)
    some = [FakeBind(of.carrier, window=10_000) for _ in range(binds)]
    offered(of, singles(1000))
    for pause in pauses:
        of.clock.advance(pause)
        of.carrier.pump()
    times = sorted(at for bind in some for at in bind.sent_at)
    for first, at in enumerate(times):
        assert sum(at <= later < at + 1.0 for later in times[first:]) <= rate


def test_a_rate_asks_to_be_woken_when_the_next_part_may_leave() -> None:
    of = world(rate=10)
    bind = FakeBind(of.carrier)
    offered(of, singles(3))
    of.carrier.pump()
    assert bind.sent_ids() == [1]
    assert of.wakes[-1] == pytest.approx(of.clock.now() + 0.1, abs=0.001)
    of.carrier.pump()
    assert of.carrier.limited_by == "rate"
    of.clock.advance(0.101)
    of.carrier.pump()
    assert bind.sent_ids() == [1, 2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda of: of.carrier.apply(Carrier(1, "a", state="paused")), "paused"),
        (lambda of: setattr(of.carrier, "stopped", True), "disk full"),
        (lambda of: setattr(of.carrier.adaptive, "paused_until", 1e9), "throttled by the carrier"),
        (lambda of: setattr(of.carrier.binds[0], "can_send", False), "bind"),
        (lambda of: setattr(of.carrier.binds[0], "window", 0), "window"),
        (lambda of: of.carrier.queue.remove(lambda part: True), "nothing to send"),
    ],
)
def test_why_nothing_leaves_is_said(change: Any, reason: str) -> None:
    of = world()
    bind = FakeBind(of.carrier)
    offered(of, singles(2))
    change(of)
    of.carrier.pump()
    assert not bind.sent and of.carrier.limited_by == reason


def test_a_carrier_is_up_while_it_is_active_and_a_bind_can_send() -> None:
    of = world()
    assert not of.carrier.up
    bind = FakeBind(of.carrier)
    assert of.carrier.up
    bind.can_send = False
    assert not of.carrier.up
    bind.can_send = True
    of.carrier.apply(Carrier(1, "a", state="paused"))
    assert not of.carrier.up


# -- messages and binds -------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=12),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.sampled_from(["resend", "hold"]),
)
def test_the_parts_of_a_message_go_over_one_bind_in_order_and_contiguous(
    messages: list[int], windows: list[int], on_unknown: str
) -> None:
    of = world(on_unknown=on_unknown)
    binds = [FakeBind(of.carrier, window=window) for window in windows]
    at = 1
    for parts in messages:
        offered(of, message(at, parts))
        at += parts
    for _ in range(100):
        of.carrier.pump()
        while of.claims:
            of.carrier.claim_is_durable(of.claims.pop(0))
        for bind in binds:
            bind.flights.clear()
    assert sorted(i for bind in binds for i in bind.sent_ids()) == list(range(1, at))
    for bind in binds:
        sent = [part for part, _ in bind.sent]
        for n, part in enumerate(sent):
            if part.part_no > 1:
                assert sent[n - 1].id == part.id - 1


def test_the_rest_of_a_message_stays_with_its_bind() -> None:
    of = world()
    first = FakeBind(of.carrier, window=2)
    offered(of, message(1, 5))
    of.carrier.pump()
    second = FakeBind(of.carrier, window=10)
    of.carrier.pump()
    assert first.sent_ids() == [1, 2] and not second.sent
    assert ids(list(first.carried)) == [3, 4, 5]


# -- what must not leave ------------------------------------------------------------------------------


def test_an_expired_part_is_handed_back_and_does_not_use_up_the_grant() -> None:
    of = world()
    bind = FakeBind(of.carrier, window=3)
    offered(of, [make_part(n, expires_at=NOW_MS if n < 50 else NOW_MS + 1) for n in range(1, 60)])
    of.carrier.tries[1] = 4
    of.carrier.pump()
    assert ids(of.ended) == list(range(1, 50))
    assert bind.sent_ids() == [50, 51, 52]
    assert not of.carrier.tries, "nothing is remembered of what is gone"


def test_the_rest_of_a_message_that_expired_meanwhile_does_not_leave() -> None:
    of = world()
    bind = FakeBind(of.carrier, window=1)
    offered(of, message(1, 3, expires_at=NOW_MS + 1000))
    of.carrier.pump()
    of.clock.advance(2)
    bind.flights.clear()
    of.carrier.pump()
    assert bind.sent_ids() == [1] and ids(of.ended) == [2, 3]


def test_parts_are_removed_wherever_they_wait_here() -> None:
    of = world(on_unknown="hold")
    bind = FakeBind(of.carrier, window=1)
    offered(of, message(1, 3), singles(6, first=4))
    of.carrier.pump()
    of.carrier.claim_is_durable(of.claims.pop())
    of.carrier.claimed.extend(of.carrier.queue.take(2))
    assert bind.sent_ids() == [1] and ids(list(bind.carried)) == [2, 3]
    of.carrier.tries = {2: 1, 4: 1, 9: 1}
    removed = of.carrier.remove(lambda part: part.id in (1, 2, 4, 9))
    assert sorted(ids(removed)) == [2, 4, 9], "what is on the wire cannot be taken back"
    assert not of.carrier.tries
    assert of.carrier.withdraw(3) and not of.carrier.withdraw(3)
    assert not bind.carried and ids(list(of.carrier.claimed)) == [5]


def test_what_settings_make_unsendable_is_handed_back_and_the_rest_leaves() -> None:
    of = world(default_sender="a name that is far too long for SMPP")
    bind = FakeBind(of.carrier)
    offered(of, [make_part(1, source=b""), make_part(2), make_part(3, source=b"")])
    of.carrier.pump()
    assert bind.sent_ids() == [2] and ids(of.unsendable) == [1, 3]
    assert of.carrier.sent == 1
    offered(of, [make_part(4, source=b"")])
    of.carrier.pump()
    assert ids(of.unsendable) == [1, 3, 4] and len(bind.flights) == 1


# -- what leaves --------------------------------------------------------------------------------------


def test_a_plain_part_leaves_as_it_is_stored() -> None:
    of = world()
    bind = FakeBind(of.carrier)
    (part,) = offered(of, singles(1))
    of.carrier.pump()
    assert bind.sent == [(part, part.body)]
    assert bind.flights == [Flight(part, 1, NOW_MS, None)]


def test_a_part_with_validity_leaves_with_what_is_left_of_it_and_the_attempt_says_so() -> None:
    of = world()
    bind = FakeBind(of.carrier)
    offered(of, [make_part(1, flags=PartFlag.VALIDITY_GIVEN, expires_at=NOW_MS + 3_600_000), make_part(2)])
    of.clock.advance(20 * 60)
    of.carrier.pump()
    assert decoded(bind.sent[0][1]).validity_period == b"000000004000000R"
    assert [flight.pdu is None for flight in bind.flights] == [False, True]
    assert [flight.n for flight in bind.flights] == [1, 1]


def test_another_attempt_is_counted() -> None:
    of = world()
    bind = FakeBind(of.carrier)
    offered(of, singles(2))
    of.carrier.tries[2] = 3
    of.carrier.pump()
    assert [(flight.part.id, flight.n) for flight in bind.flights] == [(1, 1), (2, 4)]


# -- at most once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_unknown", ["hold", "fail"])
def test_nothing_leaves_before_its_claim_is_durable(on_unknown: str) -> None:
    of = world(on_unknown=on_unknown)
    bind = FakeBind(of.carrier, window=3)
    offered(of, singles(5))
    of.carrier.pump()
    assert not bind.sent and ids(of.claims[0]) == [1, 2, 3]
    of.carrier.claim_is_durable(of.claims.pop())
    assert bind.sent_ids() == [1, 2, 3]


def test_no_more_is_claimed_than_the_windows_can_take() -> None:
    # What is claimed when the process dies is never sent again.
    of = world(on_unknown="hold")
    binds = [FakeBind(of.carrier, window=3) for _ in range(2)]
    offered(of, singles(50))
    for _ in range(10):
        of.carrier.pump()
    assert sum(len(claim) for claim in of.claims) <= 6
    while of.claims:
        of.carrier.claim_is_durable(of.claims.pop(0))
    assert sorted(i for bind in binds for i in bind.sent_ids()) == list(range(1, 7))


def test_what_was_claimed_leaves_also_when_the_policy_changes() -> None:
    of = world(on_unknown="hold")
    bind = FakeBind(of.carrier, window=2)
    offered(of, singles(4))
    of.carrier.pump()
    of.carrier.apply(Carrier(1, "a"))
    of.carrier.claim_is_durable(of.claims.pop())
    bind.flights.clear()
    of.carrier.pump()
    assert bind.sent_ids() == [1, 2, 3, 4]


# -- slowing down -------------------------------------------------------------------------------------


def throttle(of: World, times: int) -> None:
    for _ in range(times):
        of.carrier.throttle(of.clock.now(), of.carrier.accepted_rate)


def test_the_first_throttling_answer_pauses_the_carrier_for_a_second() -> None:
    of = world()
    bind = FakeBind(of.carrier)
    offered(of, singles(1))
    throttle(of, 1)
    of.carrier.pump()
    assert not bind.sent and of.wakes == [of.clock.now() + 1.0]
    of.clock.advance(1.0)
    of.carrier.pump()
    assert bind.sent_ids() == [1]


def test_ten_refusals_halve_the_contract_rate_and_clean_seconds_raise_it_again() -> None:
    of = world(rate=100)
    throttle(of, 10)
    assert of.carrier.pacer.rate == 50
    for second in range(1, 11):
        of.clock.advance(1.0)
        of.carrier.rise(of.clock.now())
        assert of.carrier.pacer.rate == pytest.approx(min(100, 50 + 5 * second))
    assert of.carrier.pacer.rate == 100


def test_without_a_contract_rate_half_of_the_measured_one_counts_until_it_has_risen() -> None:
    of = world()
    of.carrier.accepted += 600
    of.clock.advance(2.0)
    of.carrier.measure(of.clock.now())
    assert of.carrier.accepted_rate == 300
    throttle(of, 10)
    assert of.carrier.pacer.rate == 150
    for _ in range(10):
        of.clock.advance(1.0)
        of.carrier.rise(of.clock.now())
    assert of.carrier.pacer.rate == 0, "no limit again"


def test_in_its_first_second_a_carrier_is_not_slowed_to_a_crawl() -> None:
    of = world()
    of.clock.advance(0.5)
    flights = [of.sent() for _ in range(110)]
    of.answer(*((flight, ok(b"%d" % n)) for n, flight in enumerate(flights[:100])))
    of.answer(*((flight, refusal(Status.ESME_RTHROTTLED)) for flight in flights[100:]))
    assert of.carrier.pacer.rate == 50


def test_a_carrier_that_takes_more_than_was_measured_is_slowed_less() -> None:
    of = world()
    throttle(of, 10)
    assert of.carrier.pacer.rate == 0.5, "nothing was measured yet"
    of.carrier.accepted += 300
    of.clock.advance(1.0)
    of.carrier.measure(of.clock.now())
    assert of.carrier.pacer.rate == 150


def test_a_new_rate_is_taken_while_slowed_down() -> None:
    of = world(rate=100)
    throttle(of, 10)
    of.carrier.apply(Carrier(1, "a", rate=1000))
    assert of.carrier.pacer.rate == 500


def test_settings_change_in_place() -> None:
    of = world()
    offered(of, singles(1))
    of.carrier.apply(Carrier(1, "a", source_ton=3, message_id="dec"))
    bind = FakeBind(of.carrier)
    of.carrier.pump()
    assert decoded(bind.sent[0][1]).source_addr_ton == 3
    assert of.carrier.correlation.habits.rule == "dec"
