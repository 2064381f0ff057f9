"""Rates: the pacer's promise over every window, the bucket's bound, the slow-down and its end."""

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ratelimit import EXACT_RATE_MAX, Adaptive, Pacer, TokenBucket

START = 1000.0

# Waits between calls, in seconds: none, jitter of a busy loop, and a long silence.
waits = st.lists(
    st.one_of(
        st.just(0.0), st.floats(0, 0.002), st.floats(0, 0.3), st.floats(0, 3.0), st.sampled_from([1.0, 0.5])
    ),
    min_size=1,
    max_size=60,
)
rates = st.one_of(
    st.integers(1, 60), st.integers(1, 20_000), st.sampled_from([1, 49, 50, 51, 99, 100, 20_000])
)


class SlidingLog:
    """The strictest carrier: no second, wherever it begins, may hold more than `rate` parts."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.log: deque[tuple[float, int]] = deque()
        self.held = 0

    def take(self, count: int, now: float) -> None:
        self.log.append((now, count))
        self.held += count
        while self.log[0][0] <= now - 1.0:
            self.held -= self.log.popleft()[1]
        assert self.held <= self.rate, f"{self.held} parts within a second at {now}"


@given(rates, waits, st.lists(st.integers(1, 500), min_size=60, max_size=60))
def test_no_second_holds_more_parts_than_the_rate(rate: int, pauses: list[float], wanted: list[int]) -> None:
    pacer, log, now = Pacer(rate), SlidingLog(rate), START
    for pause, count in zip(pauses, wanted, strict=False):
        now += pause
        granted = pacer.available(count, now)
        assert 0 <= granted <= count
        if granted:
            pacer.sent(granted, now)
            log.take(granted, now)


@given(rates)
def test_a_sender_that_comes_when_it_is_told_never_exceeds_the_rate_and_nearly_reaches_it(rate: int) -> None:
    pacer, log, now = Pacer(rate), SlidingLog(rate), START
    sent = turns = 0
    while turns < 200:
        turns += 1
        granted = pacer.available(10_000, now)
        assert granted > 0, "next_at is when the next part may leave"
        pacer.sent(granted, now)
        log.take(granted, now)
        sent += granted
        now = pacer.next_at(now)
    elapsed, burst = now - START, max(1, rate // 50)
    assert 0.97 * rate * elapsed <= sent <= rate * elapsed + burst


@pytest.mark.parametrize("rate", [1, 10, EXACT_RATE_MAX])
def test_a_low_rate_is_spaced_evenly(rate: int) -> None:
    pacer = Pacer(rate)
    assert pacer.available(100, START) == 1
    pacer.sent(1, START)
    assert pacer.available(100, START) == 0
    assert pacer.available(100, START + 0.9 / rate) == 0
    assert pacer.available(100, pacer.next_at(START)) == 1
    assert pacer.next_at(START) - START == pytest.approx(1 / rate, rel=0.01)


def test_rate_zero_never_limits() -> None:
    pacer = Pacer(0)
    assert pacer.available(10**6, START) == 10**6
    pacer.sent(10**6, START)
    assert pacer.available(5, START) == 5
    assert pacer.next_at(START) == START


def test_nothing_saved_up_in_a_silence_beyond_the_burst() -> None:
    pacer = Pacer(1000)
    assert pacer.available(10_000, START + 86_400) == 20


def test_what_was_sent_counts_after_the_rate_is_changed() -> None:
    pacer = Pacer(2)
    pacer.sent(1, START)
    pacer.set_rate(1)
    assert pacer.available(1, START + 0.1) == 0
    pacer.set_rate(2)
    assert pacer.available(1, START + 0.1) == 0


@given(st.integers(1, 1000), st.integers(0, 2000), waits)
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(
    rate: int, burst: int, pauses: list[float]
) -> None:
    bucket, now, taken = TokenBucket(rate, burst, START), START, 0
    for pause in pauses:
        now += pause
        wait = bucket.wait_s(rate, now)
        granted = bucket.take(rate, now)
        assert (granted >= math.floor(min(rate, bucket.burst))) == (wait == 0.0)
        taken += granted
        assert taken <= (burst or rate) + rate * (now - START) + 1e-6


@given(st.integers(1, 1000), st.integers(1, 5000))
def test_a_bucket_says_how_long_it_takes_to_fill(rate: int, wanted: int) -> None:
    bucket = TokenBucket(rate, 0, START)
    bucket.take(rate, START)
    wait = bucket.wait_s(wanted, START)
    assert wait == pytest.approx(min(wanted, rate) / rate)
    assert bucket.take(wanted, START + wait + 1e-6) == min(wanted, rate)


def test_what_is_given_back_can_be_taken_again_but_never_beyond_the_burst() -> None:
    bucket = TokenBucket(10, 20, START)
    assert bucket.take(20, START) == 20
    bucket.give_back(5)
    assert bucket.take(20, START) == 5
    bucket.give_back(100)
    assert bucket.take(100, START) == 20


def test_a_bucket_without_a_rate_never_limits() -> None:
    bucket = TokenBucket(0, 0, START)
    assert bucket.take(10**6, START) == 10**6
    assert bucket.wait_s(10**6, START) == 0.0


def test_what_is_owed_is_paid_before_the_next_token_passes() -> None:
    bucket = TokenBucket(10, 10, START)
    assert bucket.take(10, START) == 10
    bucket.owe(20, START)
    assert bucket.wait_s(1, START) == pytest.approx(2.1)
    assert bucket.take(5, START + 2.0) == 0
    assert bucket.take(5, START + 2.5) == 5


def test_ten_refusals_in_a_row_halve_the_rate() -> None:
    adaptive = Adaptive()
    assert [adaptive.refused(START) for _ in range(10)] == [False] * 9 + [True]
    assert adaptive.factor == 0.5
    assert adaptive.paused_until == START + Adaptive.PAUSE_S
    assert [adaptive.refused(START + 1) for _ in range(10)][-1] and adaptive.factor == 0.25


def test_what_was_sent_before_a_cut_does_not_cut_again() -> None:
    adaptive = Adaptive()
    assert sum(adaptive.refused(START + n / 1000) for n in range(500)) == 1
    assert adaptive.factor == 0.5
    assert adaptive.paused_until == START + 0.499 + Adaptive.PAUSE_S


def test_an_answer_of_another_kind_breaks_the_row() -> None:
    adaptive = Adaptive()
    for _ in range(5):
        for _ in range(9):
            assert not adaptive.refused(START)
        adaptive.accepted()
    assert adaptive.factor == 1.0 and adaptive.refusals == 45


def test_the_rate_never_falls_to_nothing() -> None:
    adaptive = Adaptive()
    for n in range(1000):
        adaptive.refused(START + n)
    assert adaptive.factor == Adaptive.FACTOR_MIN > 0


def test_the_rate_rises_by_a_twentieth_each_clean_second_to_the_whole_and_no_further() -> None:
    adaptive = Adaptive()
    for _ in range(10):
        adaptive.refused(START)
    assert not adaptive.rise(START + 0.5), "not while paused"
    seconds, now = 0, START
    while adaptive.factor < 1.0:
        now += 1.0
        seconds += 1
        before = adaptive.factor
        assert adaptive.rise(now)
        assert not adaptive.rise(now), "once a second at most"
        assert adaptive.factor == pytest.approx(min(1.0, before + 0.05))
    assert seconds == 10
    assert not adaptive.rise(now + 1)
