"""Kannel's escape codes, each as smsbox writes it."""

import pytest

from gateway.legacy.calls import clean
from gateway.legacy.escapes import Values, encode, fill

VALUES = Values(
    handset=b"00861380013",
    ours=b"+1069",
    text=b"STOP my *news* now",
    kind=8,
    time_s=1_795_348_805,
    carrier="carrier a",
    message_id="1ac0e66a-c000-8000-8300-000000000000",
    foreign_id="a/1",
    service="acme",
    account=b"club one",
    binfo=b"42",
    meta_data=b"?smpp?dlr_err=%03%00%01&b=c%20d&?orders?id=7&",
    dlr_url=b"http://x/?a=%d",
    udh=b"\x05\x00",
    coding=2,
    mclass=0,
    mwi=-1,
    data_coding=8,
)
CODES = [
    ("%a", "STOP+my+*news*+now"),
    ("%A", "STOP+my+*news*+now"),
    ("%b", "STOP+my+*news*+now"),
    ("%B", "42"),
    ("%c", "2"),
    ("%C", "UTF-16BE"),
    ("%d", "8"),
    ("%D", "%3Fsmpp%3Fdlr_err%3D%2503%2500%2501%26b%3Dc%2520d%26%3Forders%3Fid%3D7%26"),
    ("%f", ""),
    ("%F", "a%2F1"),
    ("%i", "carrier+a"),
    ("%I", "1ac0e66a-c000-8000-8300-000000000000"),
    ("%k", "STOP"),
    ("%m", "0"),
    ("%M", "-1"),
    ("%n", "acme"),
    ("%o", "club+one"),
    ("%O", "08"),
    ("%p", "00861380013"),
    ("%P", "%2B1069"),
    ("%q", "%2B861380013"),
    ("%Q", "%2B1069"),
    ("%r", "my+*news*+now"),
    ("%R", "http%3A%2F%2Fx%2F%3Fa%3D%25d"),
    ("%s", "my"),
    ("%s-%s-%s-%s", "my-*news*-now-"),
    ("%s-%S", "my-~news~"),
    ("%s %r", "my *news*+now"),
    ("%t", "2026-11-22+12:00:05"),
    ("%T", "1795348805"),
    ("%u", "%05%00"),
    ("%v%V", ""),
    ("%%", "%"),
    ("%x", "%x"),
    ("100%", "100%"),
    ("%#smpp#b#.", "c+d."),
    ("%#orders#id#%#orders#none#", "7"),
    ("%#open", "open"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "filled"), CODES)
def test_each_code_stands_for_what_kannel_puts_there(pattern: str, filled: str) -> None:
    assert fill(pattern, VALUES) == filled


def test_a_report_without_text_leaves_its_codes_empty() -> None:
    empty = Values(handset=b"1", ours=b"2")
    assert fill("%a|%k|%s|%r|%F|%D|%c|%C", empty) == "||||||-1|UTF-8"


def test_all_octets_are_encoded_as_kannel_does() -> None:
    safe = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.!~*'()"
    for octet in range(256):
        text = encode(bytes([octet]))
        if octet == 0x20:
            assert text == "+"
        elif chr(octet) in safe:
            assert text == chr(octet)
        else:
            assert text == f"%{octet:02X}"


def test_odd_characters_of_old_configurations_are_escaped() -> None:
    assert clean("http://h/a b?x={1}|%zz&é=%41") == "http://h/a%20b?x=%7B1%7D%7C%25zz&%C3%A9=%41"
