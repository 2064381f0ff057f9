"""SMPP time strings: `YYMMDDhhmmsstnnp`, absolute or relative (SMPP 3.4 section 7.1.1).

`t` is tenths of a second, `nn` quarter hours from UTC (00 to 48), `p` is `+` (local time ahead of UTC), `-`
(behind) or `R` (relative to now). A two-digit year is of the century nearest to now. Relative years and
months are calendar ones (a month after 31 January is the last of February); days and smaller are fixed. All
times here are UTC milliseconds; the clock is an argument.
"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from functools import lru_cache

QUARTER_HOUR_MS = 900_000
QUARTER_HOURS_MAX = 48
DAY_S = 86_400
RELATIVE_SECONDS_MAX = (99 * 12 * 31 + 30) * DAY_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadTime(ValueError):
    """A time string that says no time. Answer ESME_RINVSCHED or ESME_RINVEXPIRY, by the field it stood in."""


def parse_time(value: bytes, now_ms: int, *, short_form: bool = False) -> int | None:
    """The moment a time string means, in UTC milliseconds; None for an empty one.

    Args:
      value: without its NUL. 16 characters, absolute or relative. A relative field may exceed its unit (72
        hours are 72 hours) and its `t` and `nn` are ignored; all zero is now.
      now_ms: relative times count from it, and two-digit years are near it.
      short_form: also take `YYMMDDhhmmss` (an SMSC's own clock, read as UTC), which `final_date` may have.
    Raises:
      BadTime: anything else.
    """
    if not value:
        return None
    if len(value) == 12 and short_form and value.isdigit():
        return _absolute_ms(value, now_ms)
    if len(value) != 16 or not value[:15].isdigit():
        raise BadTime(f"{value[:32]!r} is not a time: YYMMDDhhmmsstnnp has 15 digits and one of + - R")
    sign = value[15:]
    if sign == b"R":
        return _after(value, now_ms)
    quarter_hours = int(value[13:15])
    if sign not in (b"+", b"-") or quarter_hours > QUARTER_HOURS_MAX:
        raise BadTime(
            f"{value!r} is not a time: it ends in quarter hours from UTC, 00 to 48, and one of + - R"
        )
    ahead_ms = quarter_hours * QUARTER_HOUR_MS * (1 if sign == b"+" else -1)
    return _absolute_ms(value, now_ms) + (value[12] - 0x30) * 100 - ahead_ms


def _numbers(value: bytes) -> list[int]:
    return [int(value[at : at + 2]) for at in range(0, 12, 2)]


def _absolute_ms(value: bytes, now_ms: int) -> int:
    year, month, day, hour, minute, second = _numbers(value)
    year_now = _moment(now_ms).year
    year += year_now - year_now % 100
    year += 100 if year < year_now - 50 else -100 if year > year_now + 50 else 0
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as impossible:
        raise BadTime(f"{value!r} is not a time: {impossible}") from impossible
    return _ms(moment)


def _after(value: bytes, now_ms: int) -> int:
    years, months, days, hours, minutes, seconds = _numbers(value)
    fixed_ms = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000
    if not years and not months:
        return now_ms + fixed_ms
    now = _moment(now_ms)
    years_on, month_index = divmod(now.month - 1 + months, 12)
    year, month = now.year + years + years_on, month_index + 1
    moment = now.replace(year=year, month=month, day=min(now.day, monthrange(year, month)[1]))
    return _ms(moment) + now_ms % 1000 + fixed_ms


def _moment(ms: int) -> datetime:
    return _EPOCH + timedelta(seconds=ms // 1000)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_relative(seconds: float) -> bytes:
    """`seconds` from now as a relative time, never longer than asked; zero and less are "now".

    From 31 days on it names months, of 31 days each: a carrier's calendar may take up to three days a month
    less. `format_absolute` is exact.
    """
    whole = min(max(int(seconds), 0), RELATIVE_SECONDS_MAX)
    days, rest = divmod(whole, DAY_S)
    months, days = divmod(days, 31)
    years, months = divmod(months, 12)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return b"%02d%02d%02d%02d%02d%02d000R" % (years, months, days, hour, minute, second)


def format_absolute(ms: int) -> bytes:
    """A moment as an absolute time in UTC, `...00+`."""
    return _moment(ms).strftime("%y%m%d%H%M%S").encode() + b"%d00+" % (ms % 1000 // 100)


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> bytes:
    return _moment(minutes * 60_000).strftime("%y%m%d%H%M").encode()


def receipt_date(ms: int) -> bytes:
    """YYMMDDhhmm in UTC, as a receipt's dates are written. Cached by the minute: it is on the hot path."""
    return _minute(ms // 60_000)


def validity_deadline(
    validity_period: bytes,
    now_ms: int,
    *,
    default_s: int,
    max_s: int,
    qos_time_to_live_s: int | None = None,
) -> int:
    """When a message must be delivered by, in UTC milliseconds.

    `qos_time_to_live` (a TLV, seconds) beats `validity_period`, as SMPP 5.0 has it; neither gives
    `default_s`, as does an all-zero relative period (jsmpp's way of saying nothing); anything beyond `max_s`
    is cut to it. A relative period counts from `now_ms`, also for a scheduled message.

    Raises:
      BadTime: unreadable, or already over: answer ESME_RINVEXPIRY.
    """
    if qos_time_to_live_s is not None:
        deadline = now_ms + qos_time_to_live_s * 1000
    else:
        asked = parse_time(validity_period, now_ms)
        deadline = now_ms + default_s * 1000 if asked is None or asked == now_ms else asked
        if deadline < now_ms:
            raise BadTime(f"the validity period {validity_period!r} is over before it began")
    return min(deadline, now_ms + max_s * 1000)


def schedule_moment(schedule_delivery_time: bytes, now_ms: int, *, ahead_max_s: int) -> int:
    """When to send, in UTC milliseconds: `now_ms` for no schedule and for one in the past.

    Raises:
      BadTime: unreadable, or further ahead than `ahead_max_s`: answer ESME_RINVSCHED.
    """
    moment = parse_time(schedule_delivery_time, now_ms)
    if moment is None or moment <= now_ms:
        return now_ms
    if moment > now_ms + ahead_max_s * 1000:
        raise BadTime(f"{schedule_delivery_time!r} is more than {ahead_max_s // DAY_S} days ahead")
    return moment
