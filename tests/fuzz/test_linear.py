"""What parsing costs grows with the octets and no faster: the input doubled three times takes eight times as long.

Every pattern is one that a careless parser would look at again and again. CPU time, the best of several: a noisy
machine makes a run slower, never faster.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from gateway.api.invalid import Invalid, Malformed, decode
from gateway.api.shapes import BatchIn, MessageIn
from gateway.api.streamed import Lines
from gateway.http.limits import HttpLimits, Proxies
from gateway.http.messages import Request
from gateway.http.parser import RequestParser
from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body, decode_pdus
from gateway.smpp.encode import encode
from gateway.smpp.pdu import BindTransceiver, DeliverSm, SubmitSm
from gateway.smpp.receipts import is_receipt, parse_receipt
from gateway.smpp.segments import count_parts, split
from gateway.smpp.session import Role, Session, SessionLimits
from gateway.smpp.text import DEFAULT_ALPHABETS, decode_text
from gateway.smpp.tlv import read_tlvs
from gateway.smpp.udh import build_udh, parse_udh
from tests.smpp.growth import assert_linear
from tests.smpp.octets import ENQUIRE_LINK, frame, message

from .http_targets import ROUTER, run
from .http_targets import _Stream as Stream
from .reader import pieces

Work = Callable[[int], Callable[[], object]]
PDU_OCTETS_MAX = 70_000


def read_in_pieces(stream: bytes, size: int) -> None:
    buffer = bytearray()
    for piece in pieces(stream, size):
        buffer += piece
        del buffer[: decode_pdus(buffer, octets_max=1 << 24).octets_consumed]


STREAMS: dict[str, Callable[[int], bytes]] = {
    "many enquire_links": lambda n: ENQUIRE_LINK * (n // 16),
    "many unknown commands": lambda n: frame(0x1234) * (n // 16),
    "many malformed submits": lambda n: frame(CommandId.SUBMIT_SM, b"\0") * (n // 17),
    "submits without a NUL": lambda n: frame(CommandId.SUBMIT_SM, b"\xff" * 100) * (n // 116),
    "one long submit": lambda n: frame(CommandId.SUBMIT_SM, message() + b"\x04\x24\x00\x00" * (n // 4)),
    "one submit without a NUL": lambda n: frame(CommandId.SUBMIT_SM, b"a" * n),
    "many destinations": lambda n: frame(
        CommandId.SUBMIT_MULTI, b"\0\1\1" + b"\0" + b"\xff" + b"\2a\0" * (n // 3)
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_pdus(name: str) -> None:
    assert_linear(lambda n: partial(read_in_pieces, STREAMS[name](n), 0), size=20_000)


@pytest.mark.parametrize("name", ["one long submit", "one submit without a NUL", "many enquire_links"])
def test_a_stream_of_pdus_octet_by_octet(name: str) -> None:
    assert_linear(lambda n: partial(read_in_pieces, STREAMS[name](n), 1), size=4_000)


def bound(limits: SessionLimits) -> Session:
    session = Session(role=Role.MC, limits=limits, now=0.0)
    (request,) = session.receive(encode(BindTransceiver(1)), 0.0).requests
    session.accept_bind(request, b"we", 0.0)
    return session


def receive(limits: SessionLimits, stream: bytes, size: int) -> None:
    session = bound(limits)
    for piece in pieces(stream, size):
        session.receive(piece, 0.0)


@pytest.mark.parametrize("size", [1, 0])
@pytest.mark.parametrize("name", STREAMS)
def test_what_a_bound_peer_sends(name: str, size: int) -> None:
    limits = SessionLimits(bad_pdus_max=10**6, octets_max=1 << 24)
    assert_linear(lambda n: partial(receive, limits, STREAMS[name](n), size), size=2_000 if size else 10_000)


def test_what_a_peer_sends_behind_a_bind_that_is_not_answered() -> None:
    def read(stream: bytes) -> None:
        session = Session(role=Role.MC, limits=SessionLimits(), now=0.0)
        for octet in pieces(stream, 1):
            session.receive(octet, 0.0)

    bind, behind = encode(BindTransceiver(1)), encode(SubmitSm(2, destination_addr=b"1"))
    assert_linear(lambda n: partial(read, bind + behind * (n // len(behind))), size=3_000)


TLV_STREAMS = {"empty": b"\x14\0\0\0", "one octet": b"\x14\0\0\1\1", "receipted ids": b"\0\x1e\0\2a\0"}


@pytest.mark.parametrize("name", TLV_STREAMS)
def test_tlvs(name: str) -> None:
    pattern = TLV_STREAMS[name]
    assert_linear(lambda n: partial(read_tlvs, pattern * n, 0, len(pattern) * n), size=2_000)
    assert_linear(lambda n: partial(decode_body, CommandId.DELIVER_SM, message() + pattern * n), size=2_000)


def test_user_data_headers() -> None:
    # A header is 256 octets at most: many of them, each of as many elements as fit.
    header = build_udh(((0x70, b""),) * 69)
    assert_linear(lambda n: lambda: [parse_udh(header + b"x") for _ in range(n)], size=100)
    assert_linear(lambda n: partial(parse_udh, header + b"x" * n), size=20_000)


RECEIPTS = [
    b"id:", b"id:1 stat:", b"text:", b"text:id:", b"submit date:", b"stat:DELIVRD ", b" ", b"\0", b",", b"1,",
    b"id:\0", b"i", b"err:000 ", b"submit ", b"id:1 sub:0 dlvrd:0 submit date:0 done date:",
]  # fmt: skip


@pytest.mark.parametrize("data_coding", [0, 8])
@pytest.mark.parametrize("pattern", RECEIPTS)
def test_receipts(pattern: bytes, data_coding: int) -> None:
    def work(n: int) -> Callable[[], object]:
        octets = pattern * (n // len(pattern))
        found = DeliverSm(data_coding=data_coding, tlvs=((0x0424, octets), (0x001E, octets)))
        return lambda: (parse_receipt(found), is_receipt(found, by_text=True))

    assert_linear(work, size=8_000)


@pytest.mark.parametrize("alphabet", DEFAULT_ALPHABETS)
@pytest.mark.parametrize(
    "pattern", [b"\x1b", b"a", b"\xff\xfe", b"\x1b\x1b\x1be", b"\xd8\x3d", b"\x1b$B", b"\0"]
)
def test_texts(alphabet: str, pattern: bytes) -> None:
    for data_coding in (0, 1, 3, 4, 5, 8, 10, 13, 14):
        assert_linear(
            lambda n, data_coding=data_coding: partial(
                decode_text, pattern * n, data_coding, default_alphabet=alphabet
            ),
            size=2_000,
        )


@pytest.mark.parametrize("alphabet", ["gsm", "ucs2", "octets", "latin1"])
@pytest.mark.parametrize("pattern", [b"\x1b", b"\xd8\x3d", b"\x03\x01", b"\x0b\xcd", b"a"])
def test_splitting(alphabet: str, pattern: bytes) -> None:
    # 255 parts are all that can be said.
    def work(n: int) -> Callable[[], object]:
        octets = pattern * (n // len(pattern))
        return lambda: (count_parts(octets, alphabet), split(octets, alphabet))

    assert_linear(work, size=3_600)


HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
REQUESTS: dict[str, Callable[[int], bytes]] = {
    "chunks of one octet": lambda n: CHUNKED + b"1\r\nx\r\n" * (n // 6),
    "chunks of two octets": lambda n: CHUNKED + b"2\r\nxy\r\n" * (n // 7),
    "a body": lambda n: HEAD + b"Content-Length: %d\r\n\r\n" % n + b"x" * n,
    "many requests": lambda n: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * (n // 27),
    "many refused": lambda n: b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n" * (n // 29),
    "many slashes": lambda n: (b"GET " + b"/" * 400 + b" HTTP/1.1\r\nHost: a\r\n\r\n") * (n // 427),
    "many fields": lambda n: (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 90 + b"\r\n") * (n // 566),
}


def parse(octets: bytes, size: int) -> None:
    parser = RequestParser(
        HttpLimits(),
        peer=lambda forwarded: "127.0.0.1",
        admit=ROUTER.find,
        reserve=lambda octets: True,
        next_id=lambda: b"id",
    )
    for piece in pieces(octets, size):
        parser.feed(piece)
    assert parser.fault is None


@pytest.mark.parametrize("size", [1, 65_536])
@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name: str, size: int) -> None:
    assert_linear(lambda n: partial(parse, REQUESTS[name](n), size), size=6_000)


def test_a_list_of_proxies() -> None:
    proxies = Proxies(("127.0.0.0/8",))
    assert_linear(lambda n: partial(proxies.client, "127.0.0.1", b"127.0.0.1," * n + b"::2"), size=200)


BODIES: dict[str, Callable[[int], bytes]] = {
    "brackets": lambda n: b"[" * n,
    "objects": lambda n: b'{"a":' * n,
    "unknown": lambda n: msgspec.json.encode({" - at `$" * n + "\n": 1}),
    "dots": lambda n: msgspec.json.encode({".`" * n: 1}),
    "an encoding": lambda n: msgspec.json.encode({"to": "1", "encoding": " - at `$" * n}),
    "hex": lambda n: msgspec.json.encode({"to": "1", "binary": "00" * n + "x"}),
    "metadata": lambda n: msgspec.json.encode({"to": "1", "metadata": {" - at `$" * n: 1}}),
    "escapes": lambda n: b'{"to":"' + b"\\u00e9" * n + b'"}',
    "digits": lambda n: b'{"to":' + b"1" * n + b"}",
    "spaces": lambda n: b" " * n + b"{",
    "twice, behind words": lambda n: b'{"to":"1","text":"' + b"a" * n + b'","to":"2"}',
    "twice, behind quotes": lambda n: b'{"to":"1","text":"' + b'\\"' * n + b'","to":"2"}',
    "twice, behind backslashes": lambda n: b'{"to":"1","text":"' + b"\\\\" * n + b'","to":"2"}',
    "twice, behind names": lambda n: b'{"to":"1","text":"' + b'\\"a\\" ' * n + b'","to":"2"}',
    "recipients": lambda n: msgspec.json.encode({"recipients": ["1"] * n + [1]}),
    "messages": lambda n: b'{"messages":[' + b'{"to":"1"},' * n + b'{"to":1}]}',
}


@pytest.mark.parametrize("kind", [MessageIn, BatchIn])
@pytest.mark.parametrize("name", BODIES)
def test_json(name: str, kind: Any) -> None:
    decoder = msgspec.json.Decoder(kind)

    def attempt(body: bytes) -> None:
        with pytest.raises((Invalid, Malformed)):
            decode(decoder, body)

    assert_linear(lambda n: partial(attempt, BODIES[name](n)), size=1_000)


LINES = {"short": b"{}\n", "empty": b"\n", "spaces": b" \n", "long": b'{"to":"' + b"1" * 60_000 + b'"}\n'}


@pytest.mark.parametrize("name", LINES)
def test_lines(name: str) -> None:
    def read(stream: bytes) -> None:
        request = Request("POST", b"/", b"/", b"", "1.1", {}, "127.0.0.1", b"id", True)
        request.stream = Stream(stream, 4_096)
        lines = Lines(request)
        while run(lines.next()):
            pass

    assert_linear(lambda n: partial(read, LINES[name] * (n // len(LINES[name]) + 1)), size=100_000)


# That a quadratic one would be found: two that once were, or easily could be.

_carelessly = re.compile(r" - at `(?:key in )?\$(.*?)`$")


def _joined_again(stream: bytes) -> bytes:
    held: tuple[int, ...] = ()
    for piece in pieces(stream, 1):
        held = tuple(octet for octet in (*held, *piece))
    return bytes(held)


def _all_before_each(octets: bytes) -> int:
    return sum(octet == 1 for at in range(len(octets)) for octet in octets[:at])


# What is done again is done octet by octet in Python: a copy or a search in C can be so fast beside the loop around it
# that even its square does not show.
QUADRATIC: dict[str, tuple[Work, int]] = {
    "a lazy search from every place": (lambda n: partial(_carelessly.search, " - at `$" * n + "\n"), 200),
    "a buffer copied for every octet": (lambda n: partial(_joined_again, bytes(n)), 300),
    "all before each": (lambda n: partial(_all_before_each, bytes(n)), 300),
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_a_quadratic_one_would_be_found(name: str) -> None:
    work, size = QUADRATIC[name]
    with pytest.raises(AssertionError, match="us for n"):
        assert_linear(work, size=size)
