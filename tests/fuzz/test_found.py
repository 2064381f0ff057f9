"""Faults that hostile octets found, each as the law that it broke."""

import tracemalloc
from functools import partial

import msgspec
import pytest

from gateway.api import ids
from gateway.api.invalid import Invalid, decode
from gateway.api.parameters import NEWEST, Parameters
from gateway.api.shapes import MessageIn
from gateway.api.streamed import LINE_OCTETS_MAX
from gateway.http.limits import HttpLimits
from gateway.http.messages import Request
from gateway.http.parser import RequestParser
from gateway.smpp.decode import decode_pdus
from gateway.smpp.segments import count_parts, split
from gateway.smpp.session import Role, Session, SessionLimits
from gateway.smpp.text import DEFAULT_ALPHABETS, Unencodable, encode_sender
from tests.smpp.growth import assert_linear

from .http_targets import lines_of

_decoder = msgspec.json.Decoder(MessageIn)


@pytest.mark.parametrize("length", range(16))
def test_an_impossible_length_is_judged_by_its_four_octets_alone(length: int) -> None:
    # Lengths of 5 to 15 were not judged before so many octets had come: the peer that sent no more was waited for.
    octets = length.to_bytes(4, "big")
    found = decode_pdus(octets)
    assert found.framing_lost is not None and found.framing_lost.command_length == length
    session = Session(role=Role.MC, limits=SessionLimits(), now=0.0)
    assert session.receive(octets, 0.0).closing
    assert session.take_output() == bytes.fromhex("00000010800000000000000200000000")


@pytest.mark.parametrize("alphabet", DEFAULT_ALPHABETS)
@pytest.mark.parametrize("sender", ["ACME", "\x05", "é", "a\0b", "@a"])
def test_a_sender_with_a_nul_in_its_octets_is_refused_in_every_alphabet(sender: str, alphabet: str) -> None:
    # UCS-2 has a NUL in every Latin letter: the search for the guilty character ended in StopIteration.
    try:
        octets = encode_sender(sender, alphabet=alphabet)
    except Unencodable as refused:
        assert sender[refused.position] == refused.character
    else:
        assert 0 not in octets


def problem_of(name: str) -> Invalid:
    with pytest.raises(Invalid) as refused:
        decode(_decoder, msgspec.json.encode({"to": "1", name: 1}))
    return refused.value


def test_the_name_of_an_unknown_field_costs_no_more_than_its_length() -> None:
    # One line of a batch could hold the daemon for seconds, a body of 8 MiB for hours.
    assert_linear(lambda n: partial(problem_of, " - at `$" * n + "\n"), size=1_000)


@pytest.mark.parametrize("name", ["x", "a - at `$.to`", " - at `$\n", "x`", "`", " - at `"])
def test_an_unknown_field_is_called_by_its_name(name: str) -> None:
    assert problem_of(name).code in ("unknown-field", "type")


@pytest.mark.parametrize("again", ["to", "t\\u006f", "\\u0074o", "t\\u006F"])
def test_a_field_that_is_there_twice_is_refused_however_its_name_is_written(again: str) -> None:
    # An escaped name was not recognized: who screened the first number let the second one through.
    with pytest.raises(Invalid) as refused:
        decode(_decoder, f'{{"to":"1","{again}":"2","text":"x"}}'.encode())
    assert refused.value.code == "repeated"
    assert decode(_decoder, b'{"to":"1","text":"a \\"to\\": \\u0041:"}').to == "1"


def test_a_field_of_a_field_is_pointed_at() -> None:
    with pytest.raises(Invalid) as refused:
        decode(_decoder, b'{"to":"1","metadata":{"a":1}}')
    assert refused.value.pointer == "/metadata"
    with pytest.raises(Invalid) as refused:
        decode(_decoder, b'{"to":"1","priority":9}')
    assert refused.value.pointer == "/priority"


@pytest.mark.parametrize("size", [1_000, 65_536, 200_000])
def test_a_line_is_too_long_however_the_body_is_cut(size: int) -> None:
    # One whose end came with the piece that made it too long was taken.
    fits, too_long = b"a" * LINE_OCTETS_MAX, b"a" * (LINE_OCTETS_MAX + 1)
    lines, _, broken = lines_of(b"{}\n" + fits + b"\n" + too_long + b"\n{}", size)
    assert (lines, broken) == ([b"{}", fits], True)


def parameters(query: bytes) -> Parameters:
    request = Request("GET", b"/", b"/", query, "1.1", {}, "127.0.0.1", b"id", True)
    return Parameters(request, ("limit", "since"))


@pytest.mark.parametrize("limit", [b"000000001999", b"000000001" + b"9" * 5_000, b"0", b"1001", "²".encode()])
def test_a_limit_is_what_all_of_its_digits_say(limit: bytes) -> None:
    # Only the first nine were looked at; with some thousand behind them int() gave up, which was a 500.
    with pytest.raises(Invalid):
        parameters(b"limit=" + limit).limit()


def test_a_time_in_the_far_future_is_a_number_that_a_database_knows() -> None:
    # From the year 2242 on it did not fit 64 bits, which was a 500.
    for moment in (b"2242-03-17T00:00:00Z", b"9999-12-31T23:59:59-23:59"):
        assert parameters(b"since=" + moment).since() <= NEWEST


def test_an_id_has_one_spelling_but_for_case() -> None:
    # "ß" becomes two letters as a capital: an id of 13 characters was read as 14.
    assert ids.read(ids.MESSAGE, "msg_000000000000ß") == 0
    shown = ids.show(ids.MESSAGE, 123_456_789_012)
    assert (
        ids.read(ids.MESSAGE, shown) == ids.read(ids.MESSAGE, "msg_" + shown[4:].lower()) == 123_456_789_012
    )


def test_a_body_in_tiny_chunks_takes_the_memory_of_the_body() -> None:
    # An object was kept for each chunk: 8 MiB of body in chunks of two octets took 230 MiB.
    body = b"xy" * 50_000
    parser = RequestParser(
        HttpLimits(),
        peer=lambda forwarded: "127.0.0.1",
        admit=lambda request: None,
        reserve=lambda octets: True,
        next_id=lambda: b"id",
    )
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyx\r\n1\r\ny\r\n")
    data = b"2\r\nxy\r\n" * (len(body) // 2 - 2)
    tracemalloc.start()
    try:
        for at in range(0, len(data), 65_536):
            parser.feed(data[at : at + 65_536])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 3 * len(body)
    parser.feed(b"400\r\n" + b"z" * 1_024 + b"\r\n0\r\n\r\n")
    assert parser.fault is None
    assert parser.ready[0].body == body + b"z" * 1_024


@pytest.mark.parametrize(
    "last", [b"\x00a", b"\xd8\x3d\xde\x00", b"\x03\x01", b"\x20\x0d", b"\xff\xff", b"\xdc\x00"]
)
def test_half_a_character_at_the_end_of_a_long_text_is_cut_like_any_other(last: bytes) -> None:
    # A UCS-2 text of odd length whose last octet began a part ended its customer's connection, unanswered.
    for first in (b"\xd8\x3d\xde\x00", b"\x00a", b"\x03\x01"):
        for size in range(140, 420):
            octets = (first * 105)[: size - 6] + (last * 3)[:6]
            parts = split(octets, "ucs2")
            assert b"".join(parts) == octets
            assert len(parts) == count_parts(octets, "ucs2")
            assert max(map(len, parts)) <= 140
