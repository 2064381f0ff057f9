"""The clocks of a session, told the time."""

from math import inf

import pytest

from gateway.smpp.session_values import SessionLimits
from gateway.smpp.timers import NOTHING, Due, Timers

LIMITS = SessionLimits(
    session_init_s=10,
    partial_pdu_s=30,
    enquire_link_s=30,
    enquire_answer_s=10,
    inactivity_s=100,
    unbind_s=5,
)


def bound(limits: SessionLimits = LIMITS, *, now: float = 0.0, jitter: float = 0.0) -> Timers:
    timers = Timers(limits, now=now, jitter=jitter)
    timers.bound(now)
    return timers


def due_at(timers: Timers, now: float) -> Due:
    """What is due at `now`, while nothing is a moment before."""
    assert timers.next_at() == now
    assert timers.tick(now - 0.001) == NOTHING
    return timers.tick(now).due


def test_a_connection_must_be_bound_in_time() -> None:
    timers = Timers(LIMITS, now=5.0)
    assert due_at(timers, 15.0) is Due.CLOSE
    assert "10 s" in timers.tick(15.0).reason


def test_our_own_slowness_with_a_bind_is_not_the_peers_fault() -> None:
    timers = Timers(LIMITS, now=0.0)
    timers.bind_arrived()
    assert timers.next_at() == inf


def test_an_outbind_starts_the_session_init_timer_again() -> None:
    timers = Timers(LIMITS, now=0.0)
    timers.await_bind(8.0)
    assert due_at(timers, 18.0) is Due.CLOSE


def test_a_silent_peer_is_enquired() -> None:
    timers = bound()
    timers.heard(12.0)
    assert due_at(timers, 42.0) is Due.ENQUIRE_LINK


def test_one_unanswered_enquire_link_is_followed_by_another_and_two_close() -> None:
    timers = bound()
    timers.enquired(30.0)
    assert not timers.suspect
    assert due_at(timers, 40.0) is Due.ENQUIRE_LINK
    assert timers.suspect
    timers.enquired(40.0)
    assert due_at(timers, 50.0) is Due.CLOSE


def test_any_pdu_instead_of_the_answer_proves_life() -> None:
    timers = bound()
    timers.enquired(30.0)
    timers.tick(40.0)
    timers.enquired(40.0)
    timers.heard(49.0)
    assert not timers.suspect
    assert due_at(timers, 79.0) is Due.ENQUIRE_LINK
    timers.enquired(79.0)
    assert due_at(timers, 89.0) is Due.ENQUIRE_LINK, "the count of strikes began anew"


def test_a_long_pause_of_our_own_kills_no_session() -> None:
    timers = bound()
    timers.enquired(30.0)
    assert timers.tick(500.0).due is Due.ENQUIRE_LINK
    timers.enquired(500.0)
    timers.heard(500.1)
    assert timers.tick(500.2).due is Due.UNBIND, "but 500 s without a transaction are 500 s"


@pytest.mark.parametrize(("jitter", "first"), [(0.0, 30.0), (0.5, 22.5), (1.0, 15.0)])
def test_jitter_moves_the_first_enquire_link_and_no_other(jitter: float, first: float) -> None:
    timers = bound(jitter=jitter)
    assert due_at(timers, first) is Due.ENQUIRE_LINK
    timers.enquired(first)
    timers.heard(first)
    assert due_at(timers, first + 30.0) is Due.ENQUIRE_LINK


def test_inactivity_counts_transactions_and_not_signs_of_life() -> None:
    timers = bound()
    for now in range(10, 100, 10):
        timers.heard(float(now))
    timers.transacted(50.0)
    for now in range(60, 150, 10):
        timers.heard(float(now))
    assert due_at(timers, 150.0) is Due.UNBIND
    assert timers.tick(150.0).due is not Due.UNBIND, "once is enough"


def test_a_pdu_must_be_complete_in_time_counted_from_its_first_octet() -> None:
    timers = bound()
    timers.partial(1.0, begun=True)
    for now in (6.0, 11.0, 16.0, 21.0, 26.0):
        timers.partial(now, begun=False)
        timers.heard(now)
    assert due_at(timers, 31.0) is Due.CLOSE


def test_the_next_pdu_gets_its_own_time() -> None:
    timers = bound()
    timers.partial(1.0, begun=True)
    timers.partial(20.0, begun=True)
    timers.heard(20.0)
    timers.whole()
    assert timers.next_at() == 50.0, "only the enquire_link is left"


def test_unbinding_stops_every_timer_but_its_own() -> None:
    timers = bound()
    timers.enquired(30.0)
    timers.unbinding(33.0)
    timers.unbinding(36.0)
    timers.heard(37.0)
    timers.transacted(37.0)
    assert due_at(timers, 38.0) is Due.CLOSE


def test_inactivity_counts_only_while_bound() -> None:
    timers = Timers(LIMITS, now=0.0)
    timers.bind_arrived()
    timers.transacted(1.0)
    assert timers.next_at() == inf
    timers.bound(2.0)
    timers.unbinding(3.0)
    timers.transacted(4.0)
    timers.tick(8.0)
    assert timers.next_at() == 8.0
    assert timers.tick(1000.0).due is Due.CLOSE


def test_zero_switches_a_timer_off() -> None:
    off = SessionLimits(session_init_s=0, partial_pdu_s=0, enquire_link_s=0, inactivity_s=0, unbind_s=0)
    timers = Timers(off, now=0.0)
    timers.partial(0.0, begun=True)
    assert timers.next_at() == inf
    timers.bound(0.0)
    timers.heard(1.0)
    timers.transacted(1.0)
    assert timers.next_at() == inf
    timers.unbinding(1.0)
    assert timers.next_at() == inf


def test_without_an_answer_timer_enquiries_go_on() -> None:
    timers = bound(SessionLimits(enquire_link_s=30, enquire_answer_s=0))
    timers.enquired(30.0)
    assert due_at(timers, 60.0) is Due.ENQUIRE_LINK


def test_the_round_trip_is_measured() -> None:
    timers = bound()
    assert timers.round_trip_s is None
    timers.enquired(30.0)
    timers.enquire_answered(30.25)
    assert timers.round_trip_s == 0.25
