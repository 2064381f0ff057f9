"""Time strings, validity and schedules."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.times import (
    BadTime,
    format_absolute,
    format_relative,
    parse_time,
    receipt_date,
    schedule_moment,
    validity_deadline,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def at(*parts: int) -> int:
    """UTC milliseconds of year, month, day, ..."""
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000  # type: ignore[misc,arg-type]


NOW = at(2017, 6, 1, 12, 0, 0)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (b"170610233429004+", at(2017, 6, 10, 22, 34, 29)),
        (b"170610233429008-", at(2017, 6, 11, 1, 34, 29)),
        (b"170610233429000+", at(2017, 6, 10, 23, 34, 29)),
        (b"170610233429700-", at(2017, 6, 10, 23, 34, 29) + 700),
        (b"070927233429848+", at(2007, 9, 27, 11, 34, 29) + 800),
        (b"120305124350000+", at(2012, 3, 5, 12, 43, 50)),
        (b"150203040506708+", at(2015, 2, 3, 2, 5, 6) + 700),
        (b"200229000000000+", at(2020, 2, 29)),
    ],
)
def test_absolute_times_are_local_to_the_quarter_hour(value: bytes, moment: int) -> None:
    assert parse_time(value, NOW) == moment


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (b"000000010000000R", NOW + HOUR_MS),
        (b"000007000000000R", NOW + 7 * DAY_MS),
        (b"020610233429000R", at(2019, 12, 11, 12) + 23 * HOUR_MS + (34 * 60 + 29) * 1000),
        (b"010203040506000R", at(2018, 8, 4, 12) + 4 * HOUR_MS + (5 * 60 + 6) * 1000),
        (b"070605040302100R", at(2024, 12, 6, 12) + 4 * HOUR_MS + (3 * 60 + 2) * 1000),  # tenths are ignored
        (b"000000000000000R", NOW),
        (b"000000720000000R", NOW + 72 * HOUR_MS),  # 72 hours are 72 hours
    ],
)
def test_relative_times_count_from_now(value: bytes, moment: int) -> None:
    assert parse_time(value, NOW) == moment


@pytest.mark.parametrize(
    ("now", "value", "moment"),
    [
        (at(2017, 1, 31, 6), b"000100000000000R", at(2017, 2, 28, 6)),
        (at(2016, 1, 31, 6), b"000100000000000R", at(2016, 2, 29, 6)),
        (at(2016, 2, 29), b"010000000000000R", at(2017, 2, 28)),
        (at(2017, 11, 30), b"000300000000000R", at(2018, 2, 28)),
        (at(2017, 5, 31), b"000101000000000R", at(2017, 7, 1)),  # to 30 June, then a day
        (at(2017, 12, 15) + 250, b"000100000000000R", at(2018, 1, 15) + 250),
    ],
)
def test_relative_months_are_calendar_months(now: int, value: bytes, moment: int) -> None:
    assert parse_time(value, now) == moment


@pytest.mark.parametrize(
    ("now", "year"),
    [(at(2017, 6, 1), 2000), (at(1999, 6, 1), 2000), (at(2049, 1, 1), 2000), (at(2080, 1, 1), 2100)],
)
def test_a_two_digit_year_is_of_the_nearest_century(now: int, year: int) -> None:
    assert parse_time(b"000101000000000+", now) == at(year, 1, 1)


def test_years_before_and_after_the_turn() -> None:
    assert parse_time(b"991231000000000+", NOW) == at(1999, 12, 31)
    assert parse_time(b"170101000000000+", at(1999, 1, 1)) == at(2017, 1, 1)


def test_no_time_is_none() -> None:
    assert parse_time(b"", NOW) is None


@pytest.mark.parametrize(
    "value",
    [
        b"170610233429049+",  # 49 quarter hours
        b"170610233429099-",
        b"171310233429000+",  # month 13
        b"170010233429000+",
        b"170631000000000+",  # 31 June
        b"190229000000000+",
        b"170610243429000+",
        b"170610236029000+",
        b"170610233460000+",
        b"170610233429000X",
        b"170610233429000r",
        b"17061023342900R",  # 15
        b"1706102334290000R",  # 17
        b"170610233429",  # 12, where it is not allowed
        b"1706102334290 0+",
        b"\xb2\xb3061023342900+",
        b"now",
        b"+" * 16,
        b"-00000000000000R",
    ],
)
def test_what_is_no_time_is_refused(value: bytes) -> None:
    with pytest.raises(BadTime):
        parse_time(value, NOW)


def test_the_twelve_digit_form_is_for_an_smsc_s_own_times() -> None:
    assert parse_time(b"170610233429", NOW, short_form=True) == at(2017, 6, 10, 23, 34, 29)
    with pytest.raises(BadTime):
        parse_time(b"171310233429", NOW, short_form=True)


@given(st.binary(max_size=20), st.integers(0, 4_000_000_000_000), st.booleans())
def test_any_octets_are_a_time_or_refused(value: bytes, now: int, short_form: bool) -> None:
    try:
        moment = parse_time(value, now, short_form=short_form)
    except BadTime:
        return
    assert (moment is None) == (value == b"")


@given(
    st.text("0123456789", min_size=15, max_size=15), st.sampled_from("+-R"), st.integers(0, 4_000_000_000_000)
)
def test_any_digits_are_a_time_or_refused(digits: str, sign: str, now: int) -> None:
    value = (digits + sign).encode()
    try:
        moment = parse_time(value, now)
    except BadTime:
        assert sign != "R"
    else:
        assert moment is not None
        assert sign != "R" or moment >= now


@given(st.integers(0, 4_000_000_000_000))
def test_absolute_times_come_back_to_the_tenth(moment: int) -> None:
    assert parse_time(format_absolute(moment), moment) == moment // 100 * 100


@given(st.integers(0, 30 * 86_400 + 86_399))
def test_relative_times_up_to_a_month_come_back_to_the_second(seconds: int) -> None:
    assert parse_time(format_relative(seconds), NOW) == NOW + seconds * 1000


@given(st.integers(0, 10**10), st.integers(0, 4_000_000_000_000))
def test_a_relative_time_is_never_longer_than_asked(seconds: int, now: int) -> None:
    moment = parse_time(format_relative(seconds), now)
    assert moment is not None
    assert moment <= now + seconds * 1000
    months = seconds // (31 * 86_400) + 1
    assert seconds > 3_000_000_000 or moment >= now + (seconds - 3 * 86_400 * months) * 1000


def test_how_times_are_written() -> None:
    assert format_relative(3600) == b"000000010000000R"
    assert format_relative(7 * 86_400) == b"000007000000000R"
    assert format_relative(0) == format_relative(-5) == b"000000000000000R"
    assert format_absolute(at(2017, 6, 10, 22, 34, 29) + 950) == b"170610223429900+"
    assert receipt_date(at(2017, 6, 10, 22, 34, 59) + 999) == b"1706102234"
    assert receipt_date(at(2017, 6, 10, 22, 35, 0)) == b"1706102235"


LIMITS = {"default_s": 86_400, "max_s": 7 * 86_400}


def test_a_validity_is_carried_on_as_what_is_left_of_it() -> None:
    deadline = validity_deadline(b"000000010000000R", NOW, **LIMITS)
    twenty_minutes_later = NOW + 20 * 60_000
    assert format_relative((deadline - twenty_minutes_later) / 1000) == b"000000004000000R"
    assert deadline - (NOW + HOUR_MS) == 0


def test_qos_time_to_live_beats_validity_period() -> None:
    assert validity_deadline(b"000000010000000R", NOW, **LIMITS, qos_time_to_live_s=60) == NOW + 60_000


def test_a_validity_has_a_default_and_a_limit() -> None:
    assert validity_deadline(b"", NOW, **LIMITS) == NOW + DAY_MS
    assert validity_deadline(b"000000000000000R", NOW, **LIMITS) == NOW + DAY_MS
    assert validity_deadline(b"010000000000000R", NOW, **LIMITS) == NOW + 7 * DAY_MS
    assert validity_deadline(b"", NOW, **LIMITS, qos_time_to_live_s=2**32 - 1) == NOW + 7 * DAY_MS


def test_a_validity_that_is_over_is_refused() -> None:
    with pytest.raises(BadTime, match="over before it began"):
        validity_deadline(b"170101000000000+", NOW, **LIMITS)


def test_a_schedule_in_the_past_is_now_and_one_too_far_is_refused() -> None:
    assert schedule_moment(b"", NOW, ahead_max_s=30 * 86_400) == NOW
    assert schedule_moment(b"170101000000000+", NOW, ahead_max_s=30 * 86_400) == NOW
    assert schedule_moment(b"170602120000000+", NOW, ahead_max_s=30 * 86_400) == NOW + DAY_MS
    with pytest.raises(BadTime, match="more than 30 days ahead"):
        schedule_moment(b"010000000000000R", NOW, ahead_max_s=30 * 86_400)
