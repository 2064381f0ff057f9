"""One-time codes: the vectors of the RFCs, and what counts as now."""

import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from store import totp

KEY = b"12345678901234567890"
SECRET = base64.b32encode(KEY).decode()


@pytest.mark.parametrize(
    ("counter", "code"),
    [(0, "755224"), (1, "287082"), (2, "359152"), (3, "969429"), (4, "338314"),
     (5, "254676"), (6, "287922"), (7, "162583"), (8, "399871"), (9, "520489")],
)  # fmt: skip
def test_codes_by_counter_are_those_of_rfc_4226_appendix_d(counter: int, code: str) -> None:
    assert totp.code_at(KEY, counter) == code


@pytest.mark.parametrize(
    ("at_s", "code"),
    [(59, "94287082"), (1111111109, "07081804"), (1111111111, "14050471"), (1234567890, "89005924"),
     (2000000000, "69279037"), (20000000000, "65353130")],
)  # fmt: skip
def test_codes_by_time_are_those_of_rfc_6238_appendix_b(at_s: int, code: str) -> None:
    assert totp.code_at(KEY, totp.step_of(at_s * 1000), digits=8) == code


def test_a_code_counts_half_a_minute_early_and_late_and_not_a_step_longer() -> None:
    now_ms = 1_700_000_000_000
    step = totp.step_of(now_ms)
    found = [totp.matching_step(SECRET, totp.code_at(KEY, step + off), now_ms) for off in range(-3, 4)]
    assert found == [0, 0, step - 1, step, step + 1, 0, 0]


def test_a_code_that_was_used_and_every_earlier_one_counts_no_more() -> None:
    now_ms = 1_700_000_000_000
    step = totp.step_of(now_ms)
    code = totp.code_at(KEY, step)
    assert totp.matching_step(SECRET, code, now_ms, after=step - 1) == step
    assert totp.matching_step(SECRET, code, now_ms, after=step) == 0


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "００００００", "\x00" * 6])
def test_what_is_no_code_matches_nothing(code: str) -> None:
    assert totp.matching_step(SECRET, code, 1_700_000_000_000) == 0


def test_the_picture_s_text_is_read_back_whole() -> None:
    secret = totp.new_secret()
    uri = urlsplit(totp.key_uri(secret, "a.b-c", "Sluice & Co"))
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/Sluice & Co:a.b-c")
    values = {name: value[0] for name, value in parse_qs(uri.query).items()}
    assert values == {"secret": secret, "issuer": "Sluice & Co", "digits": "6", "period": "30"}
    assert len(base64.b32decode(secret)) == 20
