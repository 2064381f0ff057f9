"""Requests that two readers could read differently: each is refused, and nothing behind it is answered."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.limits import HttpLimits
from gateway.http.messages import Request, Response
from gateway.http.parser import RequestParser
from gateway.http.routes import Route
from tests.gateway.http_client import request, serving

POST = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BEHIND = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

BAD: dict[str, bytes] = {
    "both lengths": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "both lengths, other order": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "a hexadecimal length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "a length with a space": POST + b"Content-Length: 1 0\r\n\r\nabc",
    "an empty length": POST + b"Content-Length:\r\n\r\nabc",
    "a length beyond numbers": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a folded line": POST + b"X-A: 1\r\n Content-Length: 3\r\n\r\nabc",
    "a folded first line": b"GET /echo HTTP/1.1\r\n Host: a\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a bare CR in a value": POST + b"X-A: a\rContent-Length: 3\r\n\r\nabc",
    "a bare CR at the end": POST + b"X-A: a\r\r\n\r\n",
    "bare LF lines": b"POST /echo HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
    "one bare LF": b"POST /echo HTTP/1.1\r\nHost: a\nContent-Length: 3\r\n\r\nabc",
    "a NUL": POST + b"X-A: a\0b\r\n\r\n",
    "a control": POST + b"X-A: a\x0bb\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 3\r\n\r\nabc",
    "a tab before the colon": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a field without a colon": POST + b"Content-Length\r\n\r\n",
    "a field without a name": POST + b": 3\r\n\r\n",
    "a non-ASCII name": POST + b"X\xff: 3\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding behind chunked": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size in 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
    "a chunk size that overflows": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
    "a chunk size of 2^64": CHUNKED + b"10000000000000000\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a space": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "a chunk size ended by LF": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "a chunk extension with LF": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a length in the trailer": CHUNKED + b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a coding in the trailer": CHUNKED + b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no host": b"GET /echo HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a fragment": b"GET /echo#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target that is no path": b"GET echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tunnel": b"CONNECT other:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "an octet above ASCII in the target": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "an unknown method": b"STEAL /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method in small letters": b"get /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /echo\r\n\r\n",
    "HTTP/1.2": b"GET /echo HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0 in words": b"GET /echo HTTP/2.0\r\nHost: a\r\n\r\n",
    "a NUL in the target": b"GET /ec\0ho HTTP/1.1\r\nHost: a\r\n\r\n",
    "a NUL in the method": b"GE\0T /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a NUL in a name": POST + b"X\0A: b\r\n\r\n",
    "a NUL in a length": POST + b"Content-Length: 3\0\r\n\r\nabc",
    "a NUL in a chunk size": CHUNKED + b"3\0\r\nabc\r\n0\r\n\r\n",
    "a bare CR in the first line": b"GET /echo\r HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab in the first line": b"GET\t/echo\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "a space before the first line": b" GET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a line of spaces before the fields": b"GET /echo HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
    "a folded host": b"GET /echo HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "a length and a comma": POST + b"Content-Length: 3,\r\n\r\nabc",
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "a length with a fraction": POST + b"Content-Length: 3.0\r\n\r\nabc",
    "a length in other digits": POST + "Content-Length: ３\r\n\r\nabc".encode(),
    "a coding behind a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "a coding of two words": POST + b"Transfer-Encoding: chunked x\r\n\r\n0\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding:\r\nContent-Length: 3\r\n\r\nabc",
    "a coding behind a bare LF": POST + b"X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length behind a bare CR": POST + b"X-A: b\r Content-Length: 3\r\n\r\nabc",
    "a length as identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
    "no chunk size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "a signed chunk size": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with an underscore": CHUNKED + b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "a chunk size behind a space": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"3\r\nabc0\r\n\r\n",
    "a chunk ended by LF": CHUNKED + b"3\r\nabc\n0\r\n\r\n",
    "a chunk ended by CR": CHUNKED + b"3\r\nabc\r0\r\n\r\n",
    "a last chunk ended by LF": CHUNKED + b"3\r\nabc\r\n0\n\n",
    "a bare CR in a chunk extension": CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "a NUL in a trailer": CHUNKED + b"0\r\nX-A: \0\r\n\r\n",
    "a folded trailer": CHUNKED + b"0\r\nX-A: b\r\n c\r\n\r\n",
    "a URL without an authority": b"GET http:///echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a URL of another scheme": b"GET ftp://a/echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "an authority as target": b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a star for GET": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a URL with a user": b"GET http://u:p@a/echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a URL of another host": b"GET http://b/echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a host with a path": b"GET /echo HTTP/1.1\r\nHost: a/smuggled\r\n\r\n",
    "a host with a user": b"GET /echo HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "an empty host": b"GET /echo HTTP/1.1\r\nHost:\r\n\r\n",
    "hosts in a list": b"GET /echo HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "a lower-case version": b"GET /echo http/1.1\r\nHost: a\r\n\r\n",
    "a version of two digits": b"GET /echo HTTP/1.10\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "SMPP": b"\x00\x00\x00\x2f\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x01",
}


def echo(request: Request) -> Response:
    return Response(200, request.body)


def smuggled(request: Request) -> Response:
    raise AssertionError("a smuggled request was answered")


ROUTES = [Route("GET", "/echo", echo), Route("POST", "/echo", echo), Route("GET", "/smuggled", smuggled)]


@pytest.mark.parametrize("name", BAD)
async def test_ambiguous_requests_end_the_connection(name: str) -> None:
    async with serving(ROUTES) as bench:
        client = await bench.connect()
        await client.send(request("GET", "/echo") + BAD[name] + BEHIND)
        assert (await client.reply()).status == 200
        reply = await client.reply()
        assert reply.status in (400, 501, 505), reply
        assert reply.headers["connection"] == "close"
        assert reply.headers["content-type"] == "application/problem+json"
        await client.until_closed()
        assert len(re.findall(rb"HTTP/1.1 \d", client.raw)) == 2


@settings(max_examples=150, deadline=None)
@given(
    bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    chunked=st.lists(st.integers(0, 7), min_size=4, max_size=4),
    cuts=st.lists(st.integers(1, 400), max_size=6),
)
def test_bodies_come_through_whatever_their_framing(
    bodies: list[bytes], chunked: list[int], cuts: list[int]
) -> None:
    data = b"".join(framed(body, size) for body, size in zip(bodies, chunked, strict=False))
    parser = RequestParser(
        HttpLimits(), peer=lambda _: "", admit=lambda _: None, reserve=lambda _: True, next_id=lambda: b"x"
    )
    at = 0
    for cut in [*sorted({cut for cut in cuts if cut < len(data)}), len(data)]:
        parser.feed(data[at:cut])
        at = cut
    assert parser.fault is None
    assert [r.body for r in parser.ready] == bodies
    assert parser.reserved == sum(map(len, bodies))


def framed(body: bytes, size: int) -> bytes:
    """A POST with a length, or in chunks of `size`."""
    if not size:
        return POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_noise_never_raises(data: st.DataObject) -> None:
    good = framed(b"hello", 2) + framed(b"there", 0) + BEHIND
    octets = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    parser = RequestParser(
        HttpLimits(), peer=lambda _: "", admit=lambda _: None, reserve=lambda _: True, next_id=lambda: b"x"
    )
    parser.feed(bytes(octets))
    parser.feed(b"x")
