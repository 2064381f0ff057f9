"""A head that was read before is taken for what it was, and nothing else is."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.heads import HEAD_OCTETS_MAX, HEADS_MAX, Head, Heads
from gateway.http.limits import HttpLimits
from gateway.http.messages import Request, Response
from gateway.http.parser import RequestParser
from tests.gateway.http_client import request

BODY = b'{"to":"1"}'
POST = request("POST", "/v1/messages?x=1", BODY, Authorization="Bearer a")


def parser(heads: Heads, **changed: Any) -> RequestParser:
    plain: dict[str, Any] = {
        "peer": lambda forwarded: "192.0.2.7",
        "admit": lambda request: None,
        "reserve": lambda octets: True,
        "next_id": lambda: b"id",
    }
    return RequestParser(HttpLimits(), heads=heads, **plain | changed)


def read(heads: Heads, *pieces: bytes) -> RequestParser:
    one = parser(heads)
    for piece in pieces:
        one.feed(piece)
    return one


def told(one: RequestParser) -> list[Any]:
    return [
        (r.method, r.target, r.path, r.query, r.version, r.headers, r.peer, r.keep_alive, r.body, r.upgrade)
        for r in one.ready
    ]


def test_the_second_of_two_equal_heads_needs_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = Heads()
    first = read(heads, POST)
    again = parser(heads)
    monkeypatch.setattr(RequestParser, "on_message_begin", lambda self: pytest.fail("it was read"))
    other = POST.replace(b'"1"', b'"2"')
    again.feed(POST)
    again.feed(other)
    assert told(again)[0] == told(first)[0] and again.ready[0] is not first.ready[0]
    assert [r.body for r in again.ready] == [BODY, b'{"to":"2"}']
    assert again.reserved == 2 * len(BODY)


requests = st.sampled_from(
    [
        POST,
        request("POST", "/v1/messages?x=1", b"", Authorization="Bearer a"),
        request("POST", "/v1/messages?x=1", BODY + b"\r\n\r\n", Authorization="Bearer a"),
        request("GET", "/v1/messages"),
        request("GET", "/v1/messages", Connection="close"),
        request("POST", "/", BODY, Expect="100-continue"),
        request("POST", "/", b"\r\n\r\n"),
        b"\r\n" + POST,
        b"\r\n\r\n" + POST,
        b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n X: y\r\n\r\n",
    ]
)


@given(st.lists(requests, min_size=1, max_size=5), st.lists(st.integers(1, 300), max_size=4), st.booleans())
def test_what_is_remembered_changes_nothing(octets: list[bytes], cuts: list[int], apart: bool) -> None:
    heads = Heads()
    stream = b"".join(octets)
    edges = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
    pieces = octets if apart else [stream[a:b] for a, b in pairwise(edges)]
    fresh = read(Heads(), *pieces)
    for _ in range(2):
        remembering = read(heads, *pieces)
        assert told(remembering) == told(fresh)
        assert (remembering.fault, remembering.in_message) == (fresh.fault, fresh.in_message)
        for one in octets:
            read(heads, one)


@pytest.mark.parametrize("cut", [1, 30, len(POST) - len(BODY), len(POST) - 1])
def test_a_known_head_whose_body_is_elsewhere_is_read(cut: int) -> None:
    heads = Heads()
    read(heads, POST)
    assert [r.body for r in read(heads, POST[:cut], POST[cut:]).ready] == [BODY]
    assert [r.body for r in read(heads, POST + POST[:cut], POST[cut:]).ready] == [BODY, BODY]


def test_a_known_head_is_admitted_anew() -> None:
    heads, asked = Heads(), []

    def admit(request: Request) -> Response | None:
        asked.append(request.headers[b"authorization"])
        return Response(401, close=len(asked) > 2) if len(asked) > 1 else None

    one = parser(heads, admit=admit)
    for _ in range(4):
        one.feed(POST)
    assert asked == [b"Bearer a"] * 3, "the third refusal closes"
    assert [r.refusal is not None for r in one.ready] == [False, True, True]
    assert [r.body for r in one.ready] == [BODY, b"", b""]
    assert one.fault is not None


def test_a_known_head_needs_memory_like_any_other() -> None:
    heads = Heads()
    read(heads, POST)
    one = parser(heads, reserve=lambda octets: False)
    one.feed(POST)
    assert one.fault is not None and one.fault.code == "queue-full" and not one.ready


def test_ids_and_expectations_are_never_remembered() -> None:
    for field in ({"X_Request_Id": "mine"}, {"Expect": "100-continue"}, {"Upgrade": "x"}):
        heads = Heads()
        data = request("POST", "/", BODY, **field)
        read(heads, data)
        assert heads.find(data) is None


def test_what_is_remembered_is_bounded() -> None:
    heads = Heads()
    for number in range(HEADS_MAX):
        heads.keep(b"GET /%d HTTP/1.1\r\n\r\n" % number, Head("GET", b"", b"", b"", {}, 0))
    assert heads.find(b"GET /0 HTTP/1.1\r\n\r\n")
    heads.keep(b"GET /x HTTP/1.1\r\n\r\n", Head("GET", b"", b"", b"", {}, 0))
    assert heads.find(b"GET /x HTTP/1.1\r\n\r\n") and not heads.find(b"GET /0 HTTP/1.1\r\n\r\n")
    long = b"GET /" + b"x" * HEAD_OCTETS_MAX + b" HTTP/1.1\r\n\r\n"
    heads.keep(long, Head("GET", b"", b"", b"", {}, 0))
    assert heads.find(long) is None
